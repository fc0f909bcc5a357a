"""Requests as spans for an OpenTelemetry collector, over HTTP. Needs the extra `traces`.

The spans wait in a bounded queue of the SDK's, and a thread of its own sends them: what does not fit, or what the collector
does not take, is lost and counted.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, field
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from twisted.logger import Logger

from edge import __version__
from edge.core.exchange import Arrival, Outcome
from edge.core.tracing import span_of
from edge.observe.access import LONGEST_TARGET
from edge.observe.genai import operation
from edge.observe.overheard import Overheard
from edge.observe.quoting import scrubbed, shown

EVERY: Final = 2000
"""Milliseconds between two sendings."""
BATCH: Final = 256
TIMEOUT: Final = 5
"""Seconds that a collector has to take a batch."""
LONGEST_MODEL: Final = 200
_SCOPE: Final = InstrumentationScope("aigate", __version__)


class Counted(SpanExporter):
    """Hands spans to another exporter, in the SDK's thread, and counts them. Each count has one thread that writes it."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.handed = 0
        self.refused = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.handed += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is not SpanExportResult.SUCCESS:
                self.refused += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


@define(eq=False)
class Tracing:
    """A sink of outcomes, and what the services behind are told. `providers` names the kind of each service."""

    endpoint: str
    share: float
    name: str
    queue: int
    providers: Mapping[str, str] = field(factory=dict)
    _salt: bytes = field(factory=lambda: secrets.token_bytes(32), init=False, repr=False)
    _processor: BatchSpanProcessor | None = field(default=None, init=False, repr=False)
    _counted: Counted | None = field(default=None, init=False, repr=False)
    _given: int = field(default=0, init=False)
    _dropped: int = field(default=0, init=False)
    _overheard: Overheard = field(factory=lambda: Overheard(("opentelemetry", "urllib3")), init=False, repr=False)
    log: Logger = field(factory=lambda: Logger(namespace="aigate.traces"), repr=False)
    _resource: Resource = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._resource = Resource.create({"service.name": self.name, "service.version": __version__})

    @property
    def waiting(self) -> int:
        """Spans that wait to be sent."""
        return 0 if self._counted is None else self._given - self._counted.handed

    @property
    def lost(self) -> int:
        """Spans that found no room, or that the collector did not take."""
        return self._dropped + (0 if self._counted is None else self._counted.refused)

    def traceparent(self, arrival: Arrival) -> bytes:
        """What the service behind is told of the trace."""
        return span_of(arrival, self._salt, self.share).traceparent

    def start(self) -> None:
        """Begin to send; after the last fork, since threads do not survive one."""
        self._overheard.start()
        self._counted = Counted(OTLPSpanExporter(endpoint=self.endpoint, timeout=TIMEOUT))
        self._processor = BatchSpanProcessor(
            self._counted,
            max_queue_size=self.queue,
            schedule_delay_millis=EVERY,
            max_export_batch_size=min(BATCH, self.queue),
        )

    def finish(self) -> None:
        """Send what waits, within a few seconds, and end."""
        processor, self._processor = self._processor, None
        if processor is not None:
            processor.shutdown()  # type: ignore[no-untyped-call]
            self._overheard.finish()

    def __call__(self, outcome: Outcome) -> None:
        """Tell of one request, where its trace is sampled; strangers' requests only by our own choice."""
        exchange, processor = outcome.exchange, self._processor
        if processor is None or exchange.route is None:
            return
        arrival = exchange.arrival
        ours = span_of(arrival, self._salt, self.share)
        if not ours.sampled or (exchange.caller is None and ours.parent is not None):
            return
        if self.waiting >= self.queue:
            self._drop()
            return
        context = SpanContext(ours.trace, ours.span, False, TraceFlags(TraceFlags.SAMPLED))
        parent = None
        if ours.parent is not None:
            parent = SpanContext(ours.trace, ours.parent, True, TraceFlags(TraceFlags.SAMPLED))
        begun = int(arrival.at * 1e9)
        failed = outcome.status >= 500 or outcome.ended not in ("complete", "refused")
        what = operation(arrival.path)
        model = shown(exchange.model.encode("utf-8", "replace"), LONGEST_MODEL) if exchange.model else ""
        made = ReadableSpan(
            name=f"{what} {model}"
            if what and model
            else what or f"{scrubbed(arrival.method)} {exchange.route.service}",
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=self._attributes(outcome, what, model),
            kind=SpanKind.CLIENT if what else SpanKind.SERVER,
            status=Status(StatusCode.ERROR, outcome.reason or outcome.ended) if failed else Status(StatusCode.UNSET),
            start_time=begun,
            end_time=begun + int(outcome.seconds * 1e9),
            instrumentation_scope=_SCOPE,
        )
        self._given += 1
        processor.on_end(made)

    def _drop(self) -> None:
        # The SDK would drop the oldest one, and nobody could tell how many.
        if not self._dropped:
            self.log.warn(
                "{queue} spans wait for the collector already: further ones are dropped, and counted as "
                'aigate_log_lost_total{{log="traces"}}',
                queue=self.queue,
            )
        self._dropped += 1

    def _attributes(self, outcome: Outcome, what: str, model: str) -> dict[str, str | int | float]:
        exchange, units = outcome.exchange, outcome.units
        arrival, caller = exchange.arrival, exchange.caller
        made: dict[str, str | int | float] = {
            "http.request.method": scrubbed(arrival.method),
            "http.response.status_code": outcome.status,
            "url.path": shown(arrival.path, LONGEST_TARGET),
            "client.address": arrival.client,
            "aigate.request.id": shown(arrival.id.encode(), LONGEST_TARGET),
            "aigate.queue.seconds": outcome.queued,
        }
        if exchange.route is not None:
            made["aigate.service"] = exchange.route.service
        if caller is not None:
            made |= {"enduser.id": caller.user, "aigate.key.id": caller.key_id}
        if exchange.upstream is not None:
            made["server.address"] = exchange.upstream
        if outcome.reason or outcome.status >= 500:
            made["error.type"] = outcome.reason or str(outcome.status)
        if what and exchange.route is not None:
            made["gen_ai.operation.name"] = what
            made["gen_ai.provider.name"] = self.providers.get(exchange.route.service, exchange.route.service)
            if model:
                made["gen_ai.request.model"] = model
            if "prompt_tokens" in units:
                made["gen_ai.usage.input_tokens"] = int(units["prompt_tokens"])
            if "completion_tokens" in units:
                made["gen_ai.usage.output_tokens"] = int(units["completion_tokens"])
        return made

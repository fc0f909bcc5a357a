"""Prometheus metrics: plain counters that requests add to, turned into families when somebody asks.

Labels are bounded: services come from the configuration, reasons and units from the code, users and models are folded
to `other` beyond a number; paths, addresses and keys are no labels at all.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from attrs import define, field
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.core.attempts import Attempt
from edge.core.exchange import Outcome
from edge.core.folding import Fold
from edge.observe.genai import GenAI
from edge.observe.histogram import FOLD, Histogram
from edge.observe.quoting import scrubbed

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
GATE: Final = "gate"
"""The service of what the gate answers itself, and of what no route takes."""
USERS: Final = 100
"""Users with series of their own."""
DURATIONS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
OVERHEADS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Series:
    """One service."""

    __slots__ = ("duration", "ended", "first", "overhead", "queue", "received", "refusals", "requests", "sent")

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        self.refusals: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self.sent = 0
        self.received = 0
        self.duration = Histogram(DURATIONS)
        self.first = Histogram(DURATIONS)
        self.overhead = Histogram(OVERHEADS)
        self.queue = Histogram(DURATIONS)

    def fold(self) -> None:
        for histogram in (self.duration, self.first, self.overhead, self.queue):
            histogram.fold()


class _Use:
    """What one person has of one service."""

    __slots__ = ("requests", "units")

    def __init__(self) -> None:
        self.requests = 0
        self.units: dict[str, float] = {}


@define(eq=False)
class Metrics(Collector):
    """A sink of outcomes and attempts, and the page that Prometheus reads. `models` have series of their own."""

    models: int = 50
    providers: Mapping[str, str] = field(factory=dict)
    """The kind of each service: ollama, openai, …"""
    further: list[Collector] = field(factory=list)
    """Who else has something to tell: what the gate itself is like at this moment."""
    _services: dict[str, _Series] = field(factory=dict, init=False)
    _uses: dict[tuple[str, str], _Use] = field(factory=dict, init=False)
    """By service and user."""
    _counted: int = field(default=0, init=False)
    _attempts: dict[str, int] = field(factory=dict, init=False)
    _models: Fold = field(init=False)
    _users: Fold = field(factory=lambda: Fold(USERS), init=False)
    _genai: GenAI = field(init=False)
    _registry: CollectorRegistry = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._models = Fold(self.models)
        self._genai = GenAI(self._models, dict(self.providers))
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._registry.register(ProcessCollector(registry=None))
        self._registry.register(PLATFORM_COLLECTOR)
        self._registry.register(GC_COLLECTOR)

    def __call__(self, outcomes: Iterable[Outcome]) -> None:
        """Count requests."""
        services, uses, models = self._services, self._uses, self._models
        for outcome in outcomes:
            exchange = outcome.exchange
            route, caller, method, status = exchange.route, exchange.caller, exchange.arrival.method, outcome.status
            service = GATE if route is None else route.service
            one = services.get(service)
            if one is None:
                one = services[service] = _Series()
            mark = (method if method in _METHODS else "other", status)
            requests = one.requests
            requests[mark] = requests.get(mark, 0) + 1
            one.sent += outcome.sent
            one.received += outcome.received
            one.duration.observe(outcome.seconds)
            self._counted += 1
            if self._counted >= FOLD:
                self._fold_all()
            reason, ended = outcome.reason, outcome.ended
            if reason:
                one.refusals[reason] = one.refusals.get(reason, 0) + 1
            if ended != "complete":
                one.ended[ended] = one.ended.get(ended, 0) + 1
            first, overhead = outcome.first_byte, outcome.overhead
            if first is not None:
                one.first.observe(first)
            if overhead is not None:
                one.overhead.observe(overhead)
                one.queue.observe(outcome.queued)
            if caller is not None and route is not None:
                user = caller.key.user
                use = uses.get((service, user)) or self._use(service, user)
                use.requests += 1
                units, model = outcome.units, exchange.model
                if units:
                    sums = use.units
                    for unit, amount in units.items():
                        sums[unit] = sums.get(unit, 0.0) + amount
                if not model:
                    if not units:
                        continue
                    model = "unknown"
                elif model not in models.known:
                    model = models.name(scrubbed(model), status < 300)
                self._genai.tell(outcome, service, model)

    def _use(self, service: str, name: str) -> _Use:
        mark = (service, self._users.name(name, True))
        use = self._uses.get(mark)
        if use is None:
            use = self._uses[mark] = _Use()
        return use

    def _fold_all(self) -> None:
        self._counted = 0
        for one in self._services.values():
            one.fold()
        self._genai.fold()

    def attempt(self, attempt: Attempt) -> None:
        """Count one attempt to get in."""
        reason = attempt.reason or "allowed"
        self._attempts[reason] = self._attempts.get(reason, 0) + 1

    def page(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """The families, for the registry."""
        yield from self._requests()
        yield from self._units()
        yield from self._genai.collect()
        for one in self.further:
            yield from one.collect()

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "aigate_http_requests", "Requests that ended, by status.", labels=("service", "method", "code")
        )
        refusals = CounterMetricFamily(
            "aigate_refusals", "Requests that the gate itself turned away or could not forward, by reason.", labels=("service", "reason"),
        )  # fmt: skip
        ended = CounterMetricFamily(
            "aigate_http_requests_cut", "Requests that did not end as they should, by what happened.", labels=("service", "ended"),
        )  # fmt: skip
        sent = CounterMetricFamily("aigate_http_response_bytes", "Bytes of answers' bodies.", labels=("service",))
        received = CounterMetricFamily("aigate_http_request_bytes", "Bytes of requests' bodies.", labels=("service",))
        attempts = CounterMetricFamily(
            "aigate_attempts", "Attempts to get in, by what came of them.", labels=("result",)
        )
        histograms = {
            "duration": HistogramMetricFamily(
                "aigate_http_request_duration_seconds", "From the end of a request's head to the end of its answer.", labels=("service",),
            ),
            "first": HistogramMetricFamily(
                "aigate_http_time_to_first_byte_seconds", "From the end of a request's head to the first byte of its answer.", labels=("service",),
            ),
            "overhead": HistogramMetricFamily(
                "aigate_overhead_seconds", "The gate's own share, until the request is on its way to the service.", labels=("service",),
            ),
            "queue": HistogramMetricFamily(
                "aigate_queue_wait_seconds", "How long requests waited for their turn.", labels=("service",)
            ),
        }  # fmt: skip
        for service, one in self._services.items():
            for (method, code), count in one.requests.items():
                requests.add_metric((service, method, str(code)), count)
            for reason, count in one.refusals.items():
                refusals.add_metric((service, reason), count)
            for how, count in one.ended.items():
                ended.add_metric((service, how), count)
            sent.add_metric((service,), one.sent)
            received.add_metric((service,), one.received)
            for name, family in histograms.items():
                getattr(one, name).tell(family, (service,))
        for result, count in self._attempts.items():
            attempts.add_metric((result,), count)
        yield from (requests, refusals, ended, sent, received, attempts, *histograms.values())

    def _units(self) -> Iterator[Metric]:
        by_service: dict[tuple[str, str], float] = {}
        by_user: dict[tuple[str, str], float] = {}
        requests: dict[str, int] = {}
        for (service, user), use in self._uses.items():
            requests[user] = requests.get(user, 0) + use.requests
            for unit, amount in use.units.items():
                by_service[service, unit] = by_service.get((service, unit), 0.0) + amount
                by_user[user, unit] = by_user.get((user, unit), 0.0) + amount
        asked = CounterMetricFamily("aigate_user_requests", "Requests that were let in, by user.", labels=("user",))
        for user, count in requests.items():
            asked.add_metric((user,), count)
        yield asked
        for name, told, label, sums in (
            ("aigate_units", "What requests cost, by unit.", "service", by_service),
            ("aigate_user_units", "What users' requests cost, by unit.", "user", by_user),
        ):
            family = CounterMetricFamily(name, told, labels=(label, "unit"))
            for labels, amount in sums.items():
                family.add_metric(labels, amount)
            yield family

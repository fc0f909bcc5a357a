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
from edge.observe.histogram import Histogram

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

    __slots__ = ("duration", "ended", "first", "overhead", "queue", "received", "refusals", "requests", "sent", "units")

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        self.refusals: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self.units: dict[str, float] = {}
        self.sent = 0
        self.received = 0
        self.duration = Histogram(DURATIONS)
        self.first = Histogram(DURATIONS)
        self.overhead = Histogram(OVERHEADS)
        self.queue = Histogram(DURATIONS)


class _User:
    """One person."""

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
    _users: dict[str, _User] = field(factory=dict, init=False)
    _attempts: dict[str, int] = field(factory=dict, init=False)
    _fold: Fold = field(init=False)
    _folded_users: Fold = field(factory=lambda: Fold(USERS), init=False)
    _genai: GenAI = field(init=False)
    _registry: CollectorRegistry = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._fold = Fold(self.models)
        self._genai = GenAI(self._fold, dict(self.providers))
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._registry.register(ProcessCollector(registry=None))
        self._registry.register(PLATFORM_COLLECTOR)
        self._registry.register(GC_COLLECTOR)

    def __call__(self, outcome: Outcome) -> None:
        """Count one request."""
        exchange = outcome.exchange
        route, method, status = exchange.route, exchange.arrival.method, outcome.status
        service = GATE if route is None else route.service
        one = self._services.get(service)
        if one is None:
            one = self._services[service] = _Series()
        mark = (method if method in _METHODS else "other", status)
        requests = one.requests
        requests[mark] = requests.get(mark, 0) + 1
        one.sent += outcome.sent
        one.received += outcome.received
        one.duration.observe(outcome.seconds)
        if outcome.reason:
            one.refusals[outcome.reason] = one.refusals.get(outcome.reason, 0) + 1
        if outcome.ended != "complete":
            one.ended[outcome.ended] = one.ended.get(outcome.ended, 0) + 1
        if outcome.first_byte is not None:
            one.first.observe(outcome.first_byte)
        if outcome.overhead is not None:
            one.overhead.observe(outcome.overhead)
            one.queue.observe(outcome.queued)
        caller = exchange.caller
        if caller is not None and route is not None:
            self._by_caller(outcome, one, service, caller.key.user)

    def _by_caller(self, outcome: Outcome, one: _Series, service: str, name: str) -> None:
        user = self._users.get(name)
        if user is None:
            name = self._folded_users.name(name, True)
            user = self._users.setdefault(name, _User())
        user.requests += 1
        units, model = outcome.units, outcome.exchange.model
        if units:
            for each in (one.units, user.units):
                for unit, amount in units.items():
                    each[unit] = each.get(unit, 0.0) + amount
        if units or model:
            self._genai.tell(outcome, service, self._fold.name(model, outcome.status < 300) if model else "unknown")

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
        units = CounterMetricFamily("aigate_units", "What requests cost, by unit.", labels=("service", "unit"))
        for service, one in self._services.items():
            for unit, amount in one.units.items():
                units.add_metric((service, unit), amount)
        requests = CounterMetricFamily("aigate_user_requests", "Requests that were let in, by user.", labels=("user",))
        by_user = CounterMetricFamily(
            "aigate_user_units", "What users' requests cost, by unit.", labels=("user", "unit")
        )
        for name, user in self._users.items():
            requests.add_metric((name,), user.requests)
            for unit, amount in user.units.items():
                by_user.add_metric((name, unit), amount)
        yield from (units, requests, by_user)

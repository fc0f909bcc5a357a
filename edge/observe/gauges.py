"""What the gate is like at the moment that Prometheus asks: told by whoever knows, as plain functions."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from attrs import define, field
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge import __version__

Numbers = Callable[[], Mapping[str, float]]
"""From a label's value to a number."""


def nothing() -> Mapping[str, float]:
    """Nothing to tell."""
    return {}


@define(eq=False)
class Gauges(Collector):
    """Functions that answer at once from memory; what is not there is not told."""

    in_flight: Callable[[], int] = lambda: 0
    connections: Callable[[], int] = lambda: 0
    draining: Callable[[], bool] = lambda: False
    upstreams: Callable[[], Iterable[tuple[str, str, str, int]]] = tuple
    """(service, base address, state, requests in hand) of each."""
    queued: Numbers = nothing
    """Waiting requests by service."""
    certificates: Callable[[], Iterable[tuple[str, float]]] = tuple
    """(name, its end in Unix seconds) of each."""
    keys: Callable[[], Mapping[str, object]] = dict
    """`IKeyStore.status`."""
    reloads: Callable[[], Mapping[tuple[str, str], int]] = dict
    """(what, result) → how often."""
    redis: Callable[[], Mapping[str, object]] | None = None
    """How it stands with Redis, None where there is none."""
    traces: Callable[[], Mapping[str, object]] | None = None
    """How it stands with spans, None where none are sent."""
    disk: Callable[[], tuple[int | None, int | None]] = lambda: (None, None)
    """Free bytes and all bytes of the disk that holds the data folder."""
    handshakes: Numbers = nothing
    """TLS handshakes by result."""
    lost: Numbers = nothing
    """Lines, records and spans that were given up, by log."""
    problems: Numbers = nothing
    """1 for each log that cannot be written now, else 0."""
    started: float = field(default=0.0)

    def collect(self) -> Iterator[Metric]:
        """The families, for Prometheus."""
        build = GaugeMetricFamily("aigate_build_info", "The version that runs.", labels=("version",))
        build.add_metric((__version__,), 1)
        yield build
        yield GaugeMetricFamily("aigate_http_requests_in_flight", "Requests that are open.", value=self.in_flight())
        yield GaugeMetricFamily("aigate_connections", "Client connections that are open.", value=self.connections())
        yield GaugeMetricFamily("aigate_draining", "1 while the gate ends.", value=float(self.draining()))
        yield from self._upstreams()
        yield _labelled("aigate_queue_depth", "Requests that wait for their turn.", "service", self.queued())
        expiry = GaugeMetricFamily(
            "aigate_certificate_expiry_timestamp_seconds", "When a certificate ends.", labels=("name",)
        )
        for name, end in self.certificates():
            expiry.add_metric((name,), end)
        yield expiry
        yield from self._keys()
        reloads = CounterMetricFamily("aigate_reloads", "Readings of what changed on disk.", labels=("what", "result"))
        for (what, result), count in self.reloads().items():
            reloads.add_metric((what, result), count)
        yield reloads
        yield from self._disk_and_redis()
        yield _counted("aigate_tls_handshakes", "TLS handshakes with clients, by result.", "result", self.handshakes())
        yield _counted("aigate_log_lost", "Lines, records and spans that could not be written.", "log", self.lost())
        yield _labelled("aigate_log_problem", "1 while a log cannot be written.", "log", self.problems())

    def _upstreams(self) -> Iterator[Metric]:
        well = GaugeMetricFamily("aigate_upstream_up", "1 while a server is not down.", labels=("service", "upstream"))
        hand = GaugeMetricFamily(
            "aigate_upstream_in_flight", "Requests in a server's hands.", labels=("service", "upstream")
        )
        for service, base, state, in_hand in self.upstreams():
            well.add_metric((service, base), float(state != "down"))
            hand.add_metric((service, base), in_hand)
        yield from (well, hand)

    def _disk_and_redis(self) -> Iterator[Metric]:
        for name, told, value in zip(
            ("aigate_disk_free_bytes", "aigate_disk_size_bytes"),
            ("What is left of the disk that holds the data folder.", "How large that disk is."),
            self.disk(),
            strict=True,
        ):
            if value is not None:
                yield GaugeMetricFamily(name, told, value=value)
        if self.redis is not None and (up := self.redis().get("up")) is not None:
            yield GaugeMetricFamily("aigate_redis_up", "1 while Redis answers.", value=float(bool(up)))

    def _keys(self) -> Iterator[Metric]:
        status = self.keys()
        for name, metric, told in _KEYS:
            value = status.get(name)
            if isinstance(value, int | float):
                yield GaugeMetricFamily(metric, told, value=float(value))
        if "problem" in status:
            yield GaugeMetricFamily(
                "aigate_keys_problem", "1 while the newest keys cannot be read.", value=float(bool(status["problem"]))
            )


_KEYS: Final = (
    ("keys", "aigate_keys", "Keys that the gate knows."),
    ("generation", "aigate_keys_generation", "Grows with every change of the keys."),
    ("loaded", "aigate_keys_loaded_timestamp_seconds", "When the gate read its keys."),
)


def _labelled(name: str, told: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, told, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def _counted(name: str, told: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, told, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family

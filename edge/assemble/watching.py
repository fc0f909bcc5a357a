"""What the configuration asks to be watched: logs, metrics, and the pages of the ops listener."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from edge import __version__
from edge.admin.ops import Page, metrics_page, report_page
from edge.config.schema import Config, LogConfig
from edge.core.exchange import Arrival, Outcome
from edge.errors import ConfigError
from edge.observe.access import common_line, json_line
from edge.observe.audit import AuditTrail
from edge.observe.auditing import Auditing
from edge.observe.authlog import AuthLog
from edge.observe.console import Console
from edge.observe.disk import Disk
from edge.observe.gauges import Gauges
from edge.observe.human import HumanLine
from edge.observe.later import Later, Taker, singly
from edge.observe.linelog import LineLog, Rotation
from edge.observe.metrics import CONTENT_TYPE, Metrics
from edge.observe.observing import Attempts, Observing, Sink, each
from edge.observe.using import Using
from edge.observe.worker import Worker
from edge.stores.usage import Batch
from edge.used import usage_store
from edge.web.own import health_page
from edge.wire.request import Request

LOG: Final = "log"
"""The folder of the logs in the data folder."""
AUTH_SIZE: Final = 10 * 2**20
"""Bytes after which `auth.log` is set aside, where `[log] rotate_size` is larger: nobody needs a long one."""


@frozen
class Observed:
    """What a gate is watched by."""

    service: Observing
    sinks: tuple[Sink, ...]
    """Told how each request ended."""
    access: tuple[Sink, ...]
    """The same for requests to the ops listener: the access log alone."""
    attempts: Attempts
    gauges: Gauges
    """To be given its functions by whoever knows."""
    metrics: Callable[[], bytes] | None
    """The page of metrics, where there is one."""
    disk: Disk
    logs: tuple[LineLog, ...]
    audit: Auditing
    using: Using | None
    trace: Callable[[Arrival], bytes] | None
    """What services are told of the trace of a request, where there are traces."""

    def refuses(self) -> bool:
        """Whether nobody may be let in now, since it could not be put on record."""
        return self.audit.refuses()

    def pages(
        self,
        state: Callable[[], str],
        parts: Mapping[str, Callable[[], object]],
        usage: Callable[[Request], Any],
    ) -> dict[bytes, Page]:
        """What the ops listener shows. `state` is that of `/health`; `parts` of `/status` join those that are known here;
        `usage` answers `/usage`."""
        made = {
            b"/health": Page(health_page(state).answer, anyone=True),
            b"/status": Page(report_page({**self._parts(state), **parts})),
        }
        if self.using is not None:
            made[b"/usage"] = Page(usage)
        if self.metrics is not None:
            made[b"/metrics"] = Page(metrics_page(self.metrics, CONTENT_TYPE), here=True)
        return made

    def _parts(self, state: Callable[[], str]) -> dict[str, Callable[[], object]]:
        began = time.monotonic()
        return {
            "status": state,
            "version": lambda: __version__,
            "seconds": lambda: round(time.monotonic() - began),
            "in_flight": self.gauges.in_flight,
            "connections": self.gauges.connections,
            "upstreams": lambda: [
                {"service": service, "upstream": base, "state": now, "in_flight": hand}
                for service, base, now, hand in self.gauges.upstreams()
            ],
            "queued": lambda: dict(self.gauges.queued()),
            "certificates": lambda: [{"name": name, "expires": end} for name, end in self.gauges.certificates()],
            "keys": lambda: _aged(self.gauges.keys(), self.disk.now()),
            "logs": lambda: [{"file": str(log.path), "problem": log.problem, "lost": log.dropped} for log in self.logs],
            "disk": self.disk.status,
            "handshakes": lambda: dict(self.gauges.handshakes()),
            "reloads": lambda: _told_reloads(self.gauges.reloads()),
            "traces": lambda: None if self.gauges.traces is None else dict(self.gauges.traces()),
            "redis": lambda: None if self.gauges.redis is None else dict(self.gauges.redis()),
        }


def _aged(keys: Mapping[str, object], now: float) -> dict[str, object]:
    """What is told of the keys, and how many seconds ago they were read."""
    loaded = keys.get("loaded")
    return {**keys, "age": round(now - loaded, 1) if isinstance(loaded, int | float) and loaded else None}


def _told_reloads(reloads: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    made: dict[str, dict[str, int]] = {}
    for (what, result), count in reloads.items():
        made.setdefault(what, {})[result] = count
    return made


def observed(
    clock: IReactorTime,
    config: Config,
    data: Path,
    console: int | None = None,
    now: Callable[[], float] = time.time,
    file: Path | None = None,
) -> Observed:
    """Everything that the configuration asks for, with files in the data folder; nothing is opened before the start.

    `file` is where the configuration was read from: the audit log tells what it was at each start. `console` is the descriptor of a terminal or a pipe that requests are shown on, None for none.
    """
    folder = data / LOG
    auth = LineLog(folder / "auth.log", rotation(config.log, AUTH_SIZE), now)
    logs = [auth]
    told: list[Taker] = []
    access: tuple[Sink, ...] = ()
    takers = [AuthLog(auth.append).attempt]
    if config.log.access != "off":
        lines, shape = access_log(config.log, folder, now)
        logs.append(lines)
        told.append(lambda outcomes: lines.extend(map(shape, outcomes)))
        access = (lambda outcome: lines.append(shape(outcome)),)
    audit = Auditing(AuditTrail(data, config.log.audit_max, now), config.log.audit_on_full == "refuse", now)
    takers.append(audit.attempt)
    audit.note(what="started", version=__version__, configuration=str(file or ""), sha256=_digest(file))
    gauges = Gauges(started=now())
    metrics = None
    if config.metrics.enabled:
        kinds = {name: one.plugin for name, one in config.services.items()}
        metrics = Metrics(config.metrics.models, kinds, [gauges])
        told.append(metrics)
        takers.append(metrics.attempt)
    using = None
    if config.usage.enabled:
        using = Using(usage_store(config, data), Batch, tuple(config.services), config.usage.requests > 0, now)
        told.append(using)
    tracing = traces(config)
    if tracing is not None:
        told.append(singly(tracing))
        gauges.traces = lambda: {"waiting": tracing.waiting, "lost": tracing.lost}
    screen = screen_for(config.log, console)
    if screen is not None:
        told.append(singly(screen.tell))
    writers: dict[str, Callable[[], str]] = {log.path.stem: partial(getattr, log, "problem") for log in logs}
    writers["audit"] = partial(getattr, audit, "problem")
    if using is not None:
        writers["usage"] = partial(getattr, using, "problem")
    disk = Disk(data, writers, now)
    gauges.disk = lambda: (disk.free, disk.total)
    later = Later(tuple(told), clock)
    workers = [
        Worker("logs", each([*[log.flush for log in logs], disk.look])),
        Worker("audit", audit.flush, 0.5, audit.finish),
    ]
    if using is not None:
        # With the wait before it, what a crash loses is the last second.
        workers.append(Worker("usage", using.flush, 0.8, using.finish))
    if screen is not None:
        # A thread of its own: a terminal that somebody has paused must not hold the logs.
        workers.append(Worker("console", screen.flush))
    gauges.lost = lambda: {
        "audit": audit.lost,
        **{log.path.stem: log.dropped for log in logs},
        **({} if using is None else {"usage": using.lost, "requests": using.unlisted}),
        **({} if tracing is None else {"traces": tracing.lost}),
    }
    gauges.problems = lambda: {name: float(bool(problem())) for name, problem in writers.items()}
    return Observed(
        Observing(tuple(logs), tuple(workers), later.finish, tracing),
        (later,),
        access,
        Attempts(tuple(takers)),
        gauges,
        None if metrics is None else partial(later.settled, metrics.page),
        disk,
        tuple(logs),
        audit,
        using,
        None if tracing is None else tracing.traceparent,
    )


def screen_for(config: LogConfig, console: int | None) -> Console | None:
    """What shows requests on the descriptor `console`, None where nobody wants to see them."""
    if console is None or config.console == "off" or config.level not in ("debug", "info"):
        return None
    return Console(console, json_line if config.console == "json" else HumanLine())


def _digest(file: Path | None) -> str:
    try:
        return sha256(file.read_bytes()).hexdigest() if file else ""
    except OSError:
        return ""


def traces(config: Config) -> Any:
    """What sends spans to the configured collector, None where there is none. Raises ConfigError."""
    if not config.trace.endpoint:
        return None
    try:
        from edge.observe.tracing import Tracing
    except ImportError:
        raise ConfigError("trace.endpoint", "traces need what `pip install 'aigate[traces]'` brings") from None
    kinds = {name: one.plugin for name, one in config.services.items()}
    trace = config.trace
    return Tracing(trace.endpoint, trace.sample, trace.service_name, trace.queue, kinds)


def access_log(config: LogConfig, folder: Path, now: Callable[[], float]) -> tuple[LineLog, Callable[[Outcome], str]]:
    """The access log's file and what makes a line of a request."""
    file = LineLog(config.access_file or folder / "access.jsonl", rotation(config), now)
    shapes: dict[str, Callable[[Outcome], str]] = {"json": json_line, "common": common_line, "human": HumanLine()}
    return file, shapes[config.access]


def rotation(config: LogConfig, most: int | None = None) -> Rotation:
    """When and how a log is set aside, at `most` bytes."""
    size = config.rotate_size if most is None else min(most, config.rotate_size)
    return Rotation(size, config.rotate_every, config.rotate_keep)

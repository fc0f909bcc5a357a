"""All that watches a gate, as one service: what requests and attempts are told to, and the threads that write it down."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from twisted.application.service import Service
from twisted.logger import Logger
from zope.interface import implementer

from edge.config.schema import Config, LogConfig
from edge.core.attempts import Attempt
from edge.core.exchange import Outcome
from edge.interfaces import IAttemptSink
from edge.observe.access import common_line, json_line
from edge.observe.authlog import AuthLog
from edge.observe.console import Console
from edge.observe.human import HumanLine
from edge.observe.linelog import LineLog, Rotation
from edge.observe.worker import Worker

Sink = Callable[[Outcome], None]
LOG: Final = "log"
"""The folder of the logs in the data folder."""
AUTH_SIZE: Final = 10 * 2**20
"""Bytes after which `auth.log` is set aside, where `[log] rotate_size` is larger: nobody needs a long one."""


@implementer(IAttemptSink)
@define(eq=False)
class Attempts:
    """Tells each attempt to all that take note of them; what one raises keeps it from no other."""

    takers: Sequence[Callable[[Attempt], None]]
    log: Logger = field(factory=lambda: Logger(namespace="aigate.observe"), repr=False)

    def attempt(self, attempt: Attempt) -> None:
        for take in self.takers:
            try:
                take(attempt)
            except Exception:
                self.log.failure("An attempt could not be written down")


@define(eq=False)
class Observing(Service):
    """What a gate tells its requests' ends to (`sinks`), and the attempts to get in (`attempts`).

    Its threads run from the start until the reactor's shutdown is through, since requests end while the gate drains.
    """

    reactor: Any
    sinks: tuple[Sink, ...]
    attempts: Attempts
    logs: tuple[LineLog, ...]
    workers: tuple[Worker, ...]

    def startService(self) -> None:
        """Begin to write. Everything that was told before is written too."""
        super().startService()  # type: ignore[no-untyped-call]
        for worker in self.workers:
            worker.start()
        self.reactor.addSystemEventTrigger("during", "shutdown", self.finish)

    def reopen(self) -> None:
        """Logs were moved: go on in new files."""
        for log in self.logs:
            log.reopen()

    def finish(self) -> None:
        """Write what is left; each thread gets a few seconds for it."""
        for worker in self.workers:
            worker.finish()


def access_log(config: LogConfig, folder: Path, now: Callable[[], float]) -> tuple[LineLog, Sink] | None:
    """The access log's file and what writes a request to it; None where it is off."""
    if config.access == "off":
        return None
    file = LineLog(config.access_file or folder / "access.jsonl", rotation(config), now)
    shapes: dict[str, Callable[[Outcome], str]] = {"json": json_line, "common": common_line, "human": HumanLine()}
    shape = shapes[config.access]
    append = file.append
    return file, lambda outcome: append(shape(outcome))


def rotation(config: LogConfig, most: int | None = None) -> Rotation:
    """When and how a log is set aside, at `most` bytes."""
    size = config.rotate_size if most is None else min(most, config.rotate_size)
    return Rotation(size, config.rotate_every, config.rotate_keep)


def observing(
    reactor: Any,
    config: Config,
    data: Path,
    console: int | None = None,
    now: Callable[[], float] = time.time,
) -> Observing:
    """Everything that the configuration asks for, with files in the data folder; nothing is opened before the start.

    `console` is the descriptor of a terminal or a pipe that requests are shown on, None for none.
    """
    folder = data / LOG
    sinks: list[Sink] = []
    logs: list[LineLog] = []
    access = access_log(config.log, folder, now)
    if access is not None:
        logs.append(access[0])
        sinks.append(access[1])
    auth = LineLog(folder / "auth.log", rotation(config.log, AUTH_SIZE), now)
    logs.append(auth)
    workers = [Worker("logs", _each(tuple(log.flush for log in logs)))]
    if console is not None and config.log.console != "off" and config.log.level in ("debug", "info"):
        screen = Console(console, json_line if config.log.console == "json" else HumanLine())
        show, shape = screen.append, screen.shape
        sinks.append(lambda outcome: show(shape(outcome)))
        # A thread of its own: a terminal that somebody has paused must not hold the logs.
        workers.append(Worker("console", screen.flush))
    attempts = Attempts((AuthLog(auth.append).attempt,))
    return Observing(reactor, tuple(sinks), attempts, tuple(logs), tuple(workers))


def _each(functions: Sequence[Callable[[], None]]) -> Callable[[], None]:
    def work() -> None:
        for function in functions:
            function()

    return work

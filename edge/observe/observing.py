"""All that watches a gate, as one service: what requests and attempts are told to, and the threads that write it down."""

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import define, field
from twisted.application.service import Service
from twisted.logger import Logger
from zope.interface import implementer

from edge.core.attempts import Attempt
from edge.core.exchange import Outcome
from edge.interfaces import IAttemptSink
from edge.observe.linelog import LineLog
from edge.observe.worker import Worker

Sink = Callable[[Outcome], None]


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


class Threaded(Protocol):
    """What begins and ends with the gate: a Worker, or what sends traces."""

    def start(self) -> None: ...
    def finish(self) -> None: ...


@define(eq=False)
class Observing(Service):
    """The threads that write. They begin before any request comes and end after the last: first among the gate's
    services, which end in the order of their beginning reversed."""

    logs: Sequence[LineLog]
    workers: Sequence[Worker]
    settle: Callable[[], None] = lambda: None
    """Tells the takers what they have not been told yet."""
    tracing: Threaded | None = None

    def startService(self) -> None:
        """Begin to write. Everything that was told before is written too."""
        super().startService()  # type: ignore[no-untyped-call]
        for worker in (*self.workers, *([self.tracing] if self.tracing else [])):
            worker.start()

    def reopen(self) -> None:
        """Logs were moved: go on in new files."""
        for log in self.logs:
            log.reopen()

    def stopService(self) -> None:
        """Write what is left; each thread gets a few seconds for it."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.settle()
        for worker in (*self.workers, *([self.tracing] if self.tracing else [])):
            worker.finish()


def each(functions: Sequence[Callable[[], None]]) -> Callable[[], None]:
    """All of them in turn."""
    made = tuple(functions)

    def work() -> None:
        for function in made:
            function()

    return work

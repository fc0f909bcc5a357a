"""Places that are held after the answer, until the job that it began has ended."""

from collections.abc import Awaitable, Callable
from typing import Final

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from edge.core.jobs import Jobs
from edge.limits.waiting import Ticket

log = Logger(namespace="aigate.limits")

EVERY: Final = 1.0
"""Seconds between two questions for the server's queue, while a place is held."""


@define(eq=False, repr=False)
class HeldJobs:
    """Tickets of one server by job. `ask` gets the body of `GET /queue`, b"" where the server does not answer."""

    clock: IReactorTime
    ask: Callable[[], Awaitable[bytes]]
    jobs: Jobs = field(factory=Jobs)
    _tickets: dict[str, list[Ticket]] = field(factory=dict)
    """Of each job's name, the oldest first."""
    _loop: LoopingCall | None = None

    def hold(self, job: str, ticket: Ticket) -> None:
        """Keep a ticket until the job has ended; asks the server now and then meanwhile."""
        self._tickets.setdefault(job, []).append(ticket)
        self._release(self.jobs.begin(job, self.clock.seconds()))
        if self._loop is None:
            self._loop = LoopingCall(self._look)
            self._loop.clock = self.clock
            self._loop.start(EVERY, now=False)

    def __len__(self) -> int:
        return len(self.jobs)

    def _look(self) -> "Deferred[None]":
        return Deferred.fromCoroutine(self._asked()).addErrback(self._unanswered)

    async def _asked(self) -> None:
        asked = self.clock.seconds()
        self._release(self.jobs.overdue(asked))
        if self._tickets:
            self._release(self.jobs.queue(await self.ask(), asked))

    def _unanswered(self, failure: Failure) -> None:
        log.debug("the queue of a server could not be asked: {why}", why=failure.getErrorMessage())

    def _release(self, ended: list[str]) -> None:
        for job in ended:
            tickets = self._tickets[job]
            tickets.pop(0).release()
            if not tickets:
                del self._tickets[job]
        if not self._tickets and self._loop is not None:
            self._loop.stop()
            self._loop = None

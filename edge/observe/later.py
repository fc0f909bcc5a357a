"""Takes what happened on a request's path, which costs it an append, and tells it on a moment later, in slices.

In the reactor's own thread: in another one, it would hold the interpreter whenever the reactor has just waited for a socket,
and both would pay for the change of hands. Whatever waits for a disk has a thread of its own behind the takers.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from edge.core.exchange import Outcome

HELD: Final = 1024
"""Outcomes that wait; each holds on to the head of its request."""
SLICE: Final = 64
"""Outcomes that are told in one turn of the reactor."""
WAIT: Final = 0.1
"""Seconds from an outcome to the turn in which it is told."""
T = TypeVar("T")
Taker = Callable[[Iterator[Outcome]], None]
"""Takes outcomes one after another. Where it raises at one of them, it is called again for those that follow."""


@define(eq=False)
class Later:
    """A sink of outcomes, before others that take a slice in turn. What one of them raises keeps it from no other."""

    takers: Sequence[Taker]
    clock: IReactorTime
    log: Logger = field(factory=lambda: Logger(namespace="aigate.observe"), repr=False)
    _waiting: deque[Outcome] = field(factory=deque, init=False, repr=False)
    _call: IDelayedCall | None = field(default=None, init=False, repr=False)

    def __call__(self, outcome: Outcome) -> None:
        """Take one request's end."""
        waiting = self._waiting
        waiting.append(outcome)
        if self._call is None:
            self._call = self.clock.callLater(WAIT, self._turn)
        elif len(waiting) >= HELD:
            self._tell()

    def settled(self, function: Callable[[], T]) -> T:
        """What `function` returns once everything is told."""
        self._tell_all()
        return function()

    def finish(self) -> None:
        """Tell what is left; what comes afterwards is told at once."""
        self._tell_all()
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _turn(self) -> None:
        self._tell()
        self._call = self.clock.callLater(0, self._turn) if self._waiting else None

    def _tell_all(self) -> None:
        while self._waiting:
            self._tell()

    def _tell(self) -> None:
        waiting = self._waiting
        told = [waiting.popleft() for _ in range(min(SLICE, len(waiting)))]
        # Each taker has them all in turn: what works on many alike costs a tenth less for each.
        for take in self.takers:
            left = iter(told)
            # No more often than there are outcomes, whatever it does with them.
            for _ in told:
                try:
                    take(left)
                    break
                except Exception:
                    self.log.failure("A request's end could not be written down")


def singly(sink: Callable[[Outcome], None]) -> Taker:
    """A taker for what takes one outcome at a time."""

    def take(outcomes: Iterator[Outcome]) -> None:
        for outcome in outcomes:
            sink(outcome)

    return take

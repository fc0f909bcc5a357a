"""Takes what happened on a request's path, which costs it an append, and tells it on from a thread of its own.

The thread works in slices and rests between them: requests wait for the interpreter no longer than a slice takes. Where it does
not keep up, whoever brings the next outcome tells all that wait, so that there are never more than `HELD`.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from attrs import define, field
from twisted.logger import Logger

from edge.core.exchange import Outcome

HELD: Final = 1024
"""Outcomes that wait; each holds on to the head of its request."""
SLICE: Final = 128
REST: Final = 0.0002
"""Seconds between two slices."""
T = TypeVar("T")


@define(eq=False)
class Later:
    """A sink of outcomes, before others that take each in turn. What one of them raises keeps it from no other."""

    takers: Sequence[Callable[[Outcome], None]]
    log: Logger = field(factory=lambda: Logger(namespace="aigate.observe"), repr=False)
    _waiting: deque[Outcome] = field(factory=deque, init=False, repr=False)
    _guard: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def __call__(self, outcome: Outcome) -> None:
        """Take one request's end."""
        waiting = self._waiting
        waiting.append(outcome)
        if len(waiting) >= HELD:
            self.settled(lambda: None)

    def drain(self) -> None:
        """Tell all that waits; belongs to threads other than the reactor's. Never raises."""
        while self._waiting:
            with self._guard:
                self._tell(SLICE)
            if self._waiting:
                time.sleep(REST)

    def settled(self, function: Callable[[], T]) -> T:
        """What `function` returns once everything is told, while nothing more is."""
        with self._guard:
            self._tell(len(self._waiting))
            return function()

    def aside(self, taker: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        """A sink that tells one of the takers alone, at once, and never while the others are told."""

        def tell(outcome: Outcome) -> None:
            with self._guard:
                taker(outcome)

        return tell

    def _tell(self, most: int) -> None:
        waiting = self._waiting
        told = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        # Each taker has them all in turn: what works on a hundred alike costs a tenth less for each.
        for take in self.takers:
            for outcome in told:
                try:
                    take(outcome)
                except Exception:
                    self.log.failure("A request's end could not be written down")

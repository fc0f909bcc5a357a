"""What is open under each key, so that a key that is revoked ends it at once."""

from collections.abc import Callable

from attrs import define, field
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from edge.core.keys import Key
from edge.wire.request import Request

INTERVAL = 0.5
"""Seconds between looks at the clock for keys that expire while something is open."""


def cut(request: Request, ended: str) -> None:
    """Ends a request under way: what works for it is told as if the client had left, the client sees it broken off."""
    if request.finished:
        return
    request.ledger.ended = ended
    gone, request.gone = request.gone, None
    request.abort()
    if gone is not None:
        gone(Failure(ConnectionAborted(ended)))


@define(eq=False)
class Sessions:
    """Open requests by key id. `valid` says whether what a key has open may go on at a time (Unix seconds)."""

    find: Callable[[str], Key | None]
    ended: Callable[[Key, float], bool]
    clock: IReactorTime
    now: Callable[[], float]
    _open: dict[str, set[Request]] = field(factory=dict)
    _tick: LoopingCall | None = None

    def add(self, key_id: str, request: Request) -> None:
        """A request was let in by a key."""
        requests = self._open.get(key_id)
        if requests is None:
            requests = self._open[key_id] = set()
        requests.add(request)

    def discard(self, key_id: str, request: Request) -> None:
        """The request has ended."""
        requests = self._open.get(key_id)
        if requests is not None:
            requests.discard(request)
            if not requests:
                del self._open[key_id]

    def count(self, key_id: str) -> int:
        """How many requests a key has open."""
        return len(self._open.get(key_id, ()))

    def changed(self, key_ids: frozenset[str]) -> None:
        """Keys were changed: those that are gone or ended lose what they have open. A change of rules alone does not."""
        now = self.now()
        for key_id in key_ids & self._open.keys():
            key = self.find(key_id)
            if key is None or self.ended(key, now):
                self._end(key_id)

    def _end(self, key_id: str) -> None:
        for request in tuple(self._open.pop(key_id, ())):
            cut(request, "revoked")

    def start(self) -> None:
        """Begins to watch for keys that expire."""
        self._tick = LoopingCall(self._expire)
        self._tick.clock = self.clock
        self._tick.start(INTERVAL, now=False)

    def stop(self) -> None:
        if self._tick is not None and self._tick.running:
            self._tick.stop()

    def _expire(self) -> None:
        self.changed(frozenset(self._open))

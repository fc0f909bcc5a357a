"""What keys have open: streams and sockets, so that a revoked key's end at once."""

from collections.abc import Callable
from itertools import count
from typing import ClassVar, Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from edge.auth.tickets import Tickets
from edge.core.rules import ended
from edge.errors import StoreError
from edge.interfaces import IKeyStore

EVERY: Final = 0.5
"""Seconds between two looks at the keys that have something open: an expiry counts within a second."""
SLICE: Final = 200
"""Closers that are called in one turn of the reactor."""

Close = Callable[[], None]


class Open:
    """Who has what open. `now` gives Unix seconds. `start` and `stop` belong to the gate's life."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, clock: IReactorTime, store: IKeyStore, tickets: Tickets, now: Callable[[], float]) -> None:
        self._clock = clock
        self._store = store
        self._tickets = tickets
        self._now = now
        self._open: dict[str, dict[int, Close]] = {}
        self._numbers = count()
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        self._end: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._end = self._store.subscribe(self._changed)
        self._loop.start(EVERY, now=False)

    def stop(self) -> None:
        """Watch no longer; what is open stays open."""
        if self._end is not None:
            self._end()
            self._end = None
        if self._loop.running:
            self._loop.stop()

    def enter(self, key_id: str, close: Close) -> Callable[[], None]:
        """Note that a key has something open, which `close` ends with the reason "revoked". Returns what to call when it has ended."""
        number = next(self._numbers)
        mine = self._open.setdefault(key_id, {})
        mine[number] = close

        def leave() -> None:
            if mine.pop(number, None) is not None and not mine and self._open.get(key_id) is mine:
                del self._open[key_id]

        return leave

    def count(self, key_id: str) -> int:
        """How much a key has open."""
        return len(self._open.get(key_id, ()))

    def _changed(self, key_ids: frozenset[str]) -> None:
        gone = frozenset(key_id for key_id in key_ids if self._over(key_id))
        self._tickets.revoke(gone)
        self._close([close for key_id in gone for close in self._open.pop(key_id, {}).values()])

    def _look(self) -> None:
        self._close(
            [close for key_id in list(self._open) if self._over(key_id) for close in self._open.pop(key_id).values()]
        )

    def _over(self, key_id: str) -> bool:
        try:
            key = self._store.get(key_id)
        except StoreError:
            # A key that cannot be read lets nobody in, but what is open began under rules that could be.
            return False
        return key is None or ended(key, self._now())

    def _close(self, closers: list[Close]) -> None:
        for close in closers[:SLICE]:
            try:
                close()
            except Exception:
                self.log.failure("What a revoked key had open could not be closed")
        if closers[SLICE:]:
            self._clock.callLater(0, self._close, closers[SLICE:])

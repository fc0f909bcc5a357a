"""What keys have open: streams and sockets, so that a revoked key's end at once."""

from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from edge.auth.tickets import Tickets
from edge.core.exchange import Exchange
from edge.core.rules import ended
from edge.errors import StoreError
from edge.interfaces import IKeyStore

EVERY: Final = 0.5
"""Seconds between two looks at the keys that have something open: an expiry counts within a second."""
SLICE: Final = 200
"""What is closed in one turn of the reactor."""


class Held(Protocol):
    """What a key has open: a request that it was let in with, `edge.wire.request.Request`."""

    exchange: Exchange


class Open:
    """Who has what open. `now` gives Unix seconds; `close` ends what a revoked key has open. `start` and `stop` belong to
    the gate's life."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: IKeyStore,
        tickets: Tickets,
        now: Callable[[], float],
        close: Callable[[Any], None],
    ) -> None:
        self._clock = clock
        self._store = store
        self._tickets = tickets
        self._now = now
        self._end_of = close
        self._open: dict[str, dict[Held, None]] = {}
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

    def enter(self, held: Held) -> None:
        """Note that its caller's key has this open."""
        caller = held.exchange.caller
        if caller is None:
            raise ValueError("it is open for nobody")
        key_id = caller.key.id
        mine = self._open.get(key_id)
        if mine is None:
            mine = self._open[key_id] = {}
        mine[held] = None

    def leave(self, held: Held) -> None:
        """It has ended, whether it was noted or not."""
        caller = held.exchange.caller
        if caller is None:
            return
        key_id = caller.key.id
        mine = self._open.get(key_id)
        if mine is not None:
            # What is empty now is filled again before long, or swept away by the next look.
            mine.pop(held, None)

    def count(self, key_id: str) -> int:
        """How much a key has open."""
        return len(self._open.get(key_id, ()))

    def _changed(self, key_ids: frozenset[str]) -> None:
        gone = frozenset(key_id for key_id in key_ids if self._over(key_id))
        self._tickets.revoke(gone)
        self._end_all([held for key_id in gone for held in self._open.pop(key_id, ())])

    def _look(self) -> None:
        self._open = {key_id: mine for key_id, mine in self._open.items() if mine}
        self._end_all([held for key_id in list(self._open) if self._over(key_id) for held in self._open.pop(key_id)])

    def _over(self, key_id: str) -> bool:
        try:
            key = self._store.get(key_id)
        except StoreError:
            # A key that cannot be read lets nobody in, but what is open began under rules that could be.
            return False
        return key is None or ended(key, self._now())

    def _end_all(self, ending: list[Held]) -> None:
        """Those first that were not sent yet: each that ends would give its place to the next of them."""
        ending.sort(key=lambda held: held.exchange.upstream is not None)
        self._close(ending)

    def _close(self, ending: list[Held]) -> None:
        for held in ending[:SLICE]:
            try:
                self._end_of(held)
            except Exception:
                self.log.failure("What a revoked key had open could not be closed")
        if ending[SLICE:]:
            self._clock.callLater(0, self._close, ending[SLICE:])

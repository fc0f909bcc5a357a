"""What all connections of a gate share: the handler, the limits, the clock that looks after deadlines, and the drain."""

from collections.abc import Callable, Iterable
from email.utils import formatdate
from time import time
from typing import Any, Final, Protocol

from attrs import Factory, define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from edge.core.headers import Pair
from edge.core.refusal import Refusal
from edge.wire.limits import DEFAULTS, WireLimits
from edge.wire.request import Origin, Request
from edge.wire.turns import Turns

LOOK: Final = 1.0
"""Seconds between two looks at one connection's deadlines."""
SHARES: Final = 16
"""In so many goes thousands of connections are looked at, within half of that time."""
FEW: Final = 64
"""Connections that are looked at in one go."""


class Handler(Protocol):
    """Who answers requests."""

    def handle(self, request: Request) -> None:
        """Takes a request whose head is complete. Never raises."""

    def refuse(self, refusal: Refusal, origin: Origin, protocol: str) -> tuple[Iterable[Pair], bytes]:
        """Header fields and body for a request that never became one; also the place where it is written down."""

    def give_up(self, request: Request, refusal: Refusal, reason: Failure) -> None:
        """Ends a request in hand, not answered yet, whose body came to nothing."""


class Absence(Protocol):
    """Notices that the other end of a connection left while reading is paused."""

    def add(self, transport: Any, gone: Callable[[], None]) -> None: ...
    def discard(self, transport: Any) -> None: ...


class Connection(Protocol):
    """One client connection, HTTP/1.1 or HTTP/2."""

    def check(self, now: float) -> None:
        """Looks at the deadlines; `now` in the reactor's monotonic seconds."""

    def close_politely(self) -> None:
        """Finishes what is open and takes no further request."""

    def close_now(self) -> None: ...

    def rests(self) -> bool:
        """Whether nothing is under way, and everything that was written has reached the client."""


@define(eq=False)
class Server:
    """The shared part. `connections` are those open; the tick looks at each once a second."""

    handler: Handler
    clock: IReactorTime
    watch: Absence
    limits: WireLimits = DEFAULTS
    http2: bool = True
    connections: set[Connection] = field(factory=set)
    draining: bool = False
    log: Logger = field(factory=Logger)
    turns: Turns = field(default=Factory(lambda self: Turns(self.clock), takes_self=True))
    _tick: LoopingCall | None = None
    _due: list[Connection] = field(factory=list)
    """Who is still to be looked at in this second."""
    wall: Callable[[], float] = time
    """Unix seconds; `clock` only tells how much later it is."""
    _second: int = -1
    _date: bytes = b""

    def date(self) -> bytes:
        """What `Date` says now (RFC 9110 6.6.1)."""
        second = int(self.wall())
        if second != self._second:
            self._second, self._date = second, formatdate(second, usegmt=True).encode("ascii")
        return self._date

    def start(self) -> None:
        """Begins to look after deadlines."""
        self._tick = LoopingCall(self.check)
        self._tick.clock = self.clock
        self._tick.start(LOOK, now=False)

    def stop(self) -> None:
        if self._tick is not None and self._tick.running:
            self._tick.stop()
        self._due.clear()

    def check(self) -> None:
        """Lets every connection look at its deadlines: a few at once, and of thousands a share after the other, so that what
        streams does not wait for them."""
        if not self._due:
            self._due = list(self.connections)
            self._look(max(FEW, len(self._due) // SHARES + 1))

    def _look(self, share: int) -> None:
        now = self.clock.seconds()
        due = self._due
        for _ in range(min(share, len(due))):
            connection = due.pop()
            if connection not in self.connections:
                continue
            try:
                connection.check(now)
            except Exception:
                # One connection's trouble must not end the deadlines of all the others.
                self.log.failure("A connection could not be looked after and is closed")
                try:
                    connection.close_now()
                except Exception:
                    self.log.failure("A connection could not be closed")
        if due:
            self.clock.callLater(LOOK / SHARES / 2, self._look, share)

    def drain(self) -> None:
        """No further request on any connection; what is open finishes."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.close_politely()

    def cut(self) -> None:
        """Ends every connection at once."""
        for connection in tuple(self.connections):
            connection.close_now()

"""A connection in memory: what a protocol under test writes, and a handler that a test tells what to do."""

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from edge.core.refusal import Refusal
from edge.wire.limits import WireLimits
from edge.wire.request import Origin, Request
from edge.wire.server import Server

ORIGIN = Origin("192.0.2.1", True, "https", IPv4Address("TCP", "127.0.0.1", 8443), IPv4Address("TCP", "192.0.2.1", 5))


class Wire(StringTransport):
    """A transport that remembers how it ended and whether it is paused."""

    aborted = False
    dataBuffer = b""
    offset = 0
    _tempDataLen = 0
    socket = None

    def write(self, data: bytes) -> None:
        if not self.disconnecting:
            super().write(data)

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnected = True

    def loseConnection(self) -> None:
        self.disconnecting = True

    def loseWriteConnection(self) -> None:
        self.disconnecting = True


class Told:
    """A handler that keeps the requests and lets `then` answer them."""

    def __init__(self, then: Callable[[Request], Any] | None = None) -> None:
        self.requests: list[Request] = []
        self.refusals: list[Refusal] = []
        self._then = then

    def handle(self, request: Request) -> None:
        request.ledger = True
        self.requests.append(request)
        if self._then is not None:
            self._then(request)

    def refuse(self, refusal: Refusal, origin: Origin, protocol: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
        self.refusals.append(refusal)
        return [(b"X-Aigate-Reason", refusal.reason.encode())], refusal.message.encode()

    def give_up(self, request: Request, refusal: Refusal, reason: Failure) -> None:
        self.refusals.append(refusal)
        request.reply(refusal.status, [(b"X-Aigate-Reason", refusal.reason.encode())], refusal.message.encode())
        request.body.fail(reason)


class NoWatch:
    """Keeps who asked to be told."""

    def __init__(self) -> None:
        self.watched: dict[int, Callable[[], None]] = {}

    def add(self, transport: Any, gone: Callable[[], None]) -> None:
        self.watched[id(transport)] = gone

    def discard(self, transport: Any) -> None:
        self.watched.pop(id(transport), None)


class Bench:
    """One connection of a protocol, its clock, and what came out."""

    def __init__(
        self, make: Callable[[Server, Origin], Any], then: Callable[[Request], Any] | None = None, **limits: Any
    ) -> None:
        self.clock = Clock()
        self.told = Told(then)
        self.watch = NoWatch()
        self.server = Server(self.told, self.clock, self.watch, WireLimits(**limits), wall=self.clock.seconds)
        self.server.start()
        self.protocol = make(self.server, ORIGIN)
        self.transport = Wire()
        self.protocol.makeConnection(self.transport)

    @property
    def requests(self) -> list[Request]:
        return self.told.requests

    def send(self, *parts: bytes) -> "Bench":
        for part in parts:
            self.protocol.dataReceived(part)
        return self

    def out(self) -> bytes:
        """What was written since the last call."""
        value: bytes = self.transport.value()
        self.transport.clear()
        return value

    def wait(self, seconds: float) -> None:
        """Lets the clock run, a quarter of a second at a time."""
        for _ in range(int(seconds * 4)):
            self.clock.advance(0.25)

    def leave(self) -> None:
        """The client closes."""
        self.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def closed(self) -> bool:
        return bool(self.transport.disconnecting or self.transport.disconnected)

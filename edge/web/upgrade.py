"""Joins a client's connection to a service's after both switched protocols: bytes both ways, unread."""

from typing import Any, Final

from attrs import define, field
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from edge.core.forwarding import sent_back
from edge.web.cut import cut
from edge.web.tickets import SUBPROTOCOL, SUBPROTOCOL_FIELD
from edge.wire.request import Request, Tunnel

_FAREWELL: Final = 2.0
"""Seconds for a service to end what its client ended."""


@define(eq=False)
class _End:
    """Takes what one side sends and writes it to the other."""

    splice: "Splice | None"
    """None when it is over."""
    other: Tunnel | None = None
    held: list[bytes] = field(factory=list)

    def dataReceived(self, data: bytes) -> None:
        if self.splice is None:
            return
        if self.other is None:
            self.held.append(data)
        else:
            # First, since the write may be the end of it: a client that takes nothing.
            self.splice.count(self, len(data))
            self.other.write(data)

    def connectionLost(self, reason: Failure) -> None:
        if self.splice is not None:
            self.splice.ended(self, reason)

    def readConnectionLost(self) -> None:
        """Only a client's side over HTTP/2 can end its own way and go on with the other."""
        if self.splice is not None:
            self.splice.half_closed()


@define(eq=False)
class Splice:
    """One upgraded request, from the service's `101` to the end of either side."""

    request: Request
    answer: Any
    """`edge.web.forward.Switching`."""
    clock: IReactorTime
    idle: float
    """Seconds without a byte either way after which both sides are ended."""
    _client: Tunnel | None = None
    _service: Tunnel | None = None
    _from_client: _End = field(init=False)
    _from_service: _End = field(init=False)
    _over: bool = False
    _heard: float = 0.0
    _look: IDelayedCall | None = None

    def __attrs_post_init__(self) -> None:
        self._from_client = _End(self)
        self._from_service = _End(self)

    def start(self) -> None:
        """Tells the client that the switch was made, and lets bytes flow."""
        request = self.request
        service: Tunnel = self.answer.tunnel
        self._service = service
        pairs = sent_back(self.answer.fields, False)
        if request.protocol != "HTTP/2.0":
            pairs.append((b"Upgrade", request.upgrade or b""))
        if request.select_own and SUBPROTOCOL_FIELD not in self.answer.fields:
            pairs.append((b"Sec-WebSocket-Protocol", SUBPROTOCOL))
        pairs.append((b"X-Request-Id", request.exchange.arrival.id.encode("ascii")))
        request.answered, request.status = True, 101
        request.gone = self._cut
        self._heard = self.clock.seconds()
        self._look = self.clock.callLater(self.idle, self._listen)
        request.endings.append((Splice._hush, self))
        client = self._client = request.channel.switch(pairs, self._from_client)
        if self._over:
            return
        self._from_client.other, self._from_service.other = service, client
        client.registerProducer(service, True)
        service.registerProducer(client, True)
        self.answer.tunnel.attach(self._from_service)
        for end in (self._from_client, self._from_service):
            held, end.held = end.held, []
            for data in held:
                end.dataReceived(data)

    def count(self, end: _End, size: int) -> None:
        """Adds to what the Outcome will tell."""
        self._heard = self.clock.seconds()
        if end is self._from_service:
            self.request.sent += size
        else:
            self.request.body.received += size

    def ended(self, end: _End, reason: Failure) -> None:
        """One side is gone: the other is told in the same way."""
        if self._over:
            return
        clean = reason.check(ConnectionDone) is not None
        client, service = self._part()
        if end is self._from_client:
            if service is not None:
                service.unregisterProducer()
                if clean:
                    service.loseConnection()
                else:
                    service.abortConnection()
            self.request.ended(clean)
        else:
            if client is not None:
                client.unregisterProducer()
                if clean:
                    client.loseConnection()
                else:
                    client.abortConnection()
            if not clean:
                self.request.ledger.ended = "upstream-broken"
            self.request.ended(clean)

    def half_closed(self) -> None:
        """The client sends nothing more (Chromium ends its way with the close frame): the service may still take its leave."""
        if not self._over:
            self._hush()
            self._look = self.clock.callLater(_FAREWELL, self._leave)

    def _leave(self) -> None:
        self._look = None
        client = self._client
        self.ended(self._from_client, Failure(ConnectionDone()))
        if client is not None:
            client.loseConnection()

    def _listen(self) -> None:
        """Looks if a byte went either way within `idle`; a tunnel that is silent for longer is nobody's any more."""
        left = self._heard + self.idle - self.clock.seconds()
        if left > 0:
            self._look = self.clock.callLater(left, self._listen)
            return
        self._look = None
        cut(self.request, "timeout")

    def _hush(self) -> None:
        look, self._look = self._look, None
        if look is not None:
            look.cancel()

    def _cut(self, reason: Failure) -> None:
        """The gate ends it: a revoked key, or a client that is lost."""
        if self._over:
            return
        client, service = self._part()
        if service is not None:
            service.abortConnection()
        if client is not None:
            client.abortConnection()

    def _part(self) -> tuple[Tunnel | None, Tunnel | None]:
        """It is over: nothing refers to the other side any more, since both would stay until the collector comes."""
        self._over = True
        for end in (self._from_client, self._from_service):
            end.splice = end.other = None
        client, self._client = self._client, None
        service, self._service = self._service, None
        return client, service

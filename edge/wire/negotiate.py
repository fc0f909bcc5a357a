"""Which protocol a new connection speaks: by ALPN inside TLS, by the preface of HTTP/2 outside; else HTTP/1.1."""

from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress, IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from edge.transport.session import session_of
from edge.transport.tls import LeanTLS
from edge.wire.h2_frames import PREFACE
from edge.wire.http1 import Http1
from edge.wire.http2 import Http2
from edge.wire.request import Origin
from edge.wire.server import Server


def peer_of(address: IAddress) -> str:
    """The other end's address in plain form: IPv4 that came through an IPv6 socket unwrapped, no zone; or "unix"."""
    if isinstance(address, UNIXAddress):
        return "unix"
    host = str(getattr(address, "host", ""))
    if host.startswith("::ffff:") and "." in host:
        return host[7:]
    return host.partition("%")[0]


@implementer(IHandshakeListener)
class Entrance(Protocol):
    """A connection until it is known what it speaks; then it stands aside and costs nothing more."""

    transport: Any

    def __init__(self, server: Server, listener: str, secure: bool) -> None:
        self._server = server
        self._listener = listener
        self._secure = secure
        self._early = b""
        self._deadline = 0.0

    def connectionMade(self) -> None:
        if not self._secure and not self._server.http2:
            self._become(Http1)
            return
        self._deadline = self._server.clock.seconds() + self._server.limits.head_timeout
        self._server.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._server.connections.discard(self)

    def handshakeCompleted(self) -> None:
        if self._deadline:
            self._by_alpn()

    def dataReceived(self, data: bytes) -> None:
        if self._secure:
            self._by_alpn().dataReceived(data)
            return
        data = self._early + data
        if data.startswith(PREFACE):
            self._become(Http2).dataReceived(data)
        elif PREFACE.startswith(data):
            self._early = data
        else:
            self._become(Http1).dataReceived(data)

    def _by_alpn(self) -> Any:
        return self._become(Http2 if self.transport.negotiatedProtocol == b"h2" else Http1)

    def _become(self, kind: type[Http1] | type[Http2]) -> Any:
        transport = self.transport
        self._server.connections.discard(self)
        self._deadline = 0.0
        peer = transport.getPeer()
        origin = Origin(
            peer_of(peer), self._secure, self._listener, transport.getHost(), peer,
            session_of(transport) if self._secure else None,
        )  # fmt: skip
        chosen: Any = kind(self._server, origin)
        # From here on the transport calls the chosen protocol's own methods.
        if isinstance(transport, LeanTLS):
            transport.wrappedProtocol = chosen
        else:
            self.dataReceived = chosen.dataReceived  # type: ignore[method-assign]
            self.connectionLost = chosen.connectionLost  # type: ignore[method-assign]
        chosen.makeConnection(transport)
        return chosen

    # Connection, for the server's clock and drain

    def check(self, now: float) -> None:
        if self._deadline and now >= self._deadline:
            self.transport.abortConnection()

    def rests(self) -> bool:
        return True

    def close_politely(self) -> None:
        self.transport.loseConnection()

    def close_now(self) -> None:
        self.transport.abortConnection()


class HttpFactory(Factory):
    """Makes the protocols of one listener; `listener` is its name (https, http, plain, ops), `secure` whether in TLS."""

    noisy = False

    def __init__(self, server: Server, listener: str, secure: bool) -> None:
        self._server = server
        self._listener = listener
        self._secure = secure

    def buildProtocol(self, addr: IAddress | None) -> Entrance:
        return Entrance(self._server, self._listener, self._secure)

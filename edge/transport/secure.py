"""TLS round a factory, lean or stock, with a deadline for the handshake and one for the farewell."""

from collections.abc import Callable
from typing import Any, Protocol

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall, IOpenSSLClientConnectionCreator, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.protocols.tls import BufferingTLSTransport
from twisted.python.failure import Failure

from edge.transport.misled import answer_plainly
from edge.transport.tls import LeanTLS, trouble
from edge.transport.unsent import unsent

HANDSHAKE = 10.0
"""Seconds in which a peer must have finished the handshake."""

FAREWELL = 5.0
"""Seconds after our close_notify in which a peer may answer it; a pooled client that never reads again would not."""


class ServerContexts(Protocol):
    """Who makes the TLS side of a connection that was accepted."""

    def server_connection(self, tls_protocol: Any) -> SSL.Connection:
        """A fresh OpenSSL connection without a socket, from a context with certificate, SNI and ALPN set up."""


class _StockTLS(BufferingTLSTransport):
    factory: Any
    transport: Any
    _reason: Failure | None

    def abortConnection(self) -> None:
        """Abort without TLS's farewell, after which a cut would look like an orderly end (RFC 8446 section 6.1)."""
        self._aborted = True
        self.disconnecting = True
        # OpenSSL, asked once more at the end, would tell of a handshake that the peer broke off.
        self._reason = self._reason or Failure(ConnectionAborted())
        self.transport.abortConnection()

    def _tlsShutdownFinished(self, reason: Any) -> None:
        if not self.factory.is_client:
            answer_plainly(self.transport, reason)
        if self._producer is not None:
            # A paused one would hold the close back for ever.
            self.transport.unregisterProducer()
        super()._tlsShutdownFinished(reason)

    def _checkHandshakeStatus(self) -> None:
        super()._checkHandshakeStatus()
        if self._handshakeDone:
            self.factory.shaken(self)

    def _shutdownTLS(self) -> None:
        super()._shutdownTLS()
        self.factory.said_farewell(self)


class TLSFactory(Factory):
    """Wraps what `wrapped` builds; aborts who dawdles in the handshake, closes on who never answers a farewell.

    One timer looks through those that are under way, ten times in the time of the handshake's deadline.
    """

    noisy = False

    def __init__(
        self,
        reactor: Any,
        fast: bool,
        create: Callable[[Any], SSL.Connection],
        wrapped: IProtocolFactory,
        is_client: bool,
        handshake: float = HANDSHAKE,
        farewell: float = FAREWELL,
    ) -> None:
        # By the one name lean TLS asks for its OpenSSL connection, by the other Twisted's.
        self.connection_for = self._creatorCallable = create
        self.wrappedFactory = wrapped
        self._clock: Any = reactor
        self.protocol: Any = LeanTLS if fast and trouble() is None else _StockTLS
        self.is_client = is_client
        self._handshake = handshake
        self._farewell = farewell
        self.protocols: set[Any] = set()
        self._shaking: dict[Any, float] = {}
        self._leaving: dict[Any, float] = {}
        self._slow: set[Any] = set()
        """Those of them that had not been sent everything at the last look."""
        self._timer: IDelayedCall | None = None
        self.handshakes = 0
        self.failures = 0
        """Handshakes that were finished, and those that were not: in time, or at all."""

    def doStart(self) -> None:
        self.wrappedFactory.doStart()

    def doStop(self) -> None:
        self.wrappedFactory.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        """The TLS protocol round a new one of the wrapped factory, None where that has none."""
        built = self.wrappedFactory.buildProtocol(addr)
        return None if built is None else self.protocol(self, built)

    def registerProtocol(self, p: Any) -> None:
        """A connection begins its handshake."""
        self.protocols.add(p)
        self._note(self._shaking, p)

    def shaken(self, p: Any) -> None:
        """A connection has finished its handshake."""
        if self._shaking.pop(p, None) is not None:
            self.handshakes += 1

    def unregisterProtocol(self, p: Any) -> None:
        """A connection is gone."""
        self.protocols.discard(p)
        if self._shaking.pop(p, None) is not None:
            self.failures += 1
        self._leaving.pop(p, None)
        self._slow.discard(p)

    def said_farewell(self, p: Any) -> None:
        """Our close_notify is on its way: from now the peer has its time to answer."""
        if p in self.protocols and p not in self._leaving:
            self._note(self._leaving, p)

    def _note(self, group: dict[Any, float], p: Any) -> None:
        group[p] = self._clock.seconds()
        if self._timer is None:
            self._timer = self._clock.callLater(self._handshake / 10, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        # Both are in the order of time, so that the first that has time left ends the look.
        for p, since in list(self._shaking.items()):
            if now - since < self._handshake:
                break
            del self._shaking[p]
            self.failures += 1
            p.abortConnection()
        for p, since in list(self._leaving.items()):
            if now - since < self._farewell:
                break
            del self._leaving[p]
            if unsent(p.transport):
                # It still reads what came before the farewell, or whoever looks after stalls ends it.
                self._slow.add(p)
                self._leaving[p] = now
                continue
            if p in self._slow:
                # The last of it may have reached the peer's machine this very moment, and not the peer.
                self._slow.discard(p)
                self._leaving[p] = now
                continue
            p.transport.loseConnection()  # what is queued still goes out, ended by an ordinary FIN
        if self._shaking or self._leaving:
            self._timer = self._clock.callLater(self._handshake / 10, self._look)


def server_side(
    reactor: Any, fast: bool, contexts: ServerContexts, wrapped: IProtocolFactory, handshake: float = HANDSHAKE
) -> TLSFactory:
    """TLS for accepted connections."""

    def create(protocol: Any) -> SSL.Connection:
        made = contexts.server_connection(protocol)
        made.set_accept_state()
        return made

    return TLSFactory(reactor, fast, create, wrapped, False, handshake)


def client_side(
    reactor: Any, fast: bool, creator: IOpenSSLClientConnectionCreator, wrapped: IProtocolFactory, handshake: float
) -> TLSFactory:
    """TLS for connections that we open."""

    def create(protocol: Any) -> SSL.Connection:
        made = creator.clientConnectionForTLS(protocol)
        made.set_connect_state()
        made.set_app_data(protocol)  # whom Twisted's check of certificates tells
        return made

    return TLSFactory(reactor, fast, create, wrapped, True, handshake)

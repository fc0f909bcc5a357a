"""TLS round a factory, lean or stock, with a deadline for the handshake and one for the farewell."""

from typing import Any, Protocol

from attrs import frozen
from OpenSSL import SSL
from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
)
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from edge.transport.tls import LeanTLS, trouble

HANDSHAKE = 10.0
"""Seconds in which a peer must have finished the handshake."""

FAREWELL = 5.0
"""Seconds after our close_notify in which a peer may answer it; a pooled client that never reads again would not."""


class ServerContexts(Protocol):
    """Who makes the TLS side of a connection that was accepted."""

    def server_connection(self, tls_protocol: Any) -> SSL.Connection:
        """A fresh OpenSSL connection without a socket, from a context with certificate, SNI and ALPN set up."""


@implementer(IOpenSSLServerConnectionCreator)
@frozen
class _Creator:
    contexts: ServerContexts

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return self.contexts.server_connection(tlsProtocol)


def _break_off(p: Any) -> None:
    """Abort without TLS's farewell, after which a cut would look like an orderly end (RFC 8446 6.1)."""
    p._aborted = True
    p.disconnecting = True
    p.transport.abortConnection()


class _LeanTLS(LeanTLS):
    def abortConnection(self) -> None:
        _break_off(self)

    def _shutdownTLS(self) -> None:
        super()._shutdownTLS()
        self.factory.said_farewell(self)


class _StockTLS(BufferingTLSTransport):
    factory: Any

    def abortConnection(self) -> None:
        _break_off(self)

    def _shutdownTLS(self) -> None:
        super()._shutdownTLS()
        self.factory.said_farewell(self)


class TLSFactory(TLSMemoryBIOFactory):
    """Wraps what `wrapped` builds; aborts who dawdles in the handshake, closes on who never answers a farewell.

    One timer looks through those that are under way, ten times in the time of the handshake's deadline.
    """

    def __init__(
        self,
        reactor: Any,
        fast: bool,
        creator: IOpenSSLClientConnectionCreator | IOpenSSLServerConnectionCreator,
        wrapped: IProtocolFactory,
        is_client: bool,
        handshake: float = HANDSHAKE,
        farewell: float = FAREWELL,
    ) -> None:
        super().__init__(creator, is_client, wrapped, clock=reactor)
        self.protocol = _LeanTLS if fast and trouble() is None else _StockTLS
        self.is_client = is_client
        self._handshake = handshake
        self._farewell = farewell
        self._shaking: dict[Any, float] = {}
        self._leaving: dict[Any, float] = {}
        self._timer: IDelayedCall | None = None
        self.handshakes = 0
        self.failures = 0
        """Handshakes that were finished, and those that were not: in time, or at all."""

    def buildProtocol(self, addr: Any) -> Any:
        """The TLS protocol round a new one of the wrapped factory, None where that has none."""
        built = self.wrappedFactory.buildProtocol(addr)
        return None if built is None else self.protocol(self, built)

    def registerProtocol(self, p: Any) -> None:
        """A connection begins its handshake."""
        super().registerProtocol(p)
        self._note(self._shaking, p)

    def unregisterProtocol(self, p: Any) -> None:
        """A connection is gone."""
        self.protocols.pop(p, None)
        if self._shaking.pop(p, None) is not None:
            self._count(p)
        self._leaving.pop(p, None)

    def said_farewell(self, p: Any) -> None:
        """Our close_notify is on its way: from now the peer has its time to answer."""
        if p in self.protocols and p not in self._leaving:
            self._note(self._leaving, p)

    def _note(self, group: dict[Any, float], p: Any) -> None:
        group[p] = self._clock.seconds()
        if self._timer is None:
            self._timer = self._clock.callLater(self._handshake / 10, self._look)

    def _count(self, p: Any) -> None:
        if p._handshakeDone:
            self.handshakes += 1
        else:
            self.failures += 1

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for p, since in list(self._shaking.items()):
            if p._handshakeDone:
                del self._shaking[p]
                self._count(p)
            elif now - since >= self._handshake:
                del self._shaking[p]
                self._count(p)
                p.abortConnection()
        for p, since in list(self._leaving.items()):
            if now - since >= self._farewell:
                del self._leaving[p]
                p.transport.loseConnection()  # what is queued still goes out, ended by an ordinary FIN
        if self._shaking or self._leaving:
            self._timer = self._clock.callLater(self._handshake / 10, self._look)


def server_side(
    reactor: Any, fast: bool, contexts: ServerContexts, wrapped: IProtocolFactory, handshake: float = HANDSHAKE
) -> TLSFactory:
    """TLS for accepted connections."""
    return TLSFactory(reactor, fast, _Creator(contexts), wrapped, False, handshake)


def client_side(
    reactor: Any, fast: bool, creator: IOpenSSLClientConnectionCreator, wrapped: IProtocolFactory, handshake: float
) -> TLSFactory:
    """TLS for connections that we open."""
    return TLSFactory(reactor, fast, creator, wrapped, True, handshake)

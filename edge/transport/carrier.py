"""What a protocol inside TLS meets as its transport, whatever does the TLS: closing, producers, addresses, options."""

from collections.abc import Iterable
from typing import Any

from twisted.internet._producer_helpers import _PullToPush
from twisted.internet.interfaces import IConsumer, IPushProducer, ISystemHandle, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.protocols.tls import _ProducerMembrane
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(ISystemHandle, ITCPTransport, IPushProducer, IConsumer)
class Carrier(Protocol):
    """Between a transport and `wrappedProtocol`; who does the TLS has `write` and `_shutdownTLS`."""

    transport: Any
    factory: Any

    def __init__(self, factory: Any, wrapped: Any) -> None:
        # All on the instance: CPython 3.11 remembers where an instance's own attributes are, not its class's.
        self.factory = factory
        self.wrappedProtocol = wrapped
        self.transport = None
        self.connected = 0
        self.disconnecting = False
        """Whether it was told to close."""
        self._tlsConnection: Any = None
        self._handshakeDone = False
        self._lostTLSConnection = False
        """Whether nothing more can come through TLS."""
        self._aborted = False
        self._reason: Failure | None = None
        self._producer: Any = None
        self._waiting: list[bytes] = []
        """What was written while TLS could not take it."""

    def write(self, data: bytes) -> None:
        raise AssertionError("who does the TLS writes")

    def _shutdownTLS(self) -> None:
        raise AssertionError("who does the TLS says farewell")

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """One write for all the pieces."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Close with TLS's farewell, once all that was written has gone and the producer is done."""
        if self.disconnecting or not self.connected:
            return
        if not self._handshakeDone and not self._waiting:
            self.abortConnection()
            return
        self.disconnecting = True
        if not self._waiting and self._producer is None:
            self._shutdownTLS()

    def abortConnection(self) -> None:
        """Break off without the farewell, after which a cut would look like an orderly end (RFC 8446 section 6.1)."""
        self._aborted = True
        self.disconnecting = True
        self.transport.abortConnection()

    def failVerification(self, reason: Failure) -> None:
        """What Twisted's checks of certificates call when they refuse the peer."""
        self._reason = reason
        self.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Take the source of what is written, which is paused while it comes too fast."""
        if self._lostTLSConnection:
            producer.stopProducing()
            return
        pulled = None if streaming else _PullToPush(producer, self)
        membrane = _ProducerMembrane(producer if pulled is None else pulled)
        self.transport.registerProducer(membrane, True)
        self._producer = membrane
        if pulled is not None:
            pulled.startStreaming()

    def unregisterProducer(self) -> None:
        """The source is done."""
        membrane, self._producer = self._producer, None
        if membrane is None:
            return
        if isinstance(membrane._producer, _PullToPush):
            membrane._producer.stopStreaming()
        self.transport.unregisterProducer()
        if self.disconnecting and not self._waiting and not self._lostTLSConnection:
            self._shutdownTLS()

    def pauseProducing(self) -> None:
        """Stop reading from the socket."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    def getHandle(self) -> Any:
        return self._tlsConnection

    def getPeerCertificate(self) -> Any:
        return self._tlsConnection.get_peer_certificate()

    def getHost(self) -> Any:
        return self.transport.getHost()

    def getPeer(self) -> Any:
        return self.transport.getPeer()

    def loseWriteConnection(self) -> None:
        self.transport.loseWriteConnection()

    def getTcpNoDelay(self) -> Any:
        return self.transport.getTcpNoDelay()

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.transport.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> Any:
        return self.transport.getTcpKeepAlive()

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.transport.setTcpKeepAlive(enabled)

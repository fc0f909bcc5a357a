"""Lean TLS: the hot path of Twisted's TLS protocol, asking OpenSSL directly; everything unusual is left to Twisted.

The only file that uses pyOpenSSL's private names. `trouble()` tries them on a real handshake; where they are missing or
do not behave, it says why, and the callers take Twisted's own protocol instead.

What it saves: no exception for "nothing more to read", no look for more when the records that came are all read (their
lengths are in the clear, RFC 8446 section 5.1), no call to `zope.interface` per connection, no turn of the reactor
between a write and its bytes.
"""

from functools import cache
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import classImplements

from edge.transport.selftest import echo

log = Logger()

RECORD = 16 * 1024
"""The most plaintext in one record (RFC 8446 section 5.1); pyOpenSSL allows partial writes, so one call writes one."""

SLICE = 64 * 1024
"""Bytes that pass OpenSSL's memory buffers at once: they never shrink, so a connection keeps what its largest needed."""

_lib: Any = getattr(SSL, "_lib", None)
_ffi: Any = getattr(SSL, "_ffi", None)
SSL_read: Any = getattr(_lib, "SSL_read", None)
SSL_write: Any = getattr(_lib, "SSL_write", None)
SSL_do_handshake: Any = getattr(_lib, "SSL_do_handshake", None)
SSL_session_reused: Any = getattr(_lib, "SSL_session_reused", None)
SSL_get_error: Any = getattr(_lib, "SSL_get_error", None)
BIO_read: Any = getattr(_lib, "BIO_read", None)
BIO_write: Any = getattr(_lib, "BIO_write", None)
WANT_READ: Any = getattr(_lib, "SSL_ERROR_WANT_READ", None)

# What OpenSSL hands out is copied from here at once; one buffer each way, since a callback of OpenSSL's that runs
# while one is filled may send.
_CLEAR_SIZE = _CIPHER_SIZE = SLICE + 2 * RECORD
_clear: Any = _ffi.new("char[]", _CLEAR_SIZE) if _ffi else None
_cipher: Any = _ffi.new("char[]", _CIPHER_SIZE) if _ffi else None
_clear_view: Any = _ffi.buffer(_clear, _CLEAR_SIZE) if _ffi else None
_cipher_view: Any = _ffi.buffer(_cipher, _CIPHER_SIZE) if _ffi else None

_UNKNOWN = -1


class LeanTLS(TLSMemoryBIOProtocol):
    """Twisted's TLS protocol with its own reading and writing; the same transport to the protocol it carries."""

    transport: Any
    factory: Any
    _owed = 0
    # Bytes still to come of the record that the last data broke off in; _UNKNOWN once a header itself was split.

    def makeConnection(self, transport: Any) -> None:
        """Start TLS on `transport`, then tell the carried protocol; a client says hello at once."""
        # Twisted's own calls directlyProvides for each interface of the transport: over 100 microseconds a connection.
        self._tlsConnection: Any = self.factory._creatorCallable(self)
        self._appSendBuffer: list[bytes] = []
        self.connected = 1
        self.transport = transport
        self.factory.registerProtocol(self)
        self.wrappedProtocol.makeConnection(self)
        if self.factory.is_client:
            self._checkHandshakeStatus()

    def dataReceived(self, data: bytes) -> None:
        """Decrypt `data`, deliver what it held, send what TLS itself has to answer."""
        length = len(data)
        records = self._count(data, length)
        connection = self._tlsConnection
        if self._handshakeDone and length <= SLICE and not self._appSendBuffer:
            BIO_write(connection._into_ssl, data, length)
            self._deliver(connection, records)
            return
        start = _ffi.from_buffer(data)
        for at in range(0, length, SLICE):
            BIO_write(connection._into_ssl, start + at, min(SLICE, length - at))
            if not self._handshakeDone and not self._shake(connection):
                continue
            if self._appSendBuffer:
                self._unbufferPendingWrites()
            self._deliver(connection, _UNKNOWN)
            if self._lostTLSConnection or self._aborted:
                return

    def _count(self, data: bytes, length: int) -> int:
        """How many records end in `data`, following the lengths in their headers; _UNKNOWN when the thread was lost."""
        at = self._owed
        if at == _UNKNOWN:
            return _UNKNOWN
        records = 1 if 0 < at <= length else 0
        while at + 5 <= length:
            at += (data[at + 3] << 8 | data[at + 4]) + 5
            if at <= length:
                records += 1
        self._owed = at - length if at >= length else _UNKNOWN
        return records

    def _shake(self, connection: Any) -> bool:
        """Go on with the handshake; True when it is done. Its failures are Twisted's to tell."""
        if self._aborted:
            return False
        outcome = SSL_do_handshake(connection._ssl)
        if outcome != 1 and SSL_get_error(connection._ssl, outcome) == WANT_READ:
            self._flushSendBIO()
            return False
        self._checkHandshakeStatus()
        return self._handshakeDone and not self._aborted

    def _deliver(self, connection: Any, records: int) -> None:
        """Hand on the plaintext of `records` complete records, or of all that are there."""
        if not records:
            return
        ssl = connection._ssl
        more = True
        while more:
            filled = 0
            odd = False
            while filled <= _CLEAR_SIZE - RECORD:
                count = SSL_read(ssl, _clear + filled, RECORD)
                if count <= 0:
                    odd = SSL_get_error(ssl, count) != WANT_READ
                    more = False
                    break
                filled += count
                records -= 1
                if not records:
                    more = False
                    break
            if filled:
                self.wrappedProtocol.dataReceived(_clear_view[:filled])
                if self._lostTLSConnection or self._aborted:
                    return
            if odd:
                self._flushReceiveBIO()  # an end or an error: Twisted asks again and sorts out which
                return
        if records:
            self._flushSendBIO()  # not all that came was data, so TLS may have something to answer

    def _flushSendBIO(self) -> None:
        """Pass on what OpenSSL wants to send."""
        connection = self._tlsConnection
        bio = connection._from_ssl
        while True:
            count = BIO_read(bio, _cipher, _CIPHER_SIZE)
            if count <= 0:
                return
            self.transport.write(_cipher_view[:count])
            if count < _CIPHER_SIZE:
                return

    def write(self, data: bytes) -> None:
        """Encrypt and send `data` (bytes) at once; before the handshake is done, or after the end, as Twisted does."""
        if not self._handshakeDone or self._appSendBuffer or self._lostTLSConnection or self.disconnecting:
            super().write(data)
            return
        length = len(data)
        if length > RECORD:
            self._write_long(data, length)
        elif length:
            connection = self._tlsConnection
            if SSL_write(connection._ssl, data, length) == length:
                self._flushSendBIO()
            else:
                self._write(data)

    def _write_long(self, data: bytes, length: int) -> None:
        connection = self._tlsConnection
        ssl = connection._ssl
        start = _ffi.from_buffer(data)
        done = 0
        while done < length:
            stop = min(done + SLICE, length)
            while done < stop:
                count = SSL_write(ssl, start + done, min(stop - done, RECORD))
                if count <= 0:
                    self._flushSendBIO()
                    self._write(data[done:])  # TLS must read before it can write: Twisted keeps the rest and says when
                    return
                done += count
            self._flushSendBIO()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the carried protocol; an end without TLS's own farewell is a loss, since it may be a cut."""
        if not self._lostTLSConnection:
            self._lostTLSConnection = True
            if self._reason is None and not self.disconnecting and reason.check(ConnectionDone):
                reason = Failure(CONNECTION_LOST)
        reason, self._reason = self._reason or reason, None
        self.connected = 0
        ProtocolWrapper.connectionLost(self, reason)
        self._tlsConnection = None  # it refers back to this protocol

    def pauseProducing(self) -> None:
        """Stop reading from the socket."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()


# What Twisted's own declares for each connection anew; the methods come from the TCP transport.
classImplements(LeanTLS, IPushProducer, IConsumer, ITCPTransport)


def resumed(connection: SSL.Connection) -> bool:
    """Whether a finished handshake went on with an earlier session; False too where this pyOpenSSL cannot tell."""
    ssl = getattr(connection, "_ssl", None)
    return SSL_session_reused is not None and ssl is not None and SSL_session_reused(ssl) == 1


@cache
def trouble() -> str | None:
    """Why lean TLS cannot be used here, else None; found out once, with a handshake and an echo in memory, and logged."""
    said = _try()
    if said is not None:
        log.warn("TLS runs on Twisted's own classes, which are slower: {said}", said=said)
    return said


def _try() -> str | None:
    needed = {
        "_lib": _lib,
        "_ffi": _ffi,
        "SSL_read": SSL_read,
        "SSL_write": SSL_write,
        "SSL_do_handshake": SSL_do_handshake,
        "SSL_get_error": SSL_get_error,
        "BIO_read": BIO_read,
        "BIO_write": BIO_write,
        "SSL_ERROR_WANT_READ": WANT_READ,
    }
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        return f"this pyOpenSSL has no {', '.join(missing)}"
    try:
        echo(LeanTLS)
    except Exception as failed:  # whatever it is, the answer is the same: not here
        return f"the try-out failed: {type(failed).__name__}: {failed}"
    return None

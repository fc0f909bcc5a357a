"""Lean TLS: a transport that asks OpenSSL directly, through the memory buffers of a pyOpenSSL connection.

The only file that uses pyOpenSSL's private names. `trouble()` tries them on a real handshake; where they are missing or
do not behave, it says why, and the callers take Twisted's own protocol instead. Towards the protocol that it carries it
does what Twisted's `TLSMemoryBIOProtocol` does.

What it saves: no exception for "nothing more to read", no look for more when the records that came are all read (their
lengths are in the clear, RFC 8446 section 5.1), no turn of the reactor between a write and its bytes, no copy of what a
lean socket has received or is to send, and no `__getattr__`, which keeps CPython from remembering where attributes are.
"""

from functools import cache
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, INegotiated
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from edge.transport.carrier import Carrier
from edge.transport.misled import answer_plainly
from edge.transport.round import ROUND
from edge.transport.selftest import echo
from edge.transport.tcp import INCOMING, Lean

log = Logger()

RECORD = 16 * 1024
"""The most plaintext in one record (RFC 8446 section 5.1), and what one read returns."""

SLICE = 64 * 1024
"""Bytes that pass OpenSSL's memory buffers at once: they never shrink, so a connection keeps what its largest needed."""

_lib: Any = getattr(SSL, "_lib", None)
_ffi: Any = getattr(SSL, "_ffi", None)
SSL_read: Any = getattr(_lib, "SSL_read", None)
SSL_write: Any = getattr(_lib, "SSL_write", None)
SSL_do_handshake: Any = getattr(_lib, "SSL_do_handshake", None)
SSL_version: Any = getattr(_lib, "SSL_version", None)
SSL_session_reused: Any = getattr(_lib, "SSL_session_reused", None)
SSL_shutdown: Any = getattr(_lib, "SSL_shutdown", None)
SSL_get_error: Any = getattr(_lib, "SSL_get_error", None)
SSL_get0_alpn_selected: Any = getattr(_lib, "SSL_get0_alpn_selected", None)
ERR_clear_error: Any = getattr(_lib, "ERR_clear_error", None)
BIO_read: Any = getattr(_lib, "BIO_read", None)
BIO_write: Any = getattr(_lib, "BIO_write", None)
WANT_READ: Any = getattr(_lib, "SSL_ERROR_WANT_READ", None)
ZERO_RETURN: Any = getattr(_lib, "SSL_ERROR_ZERO_RETURN", None)

# What OpenSSL hands out is taken from here at once; one buffer each way, since a callback of OpenSSL's that runs
# while one is filled may send. Several slices fit, so that what lies behind is not troubled for each.
_CLEAR_SIZE = 2 * SLICE
_CIPHER_SIZE = 4 * SLICE + 2 * RECORD
_clear: Any = _ffi.new("char[]", _CLEAR_SIZE) if _ffi else None
_cipher: Any = _ffi.new("char[]", _CIPHER_SIZE) if _ffi else None
_clear_view: Any = _ffi.buffer(_clear, _CLEAR_SIZE) if _ffi else None
_cipher_view: Any = _ffi.buffer(_cipher, _CIPHER_SIZE) if _ffi else None
_cipher_memory: Any = memoryview(_cipher_view) if _ffi else None
_incoming: Any = _ffi.from_buffer(INCOMING) if _ffi else None
_name: Any = _ffi.new("unsigned char **") if _ffi else None
_name_length: Any = _ffi.new("unsigned int *") if _ffi else None

_UNKNOWN = -1
TLS13 = 0x0304
"""RFC 8446 section 4.1.2."""


@implementer(INegotiated)
class LeanTLS(Carrier):
    """TLS between a transport and the protocol that it carries, `wrappedProtocol`, whose transport it is."""

    def __init__(self, factory: Any, wrapped: Any) -> None:
        super().__init__(factory, wrapped)
        self._ssl: Any = None
        self._into: Any = None
        self._from: Any = None
        self._lean = False
        self.heard = False
        self._tickets = False
        """Whether a server's tickets of TLS 1.3 are all that OpenSSL has to send."""
        self._owed = 0
        """Bytes still to come of the record that the last data broke off in; _UNKNOWN once a header itself was split."""

    # Towards the transport below

    def makeConnection(self, transport: Any) -> None:
        """Start TLS on `transport`, then tell the carried protocol; a client says hello at once."""
        connection = self.factory.connection_for(self)
        self._tlsConnection = connection
        self._ssl = connection._ssl
        self._into = connection._into_ssl
        self._from = connection._from_ssl
        self.connected = 1
        self.transport = transport
        if isinstance(transport, Lean):
            self._lean = transport.shares = True
            if not self.factory.is_client:
                ROUND.opening[transport] = self
        self.factory.registerProtocol(self)
        self.wrappedProtocol.makeConnection(self)
        if self.factory.is_client and not self._aborted:
            self._shake()

    def dataReceived(self, data: bytes) -> None:
        """Decrypt `data`, deliver what it held, send what TLS itself has to answer."""
        self._take(data, _ffi.from_buffer(data), len(data))

    def bufferReceived(self, count: int) -> None:
        """The same for the first `count` bytes of INCOMING."""
        if (
            (INCOMING[3] << 8 | INCOMING[4]) + 5 != count
            or self._owed
            or self._waiting
            or not self._handshakeDone
            or self._lostTLSConnection
            or self._aborted
        ):
            self._take(INCOMING, _incoming, count)
            return
        # One whole record and nothing else, as most requests and events are: there is nothing to look for behind it.
        BIO_write(self._into, _incoming, count)
        outcome = SSL_read(self._ssl, _clear, RECORD)
        if outcome > 0:
            self.wrappedProtocol.dataReceived(_clear_view[:outcome])
        else:
            self._pause(0, outcome)

    def _take(self, data: bytes | bytearray, start: Any, length: int) -> None:
        if self._lostTLSConnection or self._aborted:
            return
        if self._handshakeDone and not self._waiting:
            records = self._count(data, length)
            if length <= SLICE:
                BIO_write(self._into, start, length)
                if records:
                    self._deliver(records)
            else:
                self._take_long(start, length)
            return
        self._count(data, length)
        for at in range(0, length, SLICE):
            BIO_write(self._into, start + at, min(SLICE, length - at))
            if not self._handshakeDone and not self._shake():
                if self._lostTLSConnection or self._aborted:
                    return
                continue
            if self._waiting:
                self._write_waiting()
            self._deliver(_UNKNOWN)
            if self._lostTLSConnection or self._aborted:
                return

    def _take_long(self, start: Any, length: int) -> None:
        """Decrypt slice by slice, deliver when the buffer is full and at the end."""
        ssl = self._ssl
        filled = 0
        for at in range(0, length, SLICE):
            BIO_write(self._into, start + at, min(SLICE, length - at))
            while True:
                if filled > _CLEAR_SIZE - RECORD:
                    self.wrappedProtocol.dataReceived(_clear_view[:filled])
                    if self._lostTLSConnection or self._aborted:
                        return
                    filled = 0
                outcome = SSL_read(ssl, _clear + filled, RECORD)
                if outcome <= 0:
                    break
                filled += outcome
            if SSL_get_error(ssl, outcome) != WANT_READ:
                break
        self._pause(filled, outcome)

    def _count(self, data: bytes | bytearray, length: int) -> int:
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

    def _shake(self) -> bool:
        """Go on with the handshake; True when it is done and the connection still wanted."""
        outcome = SSL_do_handshake(self._ssl)
        if outcome != 1:
            if SSL_get_error(self._ssl, outcome) == WANT_READ:
                self._flush()
            else:
                self._finished(self._error(outcome))
            return False
        self._handshakeDone = True
        self._tickets = not self.factory.is_client and SSL_version(self._ssl) == TLS13
        self.factory.shaken(self)
        if IHandshakeListener.providedBy(self.wrappedProtocol):
            self.wrappedProtocol.handshakeCompleted()
        return not self._aborted

    def _deliver(self, records: int) -> None:
        """Hand on the plaintext of `records` complete records, or of all that are there: no more than of one slice."""
        ssl = self._ssl
        filled = 0
        while records:
            if filled > _CLEAR_SIZE - RECORD:
                raise AssertionError("more plaintext than was received")
            outcome = SSL_read(ssl, _clear + filled, RECORD)
            if outcome <= 0:
                self._pause(filled, outcome)
                return
            filled += outcome
            records -= 1
        self.wrappedProtocol.dataReceived(_clear_view[:filled])

    def _pause(self, filled: int, outcome: int) -> None:
        """OpenSSL has no more for now, or for good: hand on the `filled` bytes that came before, then do as it says."""
        ended = SSL_get_error(self._ssl, outcome)
        # An error is taken out of OpenSSL's queue before anything else asks OpenSSL.
        error = None if ended in (WANT_READ, ZERO_RETURN) else self._error(outcome)
        tickets, self._tickets = self._tickets, False
        if filled:
            self.heard = True
            self.wrappedProtocol.dataReceived(_clear_view[:filled])
            if self._lostTLSConnection or self._aborted:
                return
        if ended == WANT_READ:
            # Not all that came was data, so TLS may have something to answer; but tickets go with the first answer, where
            # what asks for that came with the end of the handshake.
            if not (tickets and filled):
                self._flush()
            return
        if error is None:
            self._shutdownTLS()
        self._finished(error)

    def _flush(self) -> None:
        """Pass on what OpenSSL wants to send."""
        while True:
            count = BIO_read(self._from, _cipher, _CIPHER_SIZE)
            if count > 0:
                self._send(count)
            if count < _CIPHER_SIZE:
                return

    def _send(self, count: int) -> None:
        if self._lean:
            self.transport.push(_cipher_memory[:count])
        else:
            self.transport.write(_cipher_view[:count])

    def _error(self, outcome: int) -> Failure:
        """Why OpenSSL returned `outcome`, which takes the reason out of its queue."""
        try:
            self._tlsConnection._raise_ssl_error(self._ssl, outcome)
        except SSL.SysCallError:
            pass  # an end that nobody announced
        except SSL.Error:
            return Failure()
        return Failure(CONNECTION_LOST)

    def _finished(self, reason: Failure | None) -> None:
        """Nothing more comes through TLS; what it has to say of that still goes out."""
        if self._reason is None:
            self._reason = reason
        self._lostTLSConnection = True
        self._flush()
        if not self.factory.is_client:
            answer_plainly(self.transport, reason)
        if self._producer is not None:
            # A paused one would hold the close back for ever.
            self.transport.unregisterProducer()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the carried protocol; an end without TLS's own farewell is a loss, since it may be a cut."""
        if not self._lostTLSConnection:
            self._lostTLSConnection = True
            if self._reason is None and not self.disconnecting and reason.check(ConnectionDone):
                reason = Failure(CONNECTION_LOST)
        reason, self._reason = self._reason or reason, None
        self.connected = 0
        ROUND.opening.pop(self.transport, None)
        self.factory.unregisterProtocol(self)
        wrapped, self.wrappedProtocol = self.wrappedProtocol, None
        try:
            wrapped.connectionLost(reason)
        finally:
            # It may refer back to this protocol, and what OpenSSL holds is freed with it.
            self._tlsConnection = self._ssl = self._into = self._from = self._producer = None

    # Towards the protocol that is carried

    def write(self, data: bytes) -> None:
        """Encrypt and send `data` at once; what comes before the handshake is done waits for it."""
        if self._lostTLSConnection or self._aborted or (self.disconnecting and self._producer is None):
            return
        if self._waiting or not self._handshakeDone:
            self._wait(data)
            return
        length = len(data)
        if length > RECORD:
            self._write_long(data, length)
        elif length:
            outcome = SSL_write(self._ssl, data, length)
            if outcome == length:
                # `_flush`, without a call and without a second question: this is all that one record can be.
                count = BIO_read(self._from, _cipher, _CIPHER_SIZE)
                if self._lean:
                    self.transport.push(_cipher_memory[:count])
                else:
                    self.transport.write(_cipher_view[:count])
            else:
                self._unwritten(data, outcome)

    def _write_long(self, data: bytes, length: int) -> None:
        ssl = self._ssl
        start = _ffi.from_buffer(data)
        done = filled = 0
        while done < length:
            stop = min(done + SLICE, length)
            while done < stop:
                # As much as may be written at once; one record of it where partial writes are on.
                count = SSL_write(ssl, start + done, stop - done)
                if count <= 0:
                    if filled:
                        self._send(filled)
                    self._unwritten(data[done:], count)
                    return
                done += count
            filled += BIO_read(self._from, _cipher + filled, _CIPHER_SIZE - filled)
            if filled > _CIPHER_SIZE - SLICE - RECORD:
                self._send(filled)
                filled = 0
        if filled:
            self._send(filled)

    def _unwritten(self, data: bytes, outcome: int) -> None:
        """OpenSSL did not take `data`: where it must read first, that waits."""
        if outcome > 0 or SSL_get_error(self._ssl, outcome) == WANT_READ:
            self._flush()
            self._wait(data[max(0, outcome) :])
        else:
            self._finished(self._error(outcome))

    def _wait(self, data: bytes) -> None:
        if data:
            self._waiting.append(data)
            if self._producer is not None:
                self._producer.pauseProducing()

    def _write_waiting(self) -> None:
        """Write what waited, all of it or up to where it has to wait again."""
        data, self._waiting = b"".join(self._waiting), []
        self._write_long(data, len(data))
        if self._waiting or self._lostTLSConnection:
            return
        if self._producer is not None:
            self._producer.resumeProducing()
        elif self.disconnecting:
            self._shutdownTLS()

    def _shutdownTLS(self) -> None:
        """Say farewell, or answer one."""
        outcome = SSL_shutdown(self._ssl)
        if outcome < 0:
            ERR_clear_error()  # in the middle of a handshake; the next connection's question must not meet that error
        self._flush()
        if outcome == 1:
            self.transport.loseConnection()
        else:
            self.factory.said_farewell(self)

    @property
    def shaken(self) -> bool:
        """Whether the handshake is done."""
        return self._handshakeDone

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """What ALPN settled on (RFC 7301), None for nothing or not yet."""
        if self._ssl is None:
            return None
        SSL_get0_alpn_selected(self._ssl, _name, _name_length)
        return _ffi.buffer(_name[0], _name_length[0])[:] if _name_length[0] else None


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
        "SSL_version": SSL_version,
        "SSL_shutdown": SSL_shutdown,
        "SSL_get_error": SSL_get_error,
        "SSL_get0_alpn_selected": SSL_get0_alpn_selected,
        "ERR_clear_error": ERR_clear_error,
        "BIO_read": BIO_read,
        "BIO_write": BIO_write,
        "SSL_ERROR_WANT_READ": WANT_READ,
        "SSL_ERROR_ZERO_RETURN": ZERO_RETURN,
        "Connection._raise_ssl_error": getattr(SSL.Connection, "_raise_ssl_error", None),
    }
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        return f"this pyOpenSSL has no {', '.join(missing)}"
    try:
        echo(LeanTLS)
    except Exception as failed:  # whatever it is, the answer is the same: not here
        return f"the try-out failed: {type(failed).__name__}: {failed}"
    return None

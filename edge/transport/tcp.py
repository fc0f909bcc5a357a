"""Lean sockets: a write goes out by the end of the round when nothing is queued, a read goes through one shared buffer.

They are Twisted's own transports with two methods replaced; closing, aborting, producers, half-close and errors stay
Twisted's. An error met while writing at once is never reported from inside `write`: the bytes are queued and the
reactor meets the same error in its ordinary place, so that `connectionLost` never runs under its own protocol's feet.
"""

import socket
from collections.abc import Iterable
from errno import EAGAIN, ENOBUFS
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import main, tcp, unix
from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.error import getConnectError
from twisted.python import log
from twisted.python.failure import Failure

from edge.transport.round import ROUND

QUEUE = 64 * 1024
"""Bytes queued on a socket above which its producer is paused."""

SEND = 320 * 1024
"""The most bytes handed to the kernel in one go, so that one large answer does not hold up the others."""

HOLD = 16 * 1024
"""The most bytes that a connection holds until the end of a round; more is sent at once."""

_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)

INCOMING = bytearray(256 * 1024)
"""One buffer for all: a reactor reads one socket at a time, and what came is taken out before the next is read.
recv(262144) would have to allocate that much for every read, and small reads would pay for large ones."""

_VIEW = memoryview(INCOMING)
_DONE = Failure(main.CONNECTION_DONE)

RECEIVE = 2 * 1024 * 1024
"""What a socket may hold unread where the system would let it hold far more; the kernel doubles it for its own books."""

_MODEST = 8 * 1024 * 1024


@cache
def generous() -> bool:
    """Whether this system's receive buffers may grow beyond what one slow peer should cost (`tcp_rmem`, tcp(7))."""
    try:
        return int(Path("/proc/sys/net/ipv4/tcp_rmem").read_text().split()[2]) > _MODEST
    except (OSError, ValueError, IndexError):
        return False


def bound(made: socket.socket) -> None:
    """Keep the receive buffer within bounds; a system of usual settings does so by itself, and better."""
    if generous():
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE)


def prepare(made: socket.socket) -> None:
    """Small writes leave at once, and a peer that lost its power or its network is missed after two silent minutes.

    A listening socket passes these on to what it accepts.
    """
    bound(made)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option in _KEEPALIVE:
        made.setsockopt(*option)


if TYPE_CHECKING:
    _Base = tcp.Connection
else:
    _Base = object


class Lean(_Base):
    """Goes before one of Twisted's connection classes."""

    bufferSize = QUEUE
    SEND_LIMIT = SEND
    # Nobody else holds the socket (PEP 446), so that closing it ends the connection without a word before.
    _shouldShutdown = False
    shares = False
    """Whether the protocol takes what came out of INCOMING itself: `bufferReceived(count)`."""
    _broken = False
    _reading = False
    held = False
    """Whether what is queued waits for the end of the round."""

    def _own(self) -> None:
        """Make the instance's own what each read and write asks: CPython 3.11 remembers where those are, not a class's."""
        self.connected = 0
        self.disconnecting = 0
        self.shares = False
        self.TLS = False
        self.producer = None
        self.dataBuffer = b""
        self._writeDisconnected = False
        self.held = False

    def doRead(self) -> Any:
        """Read once, at most 256 KiB; what is left waits for the next turn, so that every socket gets its own."""
        try:
            count = self.socket.recv_into(INCOMING)
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not count:
            # A reset that a write has met is told only once: the read after it looks like an orderly end.
            return main.CONNECTION_LOST if self._broken else main.CONNECTION_DONE
        self._reading = True
        try:
            if self.shares:
                self.protocol.bufferReceived(count)  # type: ignore[attr-defined]  # who sets `shares` has it
            else:
                self.protocol.dataReceived(bytes(_VIEW[:count]))
        finally:
            self._reading = False
        if self.disconnecting:
            self._close()
        return None

    def loseConnection(self) -> None:
        """Close once everything is sent: by the end of the read that it is called from, where nothing is queued."""
        if self._reading and self.producer is None and self.connected and not self._writeDisconnected:
            self.disconnecting = 1
        else:
            super().loseConnection()

    def _close(self) -> None:
        """Close now, or when what is queued has gone out."""
        if not self.connected or self._aborting or self.producer is not None:
            return
        if self.held:
            self.release()
        if self.dataBuffer or self._tempDataBuffer:
            self.stopReading()
            self.startWriting()
            return
        try:
            self.connectionLost(_DONE)
        except Exception:  # what the reactor does with it
            log.err(None, "while closing a connection")

    def write(self, data: bytes) -> None:
        """Send by the end of the round what the kernel takes then, queue the rest; `data` is bytes, as for every transport."""
        if not isinstance(data, bytes):
            raise TypeError("Data must be bytes")
        self.push(data)

    def push(self, data: bytes | memoryview) -> None:
        """The same for bytes that are the caller's again afterwards: what cannot be sent now is copied."""
        if self.held and len(data) <= HOLD - self._tempDataLen:
            self._tempDataBuffer.append(bytes(data))
            self._tempDataLen += len(data)
            return
        if self.held:
            self.release()
        if self.dataBuffer or self._tempDataBuffer or self.TLS or not data:
            super().write(bytes(data))
            return
        if not self.connected or self._writeDisconnected:
            return
        # Parts of a stream wait for nobody: who reads it is awake.
        if ROUND.open and self.producer is None and len(data) <= HOLD:
            self.held = True
            self._tempDataBuffer.append(bytes(data))
            self._tempDataLen = len(data)
            ROUND.waiting.append(self)
            return
        self._send(data)

    def release(self) -> None:
        """Send what was held."""
        self.held = False
        if self.dataBuffer:
            self.startWriting()
            return
        data = b"".join(self._tempDataBuffer)
        self._tempDataBuffer.clear()
        self._tempDataLen = 0
        if self.connected and not self._writeDisconnected:
            self._send(data)

    def abortConnection(self) -> None:
        """Break off; what was written before is sent first, as far as the kernel takes it."""
        if self.held:
            self.release()
        super().abortConnection()

    def _send(self, data: bytes | memoryview) -> None:
        length = len(data)
        sent = 0
        try:
            sent = self.socket.send(data if length <= SEND else memoryview(data)[:SEND])
        except OSError as failed:
            self._broken = failed.errno not in (EAGAIN, ENOBUFS)
        if sent == length:
            if self.producer is not None and not self.streamingProducer:
                self.startWriting()  # a pull producer is asked for more when the socket is writable again
            return
        self._tempDataBuffer.append(bytes(memoryview(data)[sent:]) if sent else bytes(data))
        self._tempDataLen += length - sent
        self._maybePauseProducer()
        self.startWriting()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """One write for all the pieces: a copy costs less than a system call for each."""
        self.write(b"".join(iovec))

    def queued(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def _isSendBufferFull(self) -> bool:
        return self.queued() > QUEUE


class LeanServer(Lean, tcp.Server):
    """The server's end of an accepted TCP connection."""

    logstr = "connection"
    address: Any = None
    """The peer's, once it is known."""

    def __init__(
        self, sock: socket.socket, protocol: Any, client: Any, server: Any, sessionno: int, reactor: Any
    ) -> None:
        # Twisted's own also composes two strings for its log from what the protocol says of itself.
        tcp.Connection.__init__(self, sock, protocol, reactor)
        self._own()
        if len(client) != 2:
            self._addressType = IPv6Address
        self.server = server
        self.client = client
        self.hostname: Any = client[0]
        self.sessionno = sessionno
        self.startReading()
        self.connected = 1

    def getPeer(self) -> Any:
        if self.address is None:
            self.address = super().getPeer()
        return self.address

    def __repr__(self) -> str:
        return f"<{type(self).__name__} #{self.sessionno} from {self.hostname}>"


class LeanUNIXServer(LeanServer):
    """The server's end of an accepted UNIX connection; it passes bytes only, no descriptors."""

    def __init__(
        self, sock: socket.socket, protocol: Any, client: Any, server: Any, sessionno: int, reactor: Any
    ) -> None:
        super().__init__(sock, protocol, (client, None), server, sessionno, reactor)

    def getHost(self) -> Any:
        return UNIXAddress(self.socket.getsockname())

    def getPeer(self) -> Any:
        return UNIXAddress(self.hostname or None)

    def getTcpNoDelay(self) -> bool:
        return False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """A UNIX socket never delays."""


class LeanClient(Lean, tcp.Client):
    """Our end of a TCP connection to a service."""

    _asked = False

    def createInternetSocket(self) -> socket.socket:
        made: socket.socket = super().createInternetSocket()
        prepare(made)
        return made

    def doConnect(self) -> None:
        """Connect, and ask at once whether it is done: to a service on this machine it is, without a turn of the reactor.

        In a crush those turns last so long that connections which stand were given up as too slow.
        """
        super().doConnect()
        if not self._asked and not self.connected and not self.disconnected:
            self._asked = True
            super().doConnect()

    def _connectDone(self) -> None:
        self._own()
        super()._connectDone()
        self.connector.factory.connected(self.protocol)


class LeanUNIXClient(Lean, tcp.BaseClient):
    """Our end of a UNIX connection to a service."""

    addressFamily = socket.AF_UNIX

    def __init__(self, path: str, connector: Any, reactor: Any) -> None:
        self.connector = connector
        self.realAddress: Any = path
        self.addr: Any = path
        try:
            made = self.createInternetSocket()
        except OSError as failed:
            self._finishInit(None, None, getConnectError((failed.errno, str(failed))), reactor)
        else:
            self._finishInit(self.doConnect, made, None, reactor)

    def getHost(self) -> Any:
        return UNIXAddress(None)

    def getPeer(self) -> Any:
        return UNIXAddress(self.addr)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """A UNIX socket never delays."""

    def _connectDone(self) -> None:
        self._own()
        super()._connectDone()
        self.connector.factory.connected(self.protocol)


class LeanConnector(tcp.Connector):
    """Makes a `LeanClient`; its factory has `connected(protocol)`, told when the protocol has its transport."""

    def _makeTransport(self) -> Any:
        return LeanClient(self.host, self.port, self.bindAddress, self, self.reactor)


class LeanUNIXConnector(unix.Connector):
    """Makes a `LeanUNIXClient`, likewise."""

    def _makeTransport(self) -> Any:
        return LeanUNIXClient(self.address, self, self.reactor)

"""Listening ports: Twisted's own with what every listener of ours needs, and lean ones."""

import errno
import socket
from typing import Any

from twisted.internet import tcp, unix
from twisted.logger import Logger
from twisted.python import log as twisted_log

from edge.transport.crowd import Crowd
from edge.transport.tcp import LeanServer, LeanUNIXServer, prepare

ACCEPTS = 16
"""Connections accepted in one round; more wait for the next, behind those that are open."""

REST = 0.1
"""Seconds without accepting after the system refused a descriptor or memory; clients wait in the backlog meanwhile."""

SILENCE = 60.0
"""Seconds between two lines in the log that say so."""

_PASSING = (errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR)
# That client left before we came, or a packet filter refused it: the next may be well.


class _Counted:
    """A server's transport that is in the crowd from its making to its end, whatever happens between."""

    _crowd: Crowd | None = None
    _counted = ""
    address: Any = None

    def __init__(self, sock: Any, protocol: Any, client: Any, server: Any, sessionno: int, reactor: Any) -> None:
        super().__init__(sock, protocol, client, server, sessionno, reactor)  # type: ignore[call-arg]  # a transport's
        if server.crowd is not None:
            self._crowd = server.crowd
            self._counted = self._peer()
            self._crowd.enter(self._counted)

    def connectionLost(self, reason: Any) -> None:
        crowd, self._crowd = self._crowd, None
        try:
            super().connectionLost(reason)  # type: ignore[misc]  # a transport's
        finally:
            if crowd is not None:
                crowd.leave(self._counted)

    def speaks_for(self, address: Any) -> bool:
        """Whether the peer may be `address` from now on, of whom the socket's peer told; False where those are too many."""
        if self._crowd is not None:
            if not self._crowd.moves(self._counted, address.host):
                return False
            self._counted = address.host
        self.address = address
        return True

    def _peer(self) -> str:
        return str(self.hostname)  # type: ignore[attr-defined]  # a transport's


class _StockServer(_Counted, tcp.Server):
    def getPeer(self) -> Any:
        return super().getPeer() if self.address is None else self.address


class _StockUNIXServer(_Counted, unix.Server):
    def _peer(self) -> str:
        return ""


class _LeanServer(_Counted, LeanServer):
    pass


class _LeanUNIXServer(_Counted, LeanUNIXServer):
    def _peer(self) -> str:
        return ""


class StockPort(tcp.Port):
    """Twisted's port, with IPv6 only for IPv6, our options for sockets, and a crowd."""

    transport: Any = _StockServer
    crowd: Crowd | None = None

    def createInternetSocket(self) -> socket.socket:
        made: socket.socket = super().createInternetSocket()
        prepare(made)
        if self.addressFamily == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return made


class StockUNIXPort(unix.Port):
    transport: Any = _StockUNIXServer
    crowd: Crowd | None = None


class _Accepting:
    """Accepts with lean transports. Out of descriptors, it rests and tries again: clients wait instead of being cut."""

    log = Logger()
    _silent_until = float("-inf")
    _turn = 1
    # How many are accepted before the others have their turn: twice as many after one in which there were enough,
    # so that one that comes alone costs no second question.

    def doRead(self: Any) -> None:
        for count in range(self._turn):
            try:
                sock, peer = self.socket.accept()
            except BlockingIOError:
                self._turn = count or 1
                return
            except OSError as failed:
                if failed.errno in _PASSING:
                    continue
                self._rest(failed)
                return
            try:
                self._serve(sock, peer)
            except Exception:  # one connection's trouble: the next is served all the same
                twisted_log.err(None, "while accepting a connection")
        self._turn = min(2 * self._turn, ACCEPTS)

    def _serve(self: Any, sock: socket.socket, peer: Any) -> None:
        if len(peer) == 4 and peer[3]:
            peer = (socket.getnameinfo(peer, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0], *peer[1:])
        transport = None
        try:
            address = self._buildAddr(peer)
            protocol = self.factory.buildProtocol(address)
            if protocol is not None:
                self.sessionno += 1
                transport = self.transport(sock, protocol, peer, self, self.sessionno, self.reactor)
                transport.address = address
        finally:
            if transport is None:
                sock.close()
        if transport is None:
            return
        try:
            protocol.makeConnection(transport)
        except Exception:
            transport.abortConnection()
            raise

    def _rest(self: Any, failed: OSError) -> None:
        now = self.reactor.seconds()
        if now >= self._silent_until:
            self._silent_until = now + SILENCE
            self.log.warn("cannot accept connections for now: {why}", why=failed.strerror)
        self.stopReading()
        self.reactor.callLater(REST, self._wake)

    def _wake(self: Any) -> None:
        if self.connected and not self.disconnecting:
            self.startReading()


class LeanPort(_Accepting, StockPort):
    transport = _LeanServer


class LeanUNIXPort(_Accepting, StockUNIXPort):
    transport = _LeanUNIXServer

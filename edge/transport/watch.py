"""Notices peers that left while nobody reads from them.

A transport whose reading is paused is out of the reactor's sight, so a client that hangs up is not missed until
somebody writes. A watch asks the kernel on its own: an epoll with all watched sockets in it, itself one descriptor that
any reactor can read. One case stays unseen: a FIN behind a full receive window never arrives.
"""

import contextlib
from collections.abc import Callable
from select import EPOLLONESHOT, EPOLLRDHUP, epoll
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

_EVENTS = 256


@define(eq=False)
class _Post:
    """One watched socket: told at most once, and not after it was discarded."""

    fd: int
    transport: Any
    gone: Callable[[], None] | None


@implementer(IReadDescriptor)
class Watch:
    """Tells once for each transport when its peer has closed, shut down its sending, or broken the connection.

    At most one entry for each descriptor of the process; an entry whose socket was closed without a `discard` goes
    when its number is used again.
    """

    log = Logger()

    def __init__(self, reactor: IReactorFDSet) -> None:
        self._reactor = reactor
        self._epoll = epoll()
        self._by_fd: dict[int, _Post] = {}
        self._by_transport: dict[Any, _Post] = {}
        self._reading = False

    def __len__(self) -> int:
        return len(self._by_fd)

    def add(self, transport: Any, gone: Callable[[], None]) -> None:
        """Call `gone()` from the reactor as soon as the peer of `transport` (TCP, UNIX, or TLS over them) has left.

        A second `add` replaces the first. A transport that is closed already is not watched: its protocol has been told.
        """
        socket = _socket_of(transport)
        if socket is None or socket.fileno() < 0:
            return
        self.discard(transport)
        fd = socket.fileno()
        stale = self._by_fd.get(fd)
        if stale is not None:
            self._forget(stale)  # its socket was closed, which took it out of the epoll, and the number is ours now
        try:
            self._epoll.register(fd, EPOLLRDHUP | EPOLLONESHOT)
        except FileExistsError:
            self._epoll.modify(fd, EPOLLRDHUP | EPOLLONESHOT)
        post = _Post(fd, transport, gone)
        self._by_fd[fd] = self._by_transport[transport] = post
        if not self._reading:
            self._reading = True
            self._reactor.addReader(self)

    def discard(self, transport: Any) -> None:
        """Watch it no more; harmless when it is not watched, or closed already."""
        post = self._by_transport.get(transport)
        if post is not None:
            self._forget(post)
            self._unregister(post)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self)
        self._by_fd.clear()
        self._by_transport.clear()
        self._epoll.close()

    def _forget(self, post: _Post) -> None:
        post.gone = None
        del self._by_fd[post.fd]
        del self._by_transport[post.transport]

    def _unregister(self, post: _Post) -> None:
        socket = _socket_of(post.transport)
        if socket is not None and socket.fileno() == post.fd:  # else the kernel took it out when it was closed
            with contextlib.suppress(FileNotFoundError):
                self._epoll.unregister(post.fd)

    # What a reactor asks of a descriptor.

    def fileno(self) -> int:
        return self._epoll.fileno()

    def doRead(self) -> None:
        """Tell of those that left. All are looked up first: a callback may close one and open another in its place."""
        left = [self._by_fd[fd] for fd, _ in self._epoll.poll(0, _EVENTS) if fd in self._by_fd]
        for post in left:
            gone = post.gone
            if gone is None:
                continue
            self._forget(post)
            self._unregister(post)
            try:
                gone()
            except Exception:
                self.log.failure("while telling that a peer has left")

    def connectionLost(self, reason: Any) -> None:
        """The reactor gave up on us, which it does only when it shuts down."""
        self._reading = False

    def logPrefix(self) -> str:
        return "watch"


def _socket_of(transport: Any) -> Any:
    """The socket at the bottom of `transport`, None when it is closed."""
    while transport is not None:
        socket = getattr(transport, "socket", None)
        if socket is not None:
            return socket
        transport = getattr(transport, "transport", None)
    return None

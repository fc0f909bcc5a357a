"""Opens listening sockets, with lean or with stock transports, and says in one line why it could not."""

import errno
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from attrs import define
from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory
from zope.interface import implementer

from edge.errors import ListenError
from edge.transport.crowd import Crowd
from edge.transport.ports import LeanPort, LeanUNIXPort, StockPort, StockUNIXPort
from edge.transport.secure import HANDSHAKE, ServerContexts, TLSFactory, server_side

_EVERYWHERE = ("", "*")
_WHY = {
    errno.EADDRINUSE: "the port is taken by another program",
    errno.EACCES: "not permitted: ports below 1024 are for root or CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EAFNOSUPPORT: "this machine has no such kind of address",
}


def listen(
    reactor: Any,
    fast: bool,
    address: str | int,
    factory: IProtocolFactory,
    tls: ServerContexts | None = None,
    backlog: int = 1024,
    crowd: Crowd | None = None,
    handshake: float = HANDSHAKE,
    mode: int = 0o660,
    below: Callable[[Any], Any] | None = None,
) -> "Listening":
    """Bind and listen now; connections are served once `reactor` runs.

    `address` is a port or `"PORT"` (every IPv4 and IPv6 address), `"HOST:PORT"`, `"[IPV6]:PORT"` or `"unix:PATH"`.
    `fast` takes the lean transports, else Twisted's. `tls` makes OpenSSL connections: with it, the protocols of `factory`
    speak inside TLS, and a peer has `handshake` seconds to get there. `crowd` refuses connections over its limits.
    `mode` is the permissions of a UNIX socket. `below` wraps the factory that meets the bytes first, under TLS: the place
    for the PROXY protocol. Raises ListenError, with nothing left open.
    """
    secured: TLSFactory | None = None
    if tls is not None:
        factory = secured = server_side(reactor, fast, tls, factory, handshake)
    if below is not None:
        factory = below(factory)
    if crowd is not None:
        factory = _Guarded(factory, crowd)
    where = str(address)
    if where.startswith("unix:"):
        return Listening((_listen_unix(reactor, fast, where[5:], factory, backlog, crowd, mode),), secured)
    host, port = _split(where)
    if host in _EVERYWHERE:
        return Listening(_listen_everywhere(reactor, fast, port, factory, backlog, crowd), secured)
    ports: list[tcp.Port] = []
    try:
        for one in _addresses(host, port):
            at = ports[0].getHost().port if ports else port
            ports.append(_listen_tcp(reactor, fast, one, at, factory, backlog, crowd))
    except ListenError:
        _close(ports)
        raise
    return Listening(tuple(ports), secured)


@implementer(IListeningPort)
@define(eq=False)
class Listening:
    """One address that is listened on, which may be several sockets."""

    ports: tuple[Any, ...]
    secured: TLSFactory | None = None
    """What speaks TLS here, for its counts."""

    def startListening(self) -> None:
        """It listens already."""

    def stopListening(self) -> "Deferred[Any]":
        """Accept no more; fires when the sockets are closed. Open connections go on."""
        return gatherResults([maybeDeferred(port.stopListening) for port in self.ports])

    def getHost(self) -> IAddress:
        """The address of the first socket; all have the same port."""
        return self.hosts()[0]

    def hosts(self) -> list[IAddress]:
        """The address of every socket."""
        return [port.getHost() for port in self.ports]


class _Guarded(Factory):
    """Builds protocols while the crowd is not full."""

    noisy = False

    def __init__(self, factory: Any, crowd: Crowd) -> None:
        self._factory = factory
        self._crowd = crowd

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        return self._factory.buildProtocol(addr) if self._crowd.admits(getattr(addr, "host", "")) else None


def _listen_tcp(
    reactor: Any, fast: bool, host: str, port: int, factory: Any, backlog: int, crowd: Crowd | None
) -> tcp.Port:
    made = (LeanPort if fast else StockPort)(port, factory, backlog, host, reactor)
    made.crowd = crowd
    _start(made, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return made


def _listen_everywhere(
    reactor: Any, fast: bool, port: int, factory: Any, backlog: int, crowd: Crowd | None
) -> tuple[tcp.Port, ...]:
    """Two sockets, so that an IPv4 peer is seen with its IPv4 address; one where the machine has no IPv6."""
    first = _listen_tcp(reactor, fast, "0.0.0.0", port, factory, backlog, crowd)  # noqa: S104 - what was asked for
    try:
        return first, _listen_tcp(reactor, fast, "::", first.getHost().port, factory, backlog, crowd)
    except ListenError as failed:
        if getattr(failed.__cause__, "errno", None) in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return (first,)
        _close([first])
        raise


def _listen_unix(
    reactor: Any, fast: bool, path: str, factory: Any, backlog: int, crowd: Crowd | None, mode: int
) -> unix.Port:
    _clear_stale(path)
    made = (LeanUNIXPort if fast else StockUNIXPort)(path, factory, backlog, mode, reactor)  # type: ignore[arg-type]  # str is fine
    made.crowd = crowd
    _start(made, f"unix:{path}")
    return made


def _start(port: Any, where: str) -> None:
    try:
        port.startListening()
    except (CannotListenError, OSError) as failed:
        cause = failed.socketError if isinstance(failed, CannotListenError) else failed
        number = getattr(cause, "errno", None)
        why = _WHY.get(number) if number is not None else None
        if where.startswith("unix:") and number != errno.EADDRINUSE:
            why = None
        raise ListenError(f"cannot listen on {where}: {why or getattr(cause, 'strerror', None) or cause}") from cause


def _close(ports: list[tcp.Port]) -> None:
    for port in ports:
        port.stopListening()


def _split(address: str) -> tuple[str, int]:
    """`HOST:PORT`, `[IPV6]:PORT`, `:PORT` or `PORT` as host (`""`: everywhere) and port."""
    host, _, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise ListenError(f"cannot listen on {address!r}: give PORT, HOST:PORT, [IPV6]:PORT or unix:PATH")
    return (host[1:-1] if bracketed else host), int(port)


def _addresses(host: str, port: int) -> list[str]:
    """The numeric addresses of `host`; asked once, before anything is served, so it may wait for an answer."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as failed:
        why = getattr(failed, "strerror", None) or str(failed)
        raise ListenError(f"cannot listen on {host}:{port}: no address for {host!r} ({why})") from failed
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def _clear_stale(path: str) -> None:
    """Remove a socket that a program left behind when it died; raises ListenError if one lives, or it is no socket."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ListenError(f"cannot listen on unix:{path}: a file that is not a socket is there")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(0.5)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)  # noqa: PTH108 - beside lstat
                return
            except (BlockingIOError, TimeoutError):
                pass  # its backlog is full: somebody listens
            except PermissionError as failed:
                raise ListenError(f"cannot listen on unix:{path}: another user's socket is there") from failed
        raise ListenError(f"cannot listen on unix:{path}: another program answers there")

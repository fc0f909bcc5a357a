"""An upstream that misbehaves on command: real sockets, one thread a connection, driven by small scripts.

    def truncated(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nhalf")
        peer.reset()

    with Rogue(truncated) as rogue: ...  # rogue.url

The first connection follows the first script, the next the second, and all further ones the last. A script that
returns closes its connection in an orderly way.
"""

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

PATIENCE = 10.0
"""Seconds after which a script or a wait gives up, and its test fails."""


class Peer:
    """One accepted connection, as its script sees it."""

    def __init__(self, sock: Any, index: int) -> None:
        self.socket = sock
        self.index = index
        self.received = bytearray()
        """Every byte so far."""
        self.requests: list[bytes] = []
        """The heads that `head` gave."""
        self.gone = threading.Event()
        """Set once the other side has closed or reset the connection, and `hold` or a read has seen it."""
        self.go = threading.Event()
        """For the test to let a script go on."""
        self._unread = bytearray()

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise
        except OSError:
            data = b""
        if not data:
            self.gone.set()
            return False
        self.received += data
        self._unread += data
        return True

    def head(self) -> bytes:
        """Waits for a whole head; b"" where the other side leaves first."""
        while b"\r\n\r\n" not in self._unread:
            if not self._more():
                return b""
        found, _, self._unread = self._unread.partition(b"\r\n\r\n")
        head = bytes(found)
        self.requests.append(head)
        return head

    def body(self, size: int) -> bytes:
        """Waits for `size` bytes after the head."""
        while len(self._unread) < size and self._more():
            pass
        data = bytes(self._unread[:size])
        del self._unread[:size]
        return data

    def some(self) -> bytes:
        """Whatever comes next; b"" once the other side has left."""
        if not self._unread:
            self._more()
        return self.body(len(self._unread))

    def send(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def answer(self, body: bytes = b"ok", more: bytes = b"", status: bytes = b"200 OK") -> None:
        """A well-formed answer."""
        self.send(b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, more, len(body), body))

    def wait(self) -> None:
        """Until the test sets `go`."""
        assert self.go.wait(PATIENCE)

    def hold(self) -> None:
        """Reads and waits until the other side leaves."""
        while self._more():
            pass

    def reset(self) -> None:
        """Closes with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # A socket under TLS is closed below it, so that no close_notify goes out.
        socket.socket.close(self.socket)

    def cut(self) -> None:
        """Closes with a FIN, under TLS without a close_notify."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
        socket.socket.close(self.socket)

    def farewell(self) -> None:
        """Ends TLS with its close_notify, then closes."""
        with contextlib.suppress(OSError, ssl.SSLError):
            self.socket.unwrap()
        self.socket.close()


Script = Callable[[Peer], None]


class Rogue:
    """The listening side; a context manager. With `tls` it speaks TLS, with `path` it listens on a unix socket."""

    def __init__(
        self, *scripts: Script, tls: ssl.SSLContext | None = None, path: Path | None = None, receive: int = 0
    ) -> None:
        self._scripts = scripts
        self._tls = tls
        self._path = path
        self._listener = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        if receive:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.peers: list[Peer] = []
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Rogue":
        self._listener.bind(("127.0.0.1", 0) if self._path is None else str(self._path))
        self._listener.listen(64)
        scheme = "http" if self._tls is None else "https"
        if self._path is None:
            self.port = self._listener.getsockname()[1]
            self.url = f"{scheme}://127.0.0.1:{self.port}"
        else:
            self.url = f"unix:{self._path}"
        self._start(self._accept)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self.peers:
            peer.go.set()
            with contextlib.suppress(OSError):
                socket.socket.shutdown(peer.socket, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        if kind is None and self.errors:
            raise self.errors[0]

    def _start(self, run: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE)
            index = len(self.peers)
            peer = Peer(sock, index)
            self.peers.append(peer)
            self._start(self._run, peer, self._scripts[min(index, len(self._scripts) - 1)])

    def _run(self, peer: Peer, script: Script) -> None:
        try:
            if self._tls is not None:
                try:
                    peer.socket = self._tls.wrap_socket(peer.socket, server_side=True)
                except (OSError, ssl.SSLError):
                    peer.gone.set()
                    return
            script(peer)
        except BaseException as error:
            self.errors.append(error)
        finally:
            with contextlib.suppress(OSError):
                peer.socket.close()

    @property
    def requests(self) -> list[bytes]:
        """The request lines that scripts read, in no order across connections."""
        return [re.split(rb"\r\n", head)[0] for peer in self.peers for head in peer.requests]


def serving(peer: Peer) -> None:
    """Answers every request with its own request line."""
    while head := peer.head():
        peer.answer(head.split(b"\r\n")[0])


async def eventually(true: Callable[[], object], patience: float = PATIENCE) -> None:
    """Lets the reactor run until `true()`, and fails when that takes too long."""
    for _ in range(int(patience / 0.005)):
        if true():
            return
        await deferLater(reactor, 0.005, lambda: None)  # type: ignore[arg-type]
    raise AssertionError("it did not happen in time")

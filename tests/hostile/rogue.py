"""A server behind the gate that lies on command: a path names the script that answers, over blocking raw sockets."""

import contextlib
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class Left(Exception):
    """The gate closed its connection."""


class Line:
    """One connection from the gate, and the request that it has sent."""

    def __init__(self, rogue: "Rogue", made: socket.socket, number: int) -> None:
        self.rogue = rogue
        self.socket = made
        self.number = number
        self.head = b""
        self.held = b""

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].partition(b"?")[0].decode("latin-1")

    def field(self, name: str) -> str | None:
        found = re.search(rb"\r\n" + name.encode() + rb": *([^\r]*)", self.head, re.IGNORECASE)
        return found[1].decode("latin-1") if found else None

    def receive(self, most: int = 65536) -> bytes:
        if self.held:
            data, self.held = self.held[:most], self.held[most:]
            return data
        try:
            data = self.socket.recv(min(most, 65536))
        except OSError:
            raise Left from None
        if not data:
            raise Left
        return data

    def next_head(self) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.receive()
        head, _, self.held = data.partition(b"\r\n\r\n")
        self.head = head + b"\r\n\r\n"

    def body(self) -> bytes:
        """The whole body of the request, decoded."""
        data = b""
        length = _LENGTH.search(self.head)
        if length:
            while len(data) < int(length[1]):
                data += self.receive(int(length[1]) - len(data))
        elif _CHUNKED.search(self.head):
            raw = b""
            while True:
                while b"\r\n" not in raw:
                    raw += self.receive()
                size, _, raw = raw.partition(b"\r\n")
                while len(raw) < int(size, 16) + 2:
                    raw += self.receive()
                data, raw = data + raw[: int(size, 16)], raw[int(size, 16) + 2 :]
                if not int(size, 16):
                    break
        return data

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            raise Left from None

    def wait_gone(self) -> None:
        """Until the gate closes."""
        while True:
            self.receive()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Script = Callable[[Line], object]


def plain(line: Line) -> None:
    line.body()
    line.send(OK)


class Rogue:
    """Listens on a free loopback port. A script returns when the connection may serve another request."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.heard: list[bytes] = []
        """Every head, as it came."""
        self.seen: Counter[str] = Counter()
        self.gone: dict[str, list[float]] = {}
        """When the gate closed a connection whose request was under way, by path."""
        self.connections = 0
        self.open = 0
        self._lock = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._sockets: set[socket.socket] = set()
        self._closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Rogue":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in tuple(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def on(self, path: str, script: Script) -> str:
        """Answers `path` by `script`; the path."""
        self.scripts[path] = script
        return path

    def raw(self, path: str, data: bytes, then: str = "close") -> str:
        """Answers `path` with bytes, and then closes, resets or keeps the connection, or hangs."""

        def script(line: Line) -> None:
            line.body()
            line.send(data)
            if then == "close":
                with contextlib.suppress(OSError):
                    line.socket.shutdown(socket.SHUT_WR)
                line.wait_gone()
            elif then == "reset":
                # The gate must have what was sent before the reset overtakes it.
                time.sleep(0.05)
                line.reset()
                raise Left
            elif then == "hang":
                line.wait_gone()

        return self.on(path, script)

    def wait_for(self, true: Callable[[], object], seconds: float = 5.0) -> bool:
        """Waits until something that requests change is true."""
        with self._lock:
            return self._lock.wait_for(lambda: bool(true()), seconds)

    def mark(self, what: str) -> None:
        """Counts something that a script saw."""
        self.seen[what] += 1
        self._note()

    def left(self, path: str) -> None:
        """The gate gave up a request."""
        self.gone.setdefault(path, []).append(time.monotonic())
        self._note()

    def _note(self) -> None:
        with self._lock:
            self._lock.notify_all()

    def _accept(self) -> None:
        while not self._closing:
            try:
                made, _ = self._listener.accept()
            except OSError:
                return
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._sockets.add(made)
            threading.Thread(target=self._serve, args=(made, self.connections), daemon=True).start()

    def _serve(self, made: socket.socket, number: int) -> None:
        line = Line(self, made, number)
        self.open += 1
        try:
            while True:
                line.head = b""
                line.next_head()
                path = line.path
                self.heard.append(line.head)
                self.seen[path] += 1
                self._note()
                try:
                    self.scripts.get(path, plain)(line)
                except Left:
                    self.left(path)
                    raise
        except Left:
            pass
        finally:
            self.open -= 1
            self._sockets.discard(made)
            with contextlib.suppress(OSError):
                made.close()
            self._note()

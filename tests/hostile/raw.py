"""Clients made of bytes: what is sent is exactly what a test says, what comes back is read by a strict small reader."""

import re
import socket
import ssl
import time
from typing import Any

from attrs import define, field

from tests.live.gate import Gate

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")


@define
class Got:
    """An answer as it was seen. `end` is `complete`, `cut` (closed too early), `reset`, `waiting`, or `nothing`."""

    status: int = 0
    fields: list[tuple[str, str]] = field(factory=list)
    body: bytes = b""
    end: str = "nothing"
    interim: list[int] = field(factory=list)
    closes: bool = False

    def field(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key == name), None)

    @property
    def reason(self) -> str | None:
        return self.field("x-aigate-reason")


class Client:
    """One connection to a gate, over TLS or not; `alpn` picks a protocol."""

    def __init__(
        self, gate: Gate, listener: str = "https", alpn: str | None = None, window: int = 0, timeout: float = 10.0
    ) -> None:
        raw = socket.socket()
        if window:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        raw.settimeout(timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.connect(("127.0.0.1", gate.port(listener)))
        self.gate = gate
        self.raw: socket.socket = raw
        self.line: Any = raw
        if listener == "https":
            context = gate.context(*([alpn] if alpn else []))
            self.line = context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False)
        self.held = b""
        self.ended = ""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves at once, without TLS's farewell, as a program does that is killed."""
        self.line.close()

    def reset(self) -> None:
        import struct

        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.line.close()

    def send(self, data: bytes) -> "Client":
        self.line.sendall(data)
        return self

    def head(self, method: str, path: str, *fields: str, key: str | None = "", version: str = "1.1") -> bytes:
        """A plain request head with the first key; `key` None sends none."""
        lines = [f"{method} {path} HTTP/{version}", "Host: localhost"]
        if key is not None:
            lines.append(f"X-API-Key: {key or self.gate.key}")
        return ("\r\n".join([*lines, *fields]) + "\r\n\r\n").encode("latin-1")

    def more(self) -> bool:
        """Reads once; False at the end of the connection, which `ended` then describes."""
        try:
            data = self.line.recv(65536)
        except TimeoutError:
            self.ended = "waiting"
            return False
        except ssl.SSLEOFError:
            self.ended = "cut"
            return False
        except OSError:
            self.ended = "reset"
            return False
        if not data:
            self.ended = "closed"
            return False
        self.held += data
        return True

    def take(self, timeout: float = 10.0, head_only: bool = False) -> Got:
        """Reads one answer. Anything that is not an answer of HTTP/1.1 is an AssertionError."""
        self.line.settimeout(timeout)
        self.ended = ""
        got = Got()
        while True:
            while b"\r\n\r\n" not in self.held:
                if not self.more():
                    got.end = {"closed": "nothing"}.get(self.ended, self.ended) if not self.held else "cut"
                    return got
            head, _, self.held = self.held.partition(b"\r\n\r\n")
            line = _STATUS.match(head + b"\r\n")
            assert line, head
            if line[1][:1] != b"1" or line[1] == b"101":
                break
            got.interim.append(int(line[1]))
        got.status = int(line[1])
        for one in head.split(b"\r\n")[1:]:
            name, colon, value = one.partition(b": ")
            assert colon and re.fullmatch(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name), one
            got.fields.append((name.decode().lower(), value.decode("latin-1")))
        got.closes = got.field("connection") == "close"
        if head_only or got.status in (101, 204, 304):
            got.end = "complete"
            return got
        if got.field("transfer-encoding") == "chunked":
            return self._chunked(got)
        length = got.field("content-length")
        if length is None:
            while self.more():
                pass
            got.body, self.held = self.held, b""
            got.end = {"closed": "complete"}.get(self.ended, self.ended)
            return got
        while len(self.held) < int(length):
            if not self.more():
                got.body, self.held = self.held, b""
                got.end = "waiting" if self.ended == "waiting" else "cut"
                return got
        got.body, self.held = self.held[: int(length)], self.held[int(length) :]
        got.end = "complete"
        return got

    def _chunked(self, got: Got) -> Got:
        while True:
            while b"\r\n" not in self.held:
                if not self.more():
                    got.end = "waiting" if self.ended == "waiting" else "cut"
                    return got
            size, _, rest = self.held.partition(b"\r\n")
            assert re.fullmatch(rb"[0-9a-f]{1,8}", size), size
            need = int(size, 16) + 2
            while len(rest) < need:
                held, self.held = self.held, b""
                if not self.more():
                    self.held = held
                    got.end = "waiting" if self.ended == "waiting" else "cut"
                    return got
                rest += self.held
                self.held = held + self.held
            assert rest[need - 2 : need] == b"\r\n"
            got.body += rest[: need - 2]
            self.held = rest[need:]
            if need == 2:
                got.end = "complete"
                return got

    def until_closed(self, seconds: float) -> tuple[str, float]:
        """Waits for the end of the connection: (how it ended or `waiting`, seconds that it took); bytes go into `held`."""
        begun = time.monotonic()
        self.ended = ""
        while True:
            left = begun + seconds - time.monotonic()
            if left <= 0:
                return "waiting", time.monotonic() - begun
            self.line.settimeout(left)
            if not self.more():
                return self.ended, time.monotonic() - begun


def ask(gate: Gate, data: bytes, listener: str = "plain", timeout: float = 10.0, head_only: bool = False) -> Got:
    """Sends bytes on a connection of their own, and reads one answer."""
    with Client(gate, listener) as client:
        client.send(data)
        return client.take(timeout, head_only)

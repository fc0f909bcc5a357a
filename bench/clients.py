"""Load that wrk cannot make, each a process that prints one JSON object: `python -m bench.clients KIND URL HEADER …`.

connections N RESUME · streams N EVENTS MS · download N · upload MEGABYTES · sockets N SECONDS
"""

import base64
import contextlib
import json
import os
import re
import resource
import select
import socket
import ssl
import sys
import time
from typing import Any
from urllib.parse import urlsplit

_SENT_AT = re.compile(rb'"t":(\d+)')


def context() -> ssl.SSLContext:
    """TLS that trusts anybody: who the other end is, is no part of the measurement."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["http/1.1"])
    return made


class Target:
    """Where the requests go."""

    def __init__(self, url: str, header: str) -> None:
        split = urlsplit(url)
        self.port = split.port or 443
        self.path = split.path
        self.header = header
        self.tls = context() if split.scheme == "https" else None

    def connect(self, session: ssl.SSLSession | None = None) -> Any:
        made = socket.create_connection(("127.0.0.1", self.port), 60)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(made, server_hostname="localhost", session=session) if self.tls else made

    def head(self, method: str, query: str = "", more: str = "") -> bytes:
        return (
            f"{method} {self.path}{query} HTTP/1.1\r\nHost: localhost:{self.port}\r\n{self.header}\r\n"
            f"Accept: */*\r\nUser-Agent: bench\r\n{more}\r\n"
        ).encode()


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def answer(sock: Any) -> bytes:
    """A whole answer with a Content-Length, or the chunks of one until the last."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    if b" 200 " not in head[:16]:
        raise SystemExit(f"refused: {head[:80]!r}")
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    while (len(body) < int(found[1])) if found else not body.endswith(b"0\r\n\r\n"):
        body += _more(sock)
    return body


def _more(sock: Any) -> bytes:
    data: bytes = sock.recv(262144)
    if not data:
        raise SystemExit("the connection ended early")
    return data


def connections(target: Target, count: str, resume: str) -> dict[str, Any]:
    """New connections one after the other, a request on each; resumed where `resume` is 1."""
    session = None
    reused = 0
    taken = []
    began = time.monotonic()
    for _ in range(int(count)):
        at = time.monotonic()
        sock = target.connect(session)
        sock.sendall(target.head("GET", more="Connection: close\r\n"))
        answer(sock)
        if resume == "1":
            session = sock.session
        reused += sock.session_reused
        taken.append(time.monotonic() - at)
        with contextlib.suppress(OSError):
            sock.unwrap()
        sock.close()
    return {
        "count": int(count),
        "seconds": time.monotonic() - began,
        "p50": percentile(taken, 0.5),
        "p99": percentile(taken, 0.99),
        "more": {"resumed": reused / int(count)},
    }


class Stream:
    """One SSE stream."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.first = 0.0
        self.tail = b""
        self.events = 0


def streams(target: Target, count: str, events: str, interval: str) -> dict[str, Any]:
    """Streams side by side; the delay of an event is from its sending at the service to its reading here.

    What is counted begins when the last stream has its first event: opening them is another case's work.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    poll = select.epoll()
    open_: dict[int, Stream] = {}
    for _ in range(int(count)):
        stream = Stream(target.connect())
        stream.sock.setblocking(False)
        open_[stream.sock.fileno()] = stream
        poll.register(stream.sock.fileno(), select.EPOLLIN)
    head = target.head("GET", f"?n={events}&ms={interval}")
    delays: list[float] = []
    firsts: list[float] = []
    errors = got = 0
    began = steady = time.monotonic()
    before = 0
    sent = {}
    waiting = list(open_.items())
    pace = max(1, int(count) // 20)
    while open_:
        # Begun over a second, so that the events do not all fall due at the same moment.
        for fd, stream in waiting[:pace]:
            sent[fd] = time.monotonic()
            stream.sock.send(head)
        del waiting[:pace]
        for fd, _ in poll.poll(0.05 if waiting else 30):
            stream = open_[fd]
            data = b""
            try:
                while len(piece := stream.sock.recv(65536)) == 65536:
                    data += piece
                data += piece
                ended = not data
            except (ssl.SSLWantReadError, BlockingIOError):
                ended = False
            except OSError:
                ended = True
            now = time.monotonic_ns()
            if data and not stream.first:
                stream.first = time.monotonic() - sent[fd]
                firsts.append(stream.first)
                if len(firsts) == int(count):
                    steady, before = time.monotonic(), got
            for found in _SENT_AT.findall(stream.tail + data):
                delays.append((now - int(found)) / 1e9)
                stream.events += 1
                got += 1
            # An event lies whole in what one write brought; only its number could be counted twice from a tail.
            stream.tail = b""
            if data.endswith(b"0\r\n\r\n") or ended:
                errors += stream.events != int(events)
                poll.unregister(fd)
                stream.sock.close()
                del open_[fd]
        if time.monotonic() - began > int(events) * float(interval) / 1000 + 60:
            errors += len(open_)
            break
    return {
        "count": got - before,
        "seconds": time.monotonic() - steady,
        "p50": percentile(delays, 0.5),
        "p99": percentile(delays, 0.99),
        "errors": errors,
        "more": {"began": steady, "first_p50": percentile(firsts, 0.5), "first_p99": percentile(firsts, 0.99)},
    }


def download(target: Target, count: str) -> dict[str, Any]:
    """Whole answers over one connection; `count` is of megabytes."""
    sock = target.connect()
    got = 0
    began = time.monotonic()
    view = memoryview(bytearray(262144))
    for _ in range(int(count)):
        sock.sendall(target.head("GET"))
        data = b""
        while b"\r\n\r\n" not in data:
            data += _more(sock)
        head, _, body = data.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: *(\d+)", head)
        if found is None or b" 200 " not in head[:16]:
            raise SystemExit(f"refused: {head[:80]!r}")
        left = int(found[1]) - len(body)
        got += int(found[1])
        while left:
            left -= sock.recv_into(view, min(left, len(view)))
    return {"count": got / 2**20, "seconds": time.monotonic() - began}


def upload(target: Target, megabytes: str) -> dict[str, Any]:
    """One request with a body of that size, written as fast as it is taken."""
    sock = target.connect()
    part = b"x" * 2**20
    began = time.monotonic()
    sock.sendall(target.head("POST", more=f"Content-Length: {int(megabytes) * 2**20}\r\n"))
    for _ in range(int(megabytes)):
        sock.sendall(part)
    answer(sock)
    return {"count": int(megabytes), "seconds": time.monotonic() - began}


def sockets(target: Target, count: str, seconds: str) -> dict[str, Any]:
    """WebSockets side by side, one frame of 64 bytes there and back at a time on each."""
    key = base64.b64encode(os.urandom(16)).decode()
    more = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    frame = b"\x82\xc0" + b"\0\0\0\0" + b"x" * 64
    reply = 2 + 64
    poll = select.epoll()
    open_ = {}
    for _ in range(int(count)):
        sock = target.connect()
        sock.sendall(target.head("GET", more=more))
        said = _more(sock)
        if b" 101 " not in said:
            raise SystemExit(f"refused: {said[:80]!r}")
        sock.setblocking(False)
        open_[sock.fileno()] = sock
        poll.register(sock.fileno(), select.EPOLLIN)
    at = {}
    taken: list[float] = []
    for fd, sock in open_.items():
        at[fd] = time.monotonic()
        sock.send(frame)
    began = time.monotonic()
    while (now := time.monotonic()) < began + float(seconds):
        for fd, _ in poll.poll(5):
            try:
                data = open_[fd].recv(4096)
            except ssl.SSLWantReadError:
                continue
            if len(data) != reply:
                raise SystemExit(f"{len(data)} bytes came back")
            now = time.monotonic()
            taken.append(now - at[fd])
            at[fd] = now
            open_[fd].send(frame)
    return {
        "count": len(taken),
        "seconds": time.monotonic() - began,
        "p50": percentile(taken, 0.5),
        "p99": percentile(taken, 0.99),
        "more": {"began": began},
    }


KINDS = {
    "connections": connections,
    "streams": streams,
    "download": download,
    "upload": upload,
    "sockets": sockets,
}

if __name__ == "__main__":
    kind, url, header, *arguments = sys.argv[1:]
    json.dump(KINDS[kind](Target(url, header), *arguments), sys.stdout)

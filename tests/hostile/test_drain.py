"""SIGTERM: what is open finishes, nothing new comes in, and the process ends with the last stream."""

import base64
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hostile.h2raw import GOAWAY, Frames
from tests.hostile.raw import Client
from tests.hostile.rogue import Line, Rogue
from tests.hostile.test_gone import _websocket
from tests.live.gate import Gate

pytestmark = pytest.mark.live


@contextmanager
def started(rogue: Rogue, folder: Path, drain: str = "20s") -> Iterator[Gate]:
    services = {
        "any": {"plugin": "http", "route": "/any/api", "upstreams": [rogue.url], "options": {"websocket": True}}
    }
    with Gate(folder, services, f'[drain]\ntimeout = "{drain}"\n', plain=True) as gate:
        yield gate


def ends(gate: Gate, seconds: float) -> float:
    """Seconds until the process has ended."""
    assert gate.process is not None
    begun = time.monotonic()
    code = gate.process.wait(seconds)
    took = time.monotonic() - begun
    gate.process = None
    assert code == 0
    return took


def closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return True
    return False


def test_what_is_open_finishes_and_the_process_ends_within_a_second_of_it(rogue: Rogue, tmp_path: Path) -> None:
    go = threading.Event()
    uploaded: list[int] = []

    def stream(line: Line) -> None:
        line.body()
        line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        go.wait(10)
        line.send(b"4\r\nlast\r\n0\r\n\r\n")

    def upload(line: Line) -> None:
        uploaded.append(len(line.body()))
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def think(line: Line) -> None:
        line.body()
        go.wait(10)
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    for path, script in (("/stream", stream), ("/upload", upload), ("/think", think), ("/ws", _websocket)):
        rogue.on(path, script)
    with started(rogue, tmp_path) as gate:
        ports = gate.port(), gate.port("plain")
        h1, plain, thinking, idle, ws = Client(gate), Client(gate, "plain"), Client(gate), Client(gate), Client(gate)
        idle.send(idle.head("GET", "/any/api/x")).take()
        h1.send(h1.head("GET", "/any/api/stream"))
        assert h1.more()
        plain.send(plain.head("POST", "/any/api/upload", "Content-Length: 100000") + bytes(1000))
        thinking.send(thinking.head("GET", "/any/api/think"))
        assert rogue.wait_for(lambda: rogue.seen["/think"] and rogue.seen["/upload"])
        key = base64.b64encode(os.urandom(16)).decode()
        fields = ("Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {key}")
        assert ws.send(ws.head("GET", "/any/api/ws", *fields)).take().status == 101
        talk = Frames(gate)
        talk.ask(1, "/any/api/stream")
        assert talk.status(1) == 200
        assert gate.process is not None
        gate.process.send_signal(signal.SIGTERM)
        assert talk.until(GOAWAY, seconds=1) is not None
        assert all(closed(port) for port in ports), "the listeners are closed at once"
        assert idle.until_closed(1)[0] == "closed"
        time.sleep(0.3)
        talk.ask(3, "/any/api/x")
        assert talk.until(3, 3, seconds=2) == b"\0\0\0\7", "a new stream is refused"
        go.set()
        got = h1.take()
        assert (got.body, got.end) == (b"firstlast", "complete")
        got = thinking.take()
        assert (got.status, got.closes, got.end) == (200, True, "complete")
        assert talk.until(0, 1, 1, 3) is not None
        got = plain.send(bytes(99_000)).take()
        assert (got.status, got.closes) == (200, True)
        assert uploaded == [100_000]
        ws.send(b"\x81\x00")
        time.sleep(0.2)
        assert gate.process.poll() is None, "the WebSocket is still open"
        ws.close()
        # The others have not closed their side: a lazy client must not hold the process.
        assert ends(gate, 5) < 1.2
        assert "Traceback" not in gate.log()
        for one in (h1, plain, thinking, idle):
            one.close()


def test_what_does_not_finish_is_cut_when_the_time_is_over(rogue: Rogue, tmp_path: Path) -> None:
    rogue.on("/hang", lambda line: line.wait_gone())
    with started(rogue, tmp_path, "1s") as gate:
        client = Client(gate)
        client.send(client.head("GET", "/any/api/hang"))
        assert rogue.wait_for(lambda: rogue.seen["/hang"])
        assert gate.process is not None
        gate.process.send_signal(signal.SIGTERM)
        assert 0.8 < ends(gate, 10) < 3
        assert client.take().end in ("cut", "reset", "nothing")


def test_a_second_sigterm_ends_at_once(rogue: Rogue, tmp_path: Path) -> None:
    rogue.on("/hang", lambda line: line.wait_gone())
    with started(rogue, tmp_path) as gate:
        client = Client(gate)
        client.send(client.head("GET", "/any/api/hang"))
        seen = rogue.seen["/hang"]
        assert rogue.wait_for(lambda: rogue.seen["/hang"] >= max(1, seen))
        assert gate.process is not None
        gate.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert gate.process.poll() is None
        gate.process.send_signal(signal.SIGTERM)
        assert ends(gate, 5) < 1.5
        client.close()

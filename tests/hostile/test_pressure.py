"""Bounded under pressure: floods and windows over HTTP/2, heads and counts, crowds, and those who do not read."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.hostile.h2raw import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PRIORITY,
    RST,
    SETTINGS,
    WINDOW,
    Frames,
    frame,
    settings,
)  # fmt: skip
from tests.hostile.raw import Client, ask
from tests.hostile.rogue import Line, Rogue
from tests.live.gate import Gate

pytestmark = pytest.mark.live

MIB = 2**20


class Probe:
    """An honest client beside, in a process of its own."""

    def __init__(self, gate: Gate) -> None:
        self.took: list[float] = []
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("probe.py"), str(gate.port()), gate.ca, gate.key],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> "Probe":
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        out, _err = self._process.communicate("\n", timeout=30)
        assert self._process.returncode == 0, out
        self.took = json.loads(out)

    def late(self) -> float:
        """The time that one request in a hundred took, seconds: the machine's own hiccups are not the flood's."""
        took = sorted(self.took)
        return took[int(len(took) * 0.99) - 1] if len(took) > 20 else took[-1]


def delays_nobody(gate: Gate, attack: Callable[[], object]) -> None:
    """AssertionError where an honest client beside waits for more than 250 ms.

    A machine with more to do than it has processors delays by itself now and then; an attack that works does every time.
    """
    worst = []
    for _ in range(3):
        with Probe(gate) as probe:
            time.sleep(0.1)
            attack()
            time.sleep(0.1)
        worst.append(probe.late())
        if worst[-1] < 0.25:
            return
    raise AssertionError(worst)


def cpu(gate: Gate) -> float:
    """Seconds of processor time that the gate has used."""
    fields = Path(f"/proc/{gate.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def at_rest(gate: Gate, most: float = 0.3) -> Iterator[None]:
    """What is done inside costs less than a share of one processor once it stands."""
    yield
    time.sleep(0.3)
    before, begun = cpu(gate), time.monotonic()
    time.sleep(1.5)
    assert (cpu(gate) - before) / (time.monotonic() - begun) < most


def push(talk: Frames, data: bytes, times: int) -> None:
    """Sends a block over and over until it is through or the gate has had enough."""
    try:
        for _ in range(times):
            talk.send(data)
    except OSError:
        pass


def _many(talk: Frames) -> bytes:
    """Fifty requests and their resets."""
    talk.last = getattr(talk, "last", -1)  # type: ignore[attr-defined]
    out = b""
    for _ in range(50):
        talk.last += 2  # type: ignore[attr-defined]
        block = talk.block(*talk.request("/any/api/hang"))
        out += frame(HEADERS, END_HEADERS | END_STREAM, talk.last, block) + frame(RST, 0, talk.last, b"\0\0\0\x08")  # type: ignore[attr-defined]
    return out


def _made_you_reset(talk: Frames) -> bytes:
    """Requests that are answered, and that the client then breaks so that the gate resets them."""
    talk.last = getattr(talk, "last", -1)  # type: ignore[attr-defined]
    out = b""
    for _ in range(50):
        talk.last += 2  # type: ignore[attr-defined]
        block = talk.block(*talk.request("/any/api/hang", "POST"))
        out += frame(HEADERS, END_HEADERS, talk.last, block) + frame(WINDOW, 0, talk.last, bytes(4))  # type: ignore[attr-defined]
    return out


FLOODS: dict[str, Callable[[Frames], bytes]] = {
    "PING": lambda talk: frame(PING, 0, 0, bytes(8)) * 500,
    "PING answers": lambda talk: frame(PING, ACK, 0, bytes(8)) * 500,
    "SETTINGS": lambda talk: settings(window=65535) * 500,
    "large SETTINGS": lambda talk: frame(SETTINGS, 0, 0, (b"\0\x03\0\0\0\x64") * 2700) * 5,
    "SETTINGS answers": lambda talk: frame(SETTINGS, ACK, 0) * 500,
    "PRIORITY": lambda talk: frame(PRIORITY, 0, 1, b"\0\0\0\3\0") * 500,
    "unknown frames": lambda talk: frame(0xBB, 0, 1, b"x" * 20) * 500,
    "WINDOW_UPDATE": lambda talk: frame(WINDOW, 0, 0, b"\0\0\0\1") * 500,
    "empty CONTINUATION": lambda talk: frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1) * 500,
    "rapid reset": _many,
    "resets provoked": _made_you_reset,
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_its_own_connection_and_delays_nobody(gate: Gate, rogue: Rogue, name: str) -> None:
    rogue.on("/hang", lambda line: line.wait_gone())

    def attack() -> None:
        talk = Frames(gate)
        how = talk.flood(lambda: FLOODS[name](talk), seconds=3, patience=5)
        assert how != "waiting", how
        assert talk.code() in (11, 1, None), talk.code()

    delays_nobody(gate, attack)


def test_empty_data_frames_end_in_calm(gate: Gate, rogue: Rogue) -> None:
    talk = Frames(gate)
    talk.ask(1, "/any/api/x", "POST", end=False)
    push(talk, frame(DATA, 0, 1) * 500, 20)
    assert talk.ended(3) != "waiting"
    assert talk.code() in (11, None)


def test_continuation_has_bounds(gate: Gate) -> None:
    for block in (b"x" * 16000, b"x"):
        talk = Frames(gate)
        talk.send(frame(HEADERS, 0, 1, b"x"))
        push(talk, frame(CONTINUATION, 0, 1, block), 5000)
        assert talk.ended(3) != "waiting"
        assert talk.code() in (11, 9, None)


def test_heads_have_bounds_and_bombs_are_no_use(gate: Gate, rogue: Rogue) -> None:
    heard = len(rogue.heard)
    with Client(gate, "plain") as client:
        got = client.send(client.head("GET", "/any/api/x", "X: " + "a" * 33_000)).take()
        assert (got.status, got.reason, got.closes) == (431, "head-too-large", True)
    got = ask(gate, b"GET /any/api/x HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 101 + b"\r\n")
    assert got.status == 431
    with Client(gate, "plain") as client:
        client.send(b"GET /" + b"a" * 40_000)
        assert client.take().status == 431
    talk = Frames(gate)
    talk.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, talk.block(*talk.request("/any/api/x"), *[("x", "y")] * 101)))
    assert talk.status(1) == 431
    # One entry of 4 KB in the table, named a thousand times: 4 MB of fields from a few KB.
    bomb = talk.block(*talk.request("/any/api/x")) + b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000 + b"\xbe" * 1000
    before = gate.memory()
    talk.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, bomb))
    assert talk.status(3) == 431 or talk.code() is not None
    assert gate.memory() - before < 2 * MIB
    assert len(rogue.heard) == heard
    talk.close()


def test_more_streams_than_were_offered_are_refused_and_the_others_go_on(gate: Gate, rogue: Rogue) -> None:
    go = threading.Event()

    def slow(line: Line) -> None:
        line.body()
        go.wait(10)
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    rogue.on("/slow", slow)
    talk = Frames(gate)
    for number in range(140):
        talk.ask(1 + 2 * number, "/any/api/slow")
    assert talk.until(RST, 1 + 2 * 139, seconds=5) == b"\0\0\0\x07", "REFUSED_STREAM"
    go.set()
    assert talk.status(1) == 200
    talk.close()


def test_windows_of_nothing_cost_neither_processor_nor_memory(gate: Gate, rogue: Rogue) -> None:
    def much(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        block = bytes(1_000_000)
        for _ in range(100):
            line.send(block)

    rogue.on("/much", much)
    memory = gate.memory()
    talks = []
    with at_rest(gate):
        for first in (settings(window=0), settings(), settings(window=1)):
            for _ in range(2):
                talk = Frames(gate, first=first)
                for number in range(20):
                    talk.ask(1 + 2 * number, "/any/api/much")
                talks.append(talk)
        # A window that was given and is taken back is below nothing.
        talks[2].send(settings(window=0))
        time.sleep(1)
    assert gate.memory() - memory < 6 * 10 * MIB
    with Client(gate) as client:
        assert client.send(client.head("GET", "/any/api/x")).take().status == 200
    for talk in talks:
        talk.close()


def test_frames_that_break_the_protocol_end_the_connection_with_their_code(gate: Gate) -> None:
    wrong = {
        "a frame too large": (frame(DATA, 0, 1, bytes(16385)), {6}),
        "DATA on stream 0": (frame(DATA, 0, 0, b"x"), {1}),
        "HEADERS on stream 0": (frame(HEADERS, 4, 0, b""), {1}),
        "an even stream": (frame(HEADERS, 5, 2, b""), {1}),
        "PUSH_PROMISE": (frame(5, 4, 1, bytes(4)), {1}),
        "SETTINGS of five bytes": (frame(SETTINGS, 0, 0, bytes(5)), {6}),
        "SETTINGS on a stream": (frame(SETTINGS, 0, 1), {1}),
        "an ACK with a payload": (frame(SETTINGS, ACK, 0, bytes(6)), {6}),
        "a window of 2^31": (settings(window=2**31), {3}),
        "a largest frame of 1": (settings(frame=1), {1}),
        "PING of seven bytes": (frame(PING, 0, 0, bytes(7)), {6}),
        "PING on a stream": (frame(PING, 0, 1, bytes(8)), {1}),
        "WINDOW_UPDATE of nothing": (frame(WINDOW, 0, 0, bytes(4)), {1}),
        "a window past its end": (frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2, {3}),
        "WINDOW_UPDATE of an idle stream": (frame(WINDOW, 0, 9, b"\0\0\0\1"), {1}),
        "RST of an idle stream": (frame(RST, 0, 9, bytes(4)), {1}),
        "RST of three bytes": (frame(RST, 0, 1, bytes(3)), {6}),
        "CONTINUATION of nothing": (frame(CONTINUATION, 4, 1), {1}),
        "a frame inside a block": (frame(HEADERS, 0, 1, b"") + frame(PING, 0, 0, bytes(8)), {1}),
        "an index that is not there": (frame(HEADERS, 5, 1, b"\xff\xff\x07"), {9}),
        "half a string": (frame(HEADERS, 5, 1, b"\x40\x05ab"), {9}),
        "an integer without end": (frame(HEADERS, 5, 1, b"\xff" * 20), {9}),
        "bad Huffman": (frame(HEADERS, 5, 1, b"\x40\x84\xff\xff\xff\xff\x01a"), {9}),
        "padding longer than the frame": (frame(HEADERS, 5 | 8, 1, b"\xff"), {1, 6}),
        "a stream that depends on itself": (frame(HEADERS, 5 | 32, 1, b"\0\0\0\1\0"), {1}),
        "HTTP/1.1": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", {1, 6}),
    }
    for name, (data, codes) in wrong.items():
        talk = Frames(gate)
        begun = time.monotonic()
        talk.send(data)
        assert talk.until(GOAWAY, seconds=3) is not None, name
        assert talk.code() in codes, (name, talk.code())
        assert talk.ended(3) != "waiting", name
        assert time.monotonic() - begun < 3, name
    with Client(gate, alpn="h2") as client:
        begun = time.monotonic()
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.until_closed(3)[0] != "waiting"


@pytest.mark.parametrize("listener", ["https", "plain"])
def test_a_client_that_stops_reading_holds_no_more_than_16_mib(gate: Gate, rogue: Rogue, listener: str) -> None:
    """Fast for 60 MB, so that the kernel's buffers have grown, then not at all: what the service could send beyond."""
    sent = [0]

    def pour(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        block = bytes(262144)
        while True:
            line.send(block)
            sent[0] += len(block)

    path = rogue.on("/pour", pour)
    memory = gate.memory()
    with Client(gate, listener, window=2 * MIB) as client:
        client.send(client.head("GET", "/any/api" + path))
        had = 0
        while had < 60 * MIB:
            had += len(client.line.recv(262144))
        last = -1
        while last != sent[0]:
            last = sent[0]
            time.sleep(0.4)
        assert sent[0] - had < 16 * MIB, (sent[0] - had) / MIB
        assert gate.memory() - memory < 4 * MIB


@pytest.mark.parametrize("listener", ["https", "plain"])
def test_a_service_that_stops_reading_holds_no_more_than_16_mib(gate: Gate, rogue: Rogue, listener: str) -> None:
    stop = threading.Event()
    had = [0]

    def sip(line: Line) -> None:
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * MIB)
        while had[0] < 60 * MIB:
            had[0] += len(line.receive(262144))
        stop.wait(20)
        line.reset()

    path = rogue.on("/sip", sip)
    memory = gate.memory()
    with Client(gate, listener) as client:
        client.send(client.head("POST", "/any/api" + path, "Content-Length: 2000000000"))
        client.line.settimeout(1.5)
        client.line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sent = 0
        block = bytes(65536)
        try:
            while True:
                sent += client.line.send(block)
        except TimeoutError:
            pass
        assert sent - had[0] < 16 * MIB, (sent - had[0]) / MIB
        assert gate.memory() - memory < 4 * MIB
    stop.set()


def test_a_quarter_of_a_gigabyte_leaves_memory_flat_both_ways(gate: Gate, rogue: Rogue) -> None:
    size = 256 * MIB

    def pour(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        block = bytes(MIB)
        for _ in range(size // MIB):
            line.send(block)

    def swallow(line: Line) -> None:
        left = size
        while left:
            left -= len(line.receive())
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    rogue.on("/pour1", pour)
    rogue.on("/swallow", swallow)
    with Client(gate, "plain") as client:
        client.send(client.head("GET", "/any/api/x")).take()
        memory = gate.memory()
        client.send(client.head("GET", "/any/api/pour1"))
        had = 0
        while had < size:
            had += len(client.line.recv(262144))
        between = gate.memory()
    with Client(gate) as client:
        client.send(client.head("POST", "/any/api/swallow", f"Content-Length: {size}"))
        block = bytes(MIB)
        for _ in range(size // MIB):
            client.send(block)
        assert client.take(30).status == 200
    assert between - memory < 8 * MIB
    assert gate.memory() - memory < 8 * MIB


def test_a_crowd_is_turned_away_and_the_rest_are_served(rogue: Rogue, tmp_path: Path) -> None:
    services = {"any": {"plugin": "http", "route": "/any/api", "upstreams": [rogue.url]}}
    with Gate(tmp_path, services, "[edge]\nconnections_per_address = 20\n", plain=True) as gate:
        crowd = [socket.create_connection(("127.0.0.1", gate.port("plain"))) for _ in range(60)]
        time.sleep(0.3)
        turned = 0
        for one in crowd:
            one.settimeout(0.02)
            try:
                turned += one.recv(1) == b""
            except TimeoutError:
                pass
            except OSError:
                turned += 1
        assert turned == 40
        for one in crowd:
            one.close()
        end = time.monotonic() + 5
        while True:
            try:
                with Client(gate) as client:
                    assert client.send(client.head("GET", "/any/api/x")).take().status == 200
                break
            except (OSError, AssertionError):
                assert time.monotonic() < end
                time.sleep(0.05)
    with Gate(tmp_path, services, "[edge]\nconnections = 10\nconnections_per_address = 10\n", plain=True) as gate:
        crowd = [socket.create_connection(("127.0.0.1", gate.port("plain"))) for _ in range(10)]
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", gate.port("plain"))) as one:
            one.settimeout(2)
            assert one.recv(1) == b""
        for each in crowd:
            each.close()


def test_pipelines_are_answered_in_order_and_held_within_bounds(gate: Gate, rogue: Rogue) -> None:
    def path_back(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(line.path), line.path.encode()))

    with Client(gate, "plain") as client:
        paths = [rogue.on(f"/p{number}", path_back) for number in range(100)]
        client.send(b"".join(client.head("GET", "/any/api" + path) for path in paths))
        assert [client.take().body.decode() for _ in paths] == paths
    rogue.on("/hang", lambda line: line.wait_gone())
    memory = gate.memory()
    with Client(gate, "plain") as client:
        client.send(client.head("GET", "/any/api/hang"))
        client.line.settimeout(1)
        sent = 0
        try:
            while sent < 64 * MIB:
                sent += client.line.send(client.head("GET", "/any/api/x") * 300)
        except TimeoutError:
            pass
        assert sent < 16 * MIB
        assert gate.memory() - memory < 2 * MIB
        # Behind a full window an ordinary end would not arrive.
        client.reset()


def test_drips_and_garbage_from_many_delay_nobody(gate: Gate) -> None:
    stop = threading.Event()

    def drip() -> None:
        while not stop.is_set():
            with Client(gate, "plain") as client:
                head = client.head("GET", "/any/api/x", "X: " + "a" * 3000)
                try:
                    for at in range(len(head)):
                        client.send(head[at : at + 1])
                        time.sleep(0.001)
                except OSError:
                    pass

    def garbage() -> None:
        import os

        while not stop.is_set():
            with socket.create_connection(("127.0.0.1", gate.port())) as line:
                with suppress(OSError):
                    line.sendall(os.urandom(2000))
            # Not as fast as this machine can: the attacker's own work on the same processors is not the gate's delay.
            time.sleep(0.003)

    def attack() -> None:
        stop.clear()
        threads = [threading.Thread(target=drip) for _ in range(2)] + [threading.Thread(target=garbage)]
        for thread in threads:
            thread.start()
        time.sleep(1.5)
        stop.set()
        for thread in threads:
            thread.join(10)

    delays_nobody(gate, attack)

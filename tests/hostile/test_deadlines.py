"""Deadlines that cannot be fed, with short times from the configuration; and the honest, who live."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.hostile.h2raw import END_HEADERS, HEADERS, WINDOW, Frames, frame, settings
from tests.hostile.raw import Client
from tests.hostile.rogue import Line, Rogue
from tests.live.gate import Gate

pytestmark = pytest.mark.live

HEAD, BODY, STALL, IDLE, HANDSHAKE = 1.0, 2.0, 2.0, 3.0, 1.0
LATE = 3.2
"""Seconds by which a deadline may be missed: the clock that looks after them ticks once a second, on a busy machine."""


@pytest.fixture(scope="module")
def gate(rogue: Rogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    services = {"any": {"plugin": "http", "route": "/any/api", "upstreams": [rogue.url]}}
    more = (
        f'[edge]\nhead_timeout = "{HEAD:.0f}s"\nbody_grace = "{BODY:.0f}s"\nwrite_stall = "{STALL:.0f}s"\n'
        f'keepalive = "{IDLE:.0f}s"\nhandshake_timeout = "{HANDSHAKE:.0f}s"\n[limits]\nrequests = "1000000/minute"\n'
    )
    with Gate(tmp_path_factory.mktemp("gate"), services, more, plain=True) as running:
        yield running
        assert "Traceback" not in running.log()


def drip(client: Client, data: bytes, every: float, seconds: float) -> float:
    """Sends a byte now and then; seconds until the gate had enough."""
    begun = time.monotonic()
    at = 0
    while time.monotonic() - begun < seconds:
        try:
            client.send(data[at : at + 1])
        except OSError:
            break
        at = (at + 1) % len(data)
        client.line.settimeout(every)
        try:
            if not client.line.recv(65536):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - begun


def together(*jobs: Callable[[], float]) -> list[float]:
    """What each took, all at the same time."""
    took = [0.0] * len(jobs)

    def run(at: int) -> None:
        took[at] = jobs[at]()

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return took


def test_heads_that_drip(gate: Gate) -> None:
    head = b"GET /any/api/x HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"a" * 1000

    def first(listener: str) -> float:
        with Client(gate, listener) as client:
            return drip(client, head, 0.1, 20)

    def further() -> float:
        """A kept connection's next head has no more time, though the connection may idle for longer."""
        with Client(gate, "plain") as client:
            client.send(client.head("GET", "/any/api/x")).take()
            return drip(client, head, 0.1, 20)

    def nothing(listener: str) -> float:
        with Client(gate, listener) as client:
            return client.until_closed(20)[1]

    def h2_block() -> float:
        talk = Frames(gate)
        talk.send(frame(HEADERS, 0, 1, talk.block(*talk.request("/any/api/x"))))
        begun = time.monotonic()
        while talk.ended(0.2) == "waiting" and time.monotonic() - begun < 20:
            try:
                talk.send(frame(9, 0, 1, b""))
            except OSError:
                break
        return time.monotonic() - begun

    def h2_frame() -> float:
        talk = Frames(gate)
        talk.client.line.settimeout(0.1)
        return drip(talk.client, frame(HEADERS, 4, 1, bytes(5000)), 0.1, 20)

    def h2_preface() -> float:
        with Client(gate, alpn="h2") as client:
            return drip(client, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", 0.1, 20)

    took = together(
        lambda: first("https"), lambda: first("plain"), further, lambda: nothing("https"), lambda: nothing("plain"),
        h2_block, h2_frame, h2_preface,
    )  # fmt: skip
    assert max(took) < HEAD + LATE, took
    assert min(took) > 0.5, took


def test_a_further_head_has_its_whole_time_even_late_in_an_idle_connection(gate: Gate) -> None:
    with Client(gate, "plain") as client:
        head = client.head("GET", "/any/api/x")
        client.send(head).take()
        time.sleep(IDLE - 0.3)
        client.send(head[:20])
        time.sleep(0.6)
        assert client.send(head[20:]).take().status == 200


def test_bodies_that_drip(gate: Gate, rogue: Rogue) -> None:
    def upload(listener: str, *fields: str, data: bytes) -> Callable[[], float]:
        def run() -> float:
            with Client(gate, listener) as client:
                client.send(client.head("POST", "/any/api/x", *fields))
                return drip(client, data, 0.1, 20)

        return run

    def h2_upload() -> float:
        talk = Frames(gate)
        talk.ask(1, "/any/api/x", "POST", end=False)
        begun = time.monotonic()
        while talk.until(3, 1, seconds=0.2) is None and talk.until(0, 1, 1, 0.0) is None:
            if time.monotonic() - begun > 20:
                break
            talk.send(frame(0, 0, 1, b"x"))
        return time.monotonic() - begun

    took = together(
        upload("https", "Content-Length: 100000", data=b"x"),
        upload("plain", "Content-Length: 100000", data=b"x"),
        upload("plain", "Transfer-Encoding: chunked", data=b"1\r\nx\r\n"),
        upload("plain", "Transfer-Encoding: chunked", data=b"fffff;" + b"x" * 1000),
        h2_upload,
    )
    assert max(took) < 2 * BODY + LATE, took


def _endless(line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
    block = bytes(1_000_000)
    while True:
        line.send(block)


def test_readers_that_do_not_read(gate: Gate, rogue: Rogue) -> None:
    path = rogue.on("/endless", _endless)

    def gone(seen: int) -> float:
        begun = time.monotonic()
        assert rogue.wait_for(lambda: len(rogue.gone.get(path, [])) > seen, 30)
        return time.monotonic() - begun

    for listener in ("https", "plain"):
        with Client(gate, listener, window=4096) as client:
            seen = len(rogue.gone.get(path, []))
            client.send(client.head("GET", "/any/api" + path))
            assert gone(seen) < STALL + LATE
        # A few bytes now and then are no reading either.
        with Client(gate, listener, window=4096) as client:
            seen = len(rogue.gone.get(path, []))
            client.send(client.head("GET", "/any/api" + path))
            stop = threading.Event()

            def sip(client: Client = client, stop: threading.Event = stop) -> None:
                client.line.settimeout(1)
                while not stop.wait(0.2):
                    try:
                        client.line.recv(16)
                    except OSError:
                        return

            sipper = threading.Thread(target=sip)
            sipper.start()
            took = gone(seen)
            stop.set()
            sipper.join()
            assert took < STALL + LATE + 2
    # HTTP/2: a window of nothing, and one that opens by a byte at a time.
    for opening in (0, 1):
        talk = Frames(gate, first=settings(window=0))
        seen = len(rogue.gone.get(path, []))
        talk.ask(1, "/any/api" + path)
        stop = threading.Event()

        def open_a_crack(talk: Frames = talk, stop: threading.Event = stop, size: int = opening) -> None:
            while size and not stop.wait(0.2):
                try:
                    talk.send(frame(WINDOW, 0, 1, size.to_bytes(4, "big")))
                except OSError:
                    return

        opener = threading.Thread(target=open_a_crack)
        opener.start()
        took = gone(seen)
        stop.set()
        opener.join()
        talk.close()
        assert took < STALL + LATE


def test_handshakes_that_dawdle_and_connections_that_idle(gate: Gate) -> None:
    import socket

    def handshake(data: bytes) -> Callable[[], float]:
        def run() -> float:
            with socket.create_connection(("127.0.0.1", gate.port())) as line:
                begun = time.monotonic()
                at = 0
                line.settimeout(0.1)
                while time.monotonic() - begun < 20:
                    try:
                        if at < len(data):
                            line.send(data[at : at + 1])
                            at += 1
                        if not line.recv(100):
                            break
                    except TimeoutError:
                        continue
                    except OSError:
                        break
                return time.monotonic() - begun

        return run

    hello = bytes.fromhex("1603010200010001fc0303") + bytes(500)

    def idle(alpn: str) -> Callable[[], float]:
        def run() -> float:
            if alpn == "h2":
                talk = Frames(gate)
                talk.ask(1, "/any/api/x")
                assert talk.status(1) == 200
                begun = time.monotonic()
                assert talk.ended(20) in ("closed", "cut")
                return time.monotonic() - begun
            with Client(gate) as client:
                client.send(client.head("GET", "/any/api/x")).take()
                return client.until_closed(20)[1]

        return run

    shaking = together(handshake(b""), handshake(hello))
    assert max(shaking) < HANDSHAKE + LATE, shaking
    idling = together(idle(""), idle("h2"))
    assert max(idling) < IDLE + LATE, idling
    assert min(idling) > IDLE - 1.2, idling


def test_the_honest_live(gate: Gate, rogue: Rogue) -> None:
    """A stream that pauses for longer than any of the deadlines, a slow model, a slow and steady reader, an idle socket."""

    def pause(line: Line) -> None:
        line.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata:\n\r\n"
        )
        time.sleep(5)
        line.send(b"5\r\nlate\n\r\n0\r\n\r\n")

    def think(line: Line) -> None:
        line.body()
        time.sleep(5)
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    size = 1_000_000

    def much(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))

    rogue.on("/pause", pause)
    rogue.on("/think", think)
    rogue.on("/much", much)

    def whole(path: str, method: str = "GET") -> Callable[[], float]:
        def run() -> float:
            with Client(gate) as client:
                got = client.send(client.head(method, "/any/api" + path, "Content-Length: 0")).take(30)
                return 1.0 if (got.status, got.end) == (200, "complete") else 0.0

        return run

    def slow_reader(*fields: str, version: str = "1.1", listener: str = "plain") -> Callable[[], float]:
        def run() -> float:
            with Client(gate, listener, window=8192) as client:
                client.send(client.head("GET", "/any/api/much", *fields, version=version))
                had = b""
                client.line.settimeout(10)
                try:
                    while len(had) < size:
                        part = client.line.recv(16384)
                        if not part:
                            break
                        had += part
                        time.sleep(0.1)
                except OSError:
                    pass
                return 1.0 if len(had.partition(b"\r\n\r\n")[2]) == size else 0.0

        return run

    def h2_slow() -> float:
        talk = Frames(gate, window=8192)
        talk.ask(1, "/any/api/much")
        # It says goodbye at once: what it asked for is still its own.
        talk.send(frame(7, 0, 0, bytes(8)) + frame(WINDOW, 0, 0, (2**30).to_bytes(4, "big")))
        talk.send(frame(WINDOW, 0, 1, (2**30).to_bytes(4, "big")))
        talk.client.line.settimeout(10)
        while talk.take():
            time.sleep(0.05)
        return 1.0 if sum(len(data) for kind, _, _, data in talk.seen if kind == 0) == size else 0.0

    lived = together(
        whole("/pause"), whole("/think", "POST"), slow_reader(), slow_reader("Connection: close"),
        slow_reader(version="1.0"), slow_reader("Connection: close", listener="https"), h2_slow,
    )  # fmt: skip
    assert lived == [1.0] * 7


def test_bytes_behind_the_last_request_do_not_cost_the_client_its_answer(gate: Gate, rogue: Rogue) -> None:
    size = 3_000_000

    def much(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))

    rogue.on("/tail", much)
    for listener in ("https", "plain"):
        with Client(gate, listener, window=65536) as client:
            client.send(client.head("GET", "/any/api/tail", "Connection: close"))
            assert client.more()
            client.send(b"GET /any/api/x HTTP/1.1\r\n")
            time.sleep(0.3)
            client.send(b"Host: x\r\n\r\n")
            got = client.take()
            assert (got.status, len(got.body), got.end) == (200, size, "complete"), listener


def test_a_block_without_end_is_over_with_its_time(gate: Gate) -> None:
    talk = Frames(gate)
    talk.send(frame(HEADERS, 0, 1, talk.block(*talk.request("/any/api/x"))))
    assert talk.ended(HEAD + LATE) in ("closed", "cut", "reset")
    assert talk.code() == 11
    assert END_HEADERS

"""Client gone, work gone: the service learns within 250 ms, whatever state the request is in."""

import base64
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h2.errors
import h2.events
import pytest

from tests.hostile.h2raw import H2
from tests.hostile.raw import Client
from tests.hostile.rogue import Left, Line, Rogue
from tests.live.gate import Gate

pytestmark = pytest.mark.live

PROMPT = 0.25
LISTENERS = ["https", "plain"]
HTTP2 = ["http1", "reset", "goaway", "close"]
"""Ways to leave where no server shows it: a connection of HTTP/1.1, and the three of HTTP/2."""


def _first_byte(line: Line) -> None:
    line.wait_gone()


def _stream(line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    line.send(b"6\r\ndata:\n\r\n")
    line.wait_gone()


def _flood(line: Line) -> None:
    """Sends until the gate takes no more, and says so by the time that a send hangs."""
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    block = bytes(1_000_000)
    line.socket.settimeout(0.3)
    while True:
        try:
            line.socket.sendall(block)
        except TimeoutError:
            line.rogue.mark("stalled")
            break
    line.socket.settimeout(None)
    line.wait_gone()


def _deaf(line: Line) -> None:
    """Never reads the upload; the end shows by a reset, or once everything is read."""
    line.rogue.mark("deaf")
    import select

    poller = select.poll()
    poller.register(line.socket, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    assert poller.poll(10_000), "the gate did not close"
    line.rogue.left(line.path)


def _upload(line: Line) -> None:
    line.rogue.mark("uploading")
    line.wait_gone()


def told(rogue: Rogue, path: str, leave: Callable[[], object]) -> float:
    """Seconds between the client's leaving and the service's knowing."""
    before = len(rogue.gone.get(path, []))
    left = time.monotonic()
    leave()
    assert rogue.wait_for(lambda: len(rogue.gone.get(path, [])) > before, 3), "the service was never told"
    return rogue.gone[path][before] - left


def reached(rogue: Rogue, what: str, before: int) -> None:
    assert rogue.wait_for(lambda: rogue.seen[what] > before, 8), what


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.parametrize("state", ["first byte", "streaming", "uploading", "uploading, paused", "pipelined"])
def test_over_http1(gate: Gate, rogue: Rogue, state: str, listener: str, leave: str) -> None:
    script, mark = {
        "first byte": (_first_byte, ""),
        "streaming": (_stream, ""),
        "uploading": (_upload, "uploading"),
        "uploading, paused": (_deaf, "deaf"),
        "pipelined": (_first_byte, ""),
    }[state]
    path = rogue.on("/" + state.replace(" ", "-").replace(",", ""), script)
    before = rogue.seen[mark or path]
    client = Client(gate, listener)
    if state.startswith("uploading"):
        client.send(client.head("POST", "/any/api" + path, "Content-Length: 1000000000") + b"x" * 1000)
        reached(rogue, mark, before)
        if state == "uploading, paused":
            # The gate stops reading once the service's side is full; then the client leaves with its own side open.
            client.line.settimeout(0.3)
            try:
                while True:
                    client.line.send(bytes(65536))
            except TimeoutError:
                pass
            if leave == "close":
                # A FIN behind a full receive window cannot arrive: the one exception.
                leave = "reset"
    else:
        extra = client.head("GET", "/any/api/next") * 200 if state == "pipelined" else b""
        client.send(client.head("GET", "/any/api" + path) + extra)
        reached(rogue, path, before)
        if state == "streaming":
            assert client.more()
    took = told(rogue, path, client.reset if leave == "reset" else client.close)
    assert took < PROMPT


@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.parametrize("listener", LISTENERS)
def test_while_paused_by_a_client_that_does_not_read(gate: Gate, rogue: Rogue, listener: str, leave: str) -> None:
    path = rogue.on("/flood", _flood)
    client = Client(gate, listener, window=65536)
    before = rogue.seen["stalled"]
    client.send(client.head("GET", "/any/api" + path))
    reached(rogue, "stalled", before)
    assert told(rogue, path, client.reset if leave == "reset" else client.close) < PROMPT


def _leaver(client: H2, number: int, how: str) -> Callable[[], None]:
    """How a client of HTTP/2 gives up: one stream, all of them with a reason, or the connection."""

    def leave() -> None:
        if how == "reset":
            client.h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
            client.flush()
        elif how == "goaway":
            client.h2.close_connection(h2.errors.ErrorCodes.INTERNAL_ERROR)
            client.flush()
        else:
            client.client.close()

    return leave


@pytest.mark.parametrize("how", HTTP2)
def test_while_connecting(gate: Gate, rogue: Rogue, tmp_path: Path, how: str) -> None:
    """A service that never answers a SYN: its backlog is full."""
    import socket

    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        services = {
            "full": {
                "plugin": "http", "route": "/full/api", "timeouts": {"connect": "20s"},
                "upstreams": [f"http://127.0.0.1:{full.getsockname()[1]}"],
            }
        }  # fmt: skip
        with Gate(tmp_path, services, plain=True) as other:
            leave: Callable[[], object]
            if how == "http1":
                client = Client(other, "plain")
                client.send(client.head("GET", "/full/api/x"))
                leave = client.close
            else:
                talk = H2(other)
                leave = _leaver(talk, talk.ask("GET", "/full/api/x"), how)
            # The fillers' own may be among them.
            assert until(lambda: _connecting(full.getsockname()[1]) >= 1)
            time.sleep(0.1)
            left = time.monotonic()
            leave()
            assert until(lambda: "client-gone" in other.log())
            assert time.monotonic() - left < PROMPT + 0.1
        for filler in fillers:
            filler.close()


def _connecting(port: int) -> int:
    """Connections to a port that are in SYN_SENT, those of the fillers not counted."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for one in lines if one.split()[2].endswith(f":{port:04X}") and one.split()[3] == "02")


def until(true: Callable[[], object], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def _connected(client: H2, path: str) -> int:
    """The stream of a WebSocket (RFC 8441)."""
    number: int = client.h2.get_next_available_stream_id()
    pairs = [
        (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "localhost"),
        (":path", "/any/api" + path), ("sec-websocket-version", "13"), ("x-api-key", client.gate.key),
    ]  # fmt: skip
    client.h2.send_headers(number, pairs)
    client.flush()
    assert client.status(number) == 200
    return number


@pytest.mark.parametrize("how", ["reset", "goaway", "close"])
@pytest.mark.parametrize("state", ["first byte", "streaming", "uploading", "uploading, paused", "paused", "websocket"])
def test_over_http2(gate: Gate, rogue: Rogue, state: str, how: str) -> None:
    script, mark = {
        "first byte": (_first_byte, ""),
        "streaming": (_stream, ""),
        "uploading": (_upload, "uploading"),
        "uploading, paused": (_deaf, "deaf"),
        "paused": (_flood, "stalled"),
        "websocket": (_websocket, ""),
    }[state]
    path = rogue.on("/h2-" + state.replace(" ", "-").replace(",", ""), script)
    before = rogue.seen[mark or path]
    client = H2(gate)
    client.credit = False
    uploading = state.startswith("uploading")
    if state == "websocket":
        number = _connected(client, path)
    else:
        number = client.ask("POST" if uploading else "GET", "/any/api" + path, end=not uploading)
    if state == "uploading":
        client.h2.send_data(number, b"x" * 1000)
        client.flush()
    reached(rogue, mark or path, before)
    if state == "uploading, paused":
        # As much as the windows allow, until the gate gives back no more since the service does not read.
        sent = 1
        end = time.monotonic() + 3
        while time.monotonic() < end:
            sent = client.upload(number, 10**9)
            if not sent and not client.read(0.3):
                break
    leave = _leaver(client, number, how)
    assert told(rogue, path, leave) < PROMPT
    if how == "reset":
        assert until(lambda: f"{path} " in gate.log()), "the outcome is written down"
        assert gate.log().rpartition(f"{path} ")[2].partition("\n")[0].endswith("client-gone")
        after = client.ask("GET", "/any/api/after")
        client.credit = True
        assert client.until(h2.events.StreamEnded, after), "the other streams go on"
    client.client.close()


def test_a_polite_goaway_lets_open_streams_finish(gate: Gate, rogue: Rogue) -> None:
    go = threading.Event()

    def slow(line: Line) -> None:
        line.body()
        go.wait(5)
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    path = rogue.on("/polite", slow)
    client = H2(gate)
    number = client.ask("GET", "/any/api" + path)
    reached(rogue, path, 0)
    # The h2 library lets nothing come after its own GOAWAY, so it is written by hand: last stream 0, NO_ERROR.
    client.client.send(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8))
    go.set()
    assert client.client.until_closed(5)[0] in ("closed", "cut")
    kinds = []
    data = client.client.held
    while data:
        size = int.from_bytes(data[:3], "big")
        kinds.append((data[3], data[4] & 1, int.from_bytes(data[5:9], "big")))
        data = data[9 + size :]
    assert (0, 1, number) in kinds, "DATA with END_STREAM"


def _websocket(line: Line) -> None:
    _agree(line)
    line.wait_gone()


def _agree(line: Line) -> None:
    import hashlib

    key = line.field("Sec-WebSocket-Key") or ""
    accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    line.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def _hangs_up(line: Line) -> None:
    """Ends the WebSocket first, after a last word."""
    _agree(line)
    line.send(b"bye")
    raise Left


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_client_of_a_websocket_is_told_that_the_service_left(gate: Gate, rogue: Rogue, listener: str) -> None:
    path = rogue.on("/ws-ends", _hangs_up)
    client = Client(gate, listener)
    key = base64.b64encode(os.urandom(16)).decode()
    fields = ("Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13")
    client.send(client.head("GET", "/any/api" + path, *fields))
    assert client.take().status == 101
    how, took = client.until_closed(5)
    assert how == "closed" and took < 5 and client.held == b"bye"
    other = H2(gate, listener)
    number = _connected(other, path)
    assert other.until(h2.events.StreamEnded, number, 5) is not None and other.body(number) == b"bye"
    assert until(lambda: gate.log().count(f"{path} ") == 2), "both outcomes are written down"


@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.parametrize("listener", LISTENERS)
def test_on_a_websocket(gate: Gate, rogue: Rogue, listener: str, leave: str) -> None:
    path = rogue.on("/ws", _websocket)
    client = Client(gate, listener)
    key = base64.b64encode(os.urandom(16)).decode()
    fields = ("Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13")
    client.send(client.head("GET", "/any/api" + path, *fields))
    assert client.take().status == 101
    assert told(rogue, path, client.reset if leave == "reset" else client.close) < PROMPT


def abort(gate: Gate, rogue: Rogue, way: str, count: int) -> None:
    """Asks `count` times for what is not answered and leaves: each on a connection of its own, or all on one of HTTP/2."""
    seen = rogue.seen["/abort"]
    if way == "streams":
        talk = H2(gate)
        numbers = [talk.ask("GET", "/any/api/abort") for _ in range(count)]
        assert rogue.wait_for(lambda: rogue.seen["/abort"] >= seen + count, 20)
        for number in numbers:
            talk.h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        talk.flush()
        talk.close()
        return
    listener = "plain" if way == "plain" else "https"
    leave: list[Callable[[], None]] = []
    for number in range(count):
        if way == "h2":
            talk = H2(gate)
            leave.append(_leaver(talk, talk.ask("GET", "/any/api/abort"), ("close", "goaway")[number % 2]))
        else:
            client = Client(gate, listener)
            client.send(client.head("GET", "/any/api/abort"))
            leave.append(client.reset if number % 2 else client.close)
    assert rogue.wait_for(lambda: rogue.seen["/abort"] >= seen + count, 20)
    for one in leave:
        one()


WAYS = ["plain", "https", "h2", "streams"]


@pytest.mark.parametrize("way", WAYS)
def test_many_aborts_leave_nothing_behind(gate: Gate, rogue: Rogue, way: str) -> None:
    rogue.on("/abort", _first_byte)
    before = memory = 0
    for turn in range(6):
        abort(gate, rogue, way, 50)
        if turn == 0:
            assert until(lambda: rogue.open <= 1)
            # What the gate keeps open is opened on the first use.
            assert until(lambda: all(any(gate.data.glob(f"{name}.sqlite-wal")) for name in ("usage", "limits")), 10)
            before, memory = gate.descriptors(), gate.memory()
    assert until(lambda: gate.descriptors() <= before)
    assert gate.memory() - memory < 4 * 2**20


@pytest.mark.parametrize("how", HTTP2)
def test_in_the_queue(rogue: Rogue, tmp_path: Path, how: str) -> None:
    """One at a time: who waits and leaves gives up its place, and is never sent to the service."""
    go = threading.Event()

    def slow(line: Line) -> None:
        line.body()
        go.wait(10)
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    for path in ("/v1/chat/completions", "/api/chat"):
        rogue.on(path, slow)
    services = {
        "chat": {"plugin": "ollama", "route": "/chat/api", "upstreams": [rogue.url], "concurrency": 1},
    }
    with Gate(tmp_path, services, plain=True) as gate:
        body = b'{"model":"m","stream":false}'

        def ask(client: Client) -> None:
            client.send(client.head("POST", "/chat/api/chat", f"Content-Length: {len(body)}") + body)

        first, third = (Client(gate, "plain") for _ in range(2))
        before = rogue.seen["/api/chat"]
        ask(first)
        reached(rogue, "/api/chat", before)
        leave: Callable[[], object]
        if how == "http1":
            second = Client(gate, "plain")
            ask(second)
            leave = second.close
        else:
            talk = H2(gate)
            number = talk.ask("POST", "/chat/api/chat", ("content-length", str(len(body))), end=False)
            talk.h2.send_data(number, body, end_stream=True)
            talk.flush()
            leave = _leaver(talk, number, how)
        ask(third)
        time.sleep(0.3)
        assert rogue.seen["/api/chat"] == before + 1, "the others wait"
        leave()
        assert until(lambda: "client-gone" in gate.log(), PROMPT + 0.1), "the place is given up at once"
        go.set()
        assert first.take().status == 200
        assert third.take().status == 200
        assert rogue.seen["/api/chat"] == before + 2

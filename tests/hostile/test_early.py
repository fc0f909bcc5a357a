"""Early refusals: at once, readable by who is still sending, and without harm to anybody beside."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import h2.events
import pytest

from tests.hostile.h2raw import H2
from tests.hostile.raw import Client
from tests.hostile.rogue import Line, Rogue
from tests.live.gate import Gate, until

pytestmark = pytest.mark.live

SIZE = 30_000_000
REFUSED = {
    "no key": ("POST", "/any/api/x", None, 401),
    "a bad key": ("POST", "/any/api/x", "bad", 401),
    "no route": ("POST", "/nowhere", "", 404),
    "needs manage": ("POST", "/chat/api/api/pull", "", 403),
    "too large": ("POST", "/any/api/x", "", 413),
    "another service": ("POST", "/chat/api/chat", "narrow", 403),
    "too fast": ("POST", "/any/api/x", "spent", 429),
    "too many bad keys": ("POST", "/any/api/x", "locked", 429),
}
PROMPT = 0.05


@pytest.fixture(scope="module")
def locked(rogue: Rogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate that has seen too many bad keys from here."""
    services = {"any": {"plugin": "http", "route": "/any/api", "upstreams": [rogue.url]}}
    with Gate(tmp_path_factory.mktemp("locked"), services, "[lockout]\nfailures = 1\n", plain=True) as running:

        def status() -> int:
            with Client(running, "plain") as client:
                return client.send(client.head("GET", "/any/api/x", key="bad")).take().status

        assert until(lambda: status() == 429)
        yield running


@pytest.fixture(scope="module")
def keys(gate: Gate) -> dict[str, str]:
    """A key for one service only, and one whose limit is spent."""
    made = {
        "narrow": gate.make_key("--user", "narrow", "--service", "any")["key"],
        "spent": gate.make_key("--user", "spent", "--service", "any", "--limit", "1/day")["key"],
    }

    def status(key: str) -> int:
        with Client(gate, "plain") as client:
            return client.send(client.head("GET", "/any/api/warm", key=key)).take().status

    assert until(lambda: status(made["narrow"]) == 200)
    assert until(lambda: status(made["spent"]) == 429)
    return made


Case = tuple[Gate, str, str, str | None, int, int]


@pytest.fixture(params=REFUSED)
def case(request: pytest.FixtureRequest, gate: Gate, locked: Gate, keys: dict[str, str]) -> Case:
    """(gate, method, path, key, status, bytes that the upload announces) of one refusal."""
    method, path, key, status = REFUSED[request.param]
    size = 5 * 2**30 if request.param == "too large" else SIZE
    if key == "locked":
        return locked, method, path, "bad", status, size
    return gate, method, path, keys.get(key or "", key), status, size


@pytest.mark.parametrize("listener", ["https", "plain"])
def test_over_http1_before_a_byte_of_the_body_and_readable_while_30_mb_come(
    case: Case, rogue: Rogue, listener: str
) -> None:
    gate, method, path, key, status, size = case
    seen = rogue.seen["/x"] + rogue.seen["/chat"] + rogue.seen["/api/chat"]
    times = []
    for turn in range(6):
        # With and without asking first: nobody is told to go on.
        fields = (f"Content-Length: {size}", *(("Expect: 100-continue",) if turn % 2 else ()))
        with Client(gate, listener) as client:
            begun = time.monotonic()
            got = client.send(client.head(method, path, *fields, key=key)).take()
            times.append(time.monotonic() - begun)
            assert (got.status, got.end, got.interim) == (status, "complete", [])
    assert min(times[::2]) < PROMPT and min(times[1::2]) < PROMPT
    # Now one that sends everything before it reads, as a program does that knows no better.
    with Client(gate, listener) as client:
        client.send(client.head(method, path, f"Content-Length: {size}", key=key))
        block = bytes(1_000_000)
        for _ in range(SIZE // len(block)):
            client.send(block)
        got = client.take()
        assert (got.status, got.end) == (status, "complete")
    if status != 413:
        with Client(gate, listener) as client:
            client.send(client.head(method, path, "Transfer-Encoding: chunked", key=key))
            for _ in range(SIZE // len(block)):
                client.send(b"%x\r\n%b\r\n" % (len(block), block))
            got = client.send(b"0\r\n\r\n").take()
            assert (got.status, got.end) == (status, "complete")
    assert rogue.seen["/x"] + rogue.seen["/chat"] + rogue.seen["/api/chat"] == seen


def test_over_http2_before_a_byte_of_the_body_and_the_window_comes_back(case: Case, rogue: Rogue) -> None:
    gate, method, path, key, status, size = case
    seen = rogue.seen["/x"]
    talk = H2(gate)
    talk.status(talk.ask("GET", "/health", key=None))
    window = talk.h2.outbound_flow_control_window
    times = []
    for turn in range(4):
        expect = (("expect", "100-continue"),) if turn % 2 else ()
        begun = time.monotonic()
        number = talk.ask(method, path, ("content-length", str(size)), *expect, end=False, key=key)
        assert talk.status(number) == status
        times.append(time.monotonic() - begun)
        # It goes on sending until it is told that nobody wants it.
        sent = 0
        while sent < 3_000_000 and not talk.until(h2.events.StreamReset, number, 0.0):
            room = min(talk.h2.local_flow_control_window(number), 3_000_000 - sent)
            if room > 0:
                sent += talk.upload(number, room)
            else:
                assert talk.read(3) is not None, "the connection ended"
        assert not any(isinstance(event, h2.events.InformationalResponseReceived) for event in talk.events)
        if not talk.until(h2.events.StreamReset, number, 0.0):
            talk.h2.reset_stream(number)
            talk.flush()
    assert min(times) < PROMPT
    end = time.monotonic() + 3
    while talk.h2.outbound_flow_control_window < window * 3 // 4 and time.monotonic() < end:
        talk.read(0.1)
    assert talk.h2.outbound_flow_control_window >= window * 3 // 4
    assert rogue.seen["/x"] == seen
    talk.close()


def test_an_upload_without_a_length_is_cut_off_at_the_limit(rogue: Rogue, tmp_path: Path) -> None:
    services = {"any": {"plugin": "http", "route": "/any/api", "upstreams": [rogue.url]}}
    with Gate(tmp_path, services, '[limits]\nbody = "1 MiB"\n', plain=True) as gate:
        for listener in ("https", "plain"):
            with Client(gate, listener) as client:
                client.send(client.head("POST", "/any/api/x", "Transfer-Encoding: chunked"))
                for _ in range(30):
                    client.send(b"%x\r\n%b\r\n" % (100_000, bytes(100_000)))
                got = client.take()
                assert (got.status, got.reason, got.end) == (413, "body-too-large", "complete")
        talk = H2(gate)
        number = talk.ask("POST", "/any/api/x", end=False)
        sent = 0
        while sent < 3_000_000 and not talk.until(h2.events.ResponseReceived, number, 0.0):
            sent += talk.upload(number, 100_000)
            assert talk.read(0.05) is not None
        assert talk.status(number) == 413
        talk.close()


def test_expect_is_answered_with_the_refusal_and_never_with_100(gate: Gate, rogue: Rogue) -> None:
    with Client(gate) as client:
        got = client.send(
            client.head("POST", "/any/api/x", "Content-Length: 9", "Expect: 100-continue", key=None)
        ).take()
        assert (got.status, got.interim) == (401, [])
    with Client(gate) as client:
        client.send(client.head("POST", "/any/api/x", "Content-Length: 2", "Expect: 100-continue"))
        assert client.more()
        assert client.held == b"HTTP/1.1 100 Continue\r\n\r\n"
        got = client.send(b"hi").take()
        assert (got.status, got.interim) == (200, [100])


def test_a_service_that_refuses_early_is_heard_while_the_client_still_sends(gate: Gate, rogue: Rogue) -> None:
    def early(line: Line) -> None:
        line.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        time.sleep(0.2)

    path = rogue.on("/early", early)
    for listener in ("https", "plain"):
        with Client(gate, listener) as client:
            client.send(client.head("POST", "/any/api" + path, f"Content-Length: {SIZE}"))
            block = bytes(1_000_000)
            for _ in range(SIZE // len(block)):
                client.send(block)
            got = client.take()
            assert (got.status, got.body, got.end) == (413, b"big", "complete")


def test_over_http2_siblings_go_on_and_the_window_comes_back(gate: Gate, rogue: Rogue) -> None:
    stop = threading.Event()

    def events(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not stop.wait(0.02):
            line.send(b"6\r\ndata:\n\r\n")
        line.send(b"0\r\n\r\n")

    path = rogue.on("/sse", events)
    talk = H2(gate)
    sibling = talk.ask("GET", "/any/api" + path)
    assert talk.status(sibling) == 200
    before = talk.h2.outbound_flow_control_window
    for turn in range(8):
        number = talk.ask("POST", "/any/api/x", end=False, key="bad")
        sent = 0
        assert talk.status(number) == 401
        # It goes on sending 4 MB: more than the connection's window over the turns, so that it must be given back.
        while sent < 4_000_000:
            room = min(talk.h2.local_flow_control_window(number), 4_000_000 - sent)
            if room > 0:
                sent += talk.upload(number, room)
            elif talk.read(3) is None:
                raise AssertionError("the connection ended")
            if talk.until(h2.events.StreamReset, number, 0.0):
                break
        else:
            talk.h2.end_stream(number)
            talk.flush()
        assert sent > 1_000_000, turn
    have = len(talk.body(sibling))
    end = time.monotonic() + 5
    while len(talk.body(sibling)) < have + 60 and time.monotonic() < end:
        assert talk.read(1) is not None
    assert len(talk.body(sibling)) >= have + 60, "the sibling still streams"
    end = time.monotonic() + 5
    while talk.h2.outbound_flow_control_window < before * 3 // 4 and time.monotonic() < end:
        assert talk.read(1) is not None
    assert talk.h2.outbound_flow_control_window >= before * 3 // 4
    stop.set()
    assert talk.until(h2.events.StreamEnded, sibling)
    talk.close()


def test_the_connection_is_kept_where_the_rest_of_a_refused_upload_is_small(gate: Gate, rogue: Rogue) -> None:
    with Client(gate) as client:
        for _ in range(3):
            got = client.send(client.head("POST", "/any/api/x", "Content-Length: 100", key="bad") + bytes(100)).take()
            assert got.status == 401
        got = client.send(client.head("GET", "/any/api/x")).take()
        assert got.status == 200

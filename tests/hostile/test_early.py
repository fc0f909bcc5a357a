"""Early refusals: at once, readable by who is still sending, and without harm to anybody beside."""

import threading
import time

import h2.events
import pytest

from tests.hostile.h2raw import H2
from tests.hostile.raw import Client
from tests.hostile.rogue import Line, Rogue
from tests.live.gate import Gate

pytestmark = pytest.mark.live

SIZE = 30_000_000
REFUSED = {
    "no key": ("POST", "/any/api/x", None, 401),
    "a bad key": ("POST", "/any/api/x", "bad", 401),
    "no route": ("POST", "/nowhere", "", 404),
    "needs manage": ("POST", "/chat/api/api/pull", "", 403),
    "too large": ("POST", "/any/api/x", "", 413),
}


@pytest.mark.parametrize("why", REFUSED)
@pytest.mark.parametrize("listener", ["https", "plain"])
def test_over_http1_before_a_byte_of_the_body_and_readable_while_30_mb_come(
    gate: Gate, rogue: Rogue, listener: str, why: str
) -> None:
    method, path, key, status = REFUSED[why]
    size = 5 * 2**30 if why == "too large" else SIZE
    seen = rogue.seen["/x"]
    times = []
    for _ in range(5):
        with Client(gate, listener) as client:
            begun = time.monotonic()
            got = client.send(client.head(method, path, f"Content-Length: {size}", key=key)).take()
            times.append(time.monotonic() - begun)
            assert (got.status, got.end) == (status, "complete")
    assert min(times) < 0.05
    # Now one that sends everything before it reads.
    with Client(gate, listener) as client:
        client.send(client.head(method, path, f"Content-Length: {size}", key=key))
        block = bytes(1_000_000)
        for _ in range(SIZE // len(block)):
            client.send(block)
        got = client.take()
        assert (got.status, got.end) == (status, "complete")
    assert rogue.seen["/x"] == seen


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

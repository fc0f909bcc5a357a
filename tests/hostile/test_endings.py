"""The truth about endings: an answer that was cut or is malformed is never shown as complete, over either protocol."""

import time

import httpx
import pytest

from tests.hostile.h2raw import DATA, END_STREAM, GOAWAY, WINDOW, Frames, frame, settings
from tests.hostile.raw import Client
from tests.hostile.rogue import Line, Rogue
from tests.live.gate import Gate

pytestmark = pytest.mark.live

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: 1\r\n\r\n"


def fetch(gate: Gate, path: str, protocol: str) -> tuple[int, bytes, bool]:
    """(status, body, whether the client took it for complete)."""
    if protocol == "h1":
        with Client(gate) as client:
            got = client.send(client.head("GET", path)).take()
            return got.status, got.body, got.end == "complete"
    with httpx.Client(
        http2=protocol == "h2", http1=protocol != "h2", verify=gate.context(), headers={"X-API-Key": gate.key}
    ) as client:
        with client.stream("GET", gate.url + path) as answer:
            body = b""
            try:
                for part in answer.iter_raw():
                    body += part
            except httpx.HTTPError:
                return answer.status_code, body, False
            return answer.status_code, body, True


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("protocol", ["h1", "h2"])
@pytest.mark.parametrize("whole", [LENGTH, CHUNKED], ids=["length", "chunked"])
def test_an_answer_cut_at_any_byte_is_never_complete(
    gate: Gate, rogue: Rogue, whole: bytes, protocol: str, then: str
) -> None:
    body_at = whole.index(b"\r\n\r\n") + 4
    # Every byte over HTTP/1.1; every third over HTTP/2, where each cut has a connection of its own too.
    for cut in range(0, len(whole), 1 if protocol == "h1" and then == "close" else 3):
        path = rogue.raw(f"/cut{cut}", whole[:cut], then)
        status, _, complete = fetch(gate, "/any/api" + path, protocol)
        if cut < body_at:
            assert (status, complete) == (502, True), cut
        else:
            assert not complete, cut
    path = rogue.raw("/uncut", whole, "keep")
    assert fetch(gate, "/any/api" + path, protocol) == (200, b"hello world", True)


MALFORMED = {
    "status 99": b"HTTP/1.1 099 No\r\n\r\n",
    "status 600": b"HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n",
    "status +200": b"HTTP/1.1 +200 OK\r\nContent-Length: 0\r\n\r\n",
    "status 2000": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "version 2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "version 1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "another protocol": b"HTTQ/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no head at all": b"<html>hello</html>\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "the same length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "length +2": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "length -2": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "length 0x2": b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
    "no length at all": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
    "length of 30 digits": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\nok",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "identity": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "bare CR": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "no colon": b"HTTP/1.1 200 OK\r\nContent-Length 2\r\n\r\nok",
    "a name with a space": b"HTTP/1.1 200 OK\r\nX Y: 2\r\nContent-Length: 2\r\n\r\nok",
    "a head of 70 KiB": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "300 fields": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 300 + b"Content-Length: 2\r\n\r\nok",
    "1xx for ever": b"HTTP/1.1 102 Processing\r\n\r\n" * 500 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "1xx with a body": b"HTTP/1.1 103 Early\r\nContent-Length: 5\r\n\r\nhello" + LENGTH,
    "a switch nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_answer_is_a_502(gate: Gate, rogue: Rogue, name: str) -> None:
    path = rogue.raw("/malformed", MALFORMED[name], "close")
    with Client(gate) as client:
        got = client.send(client.head("GET", "/any/api" + path)).take()
    assert (got.status, got.reason, got.end) == (502, "upstream-broken", "complete")


BROKEN_CHUNKS = {
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "too long": b"5\r\nhello!\r\n0\r\n\r\n",
    "too short": b"6\r\nhello\r\n0\r\n\r\n",
    "bare LF": b"5\nhello\n0\n\n",
    "17 digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    "nothing": b"\r\nhello\r\n0\r\n\r\n",
    "space first": b" 5\r\nhello\r\n0\r\n\r\n",
    "space last": b"5 \r\nhello\r\n0\r\n\r\n",
    "negative": b"-1\r\nhello\r\n0\r\n\r\n",
    "LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "a line of extensions without end": b"5;" + b"a" * 5000,
    "a malformed trailer": b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
}


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_broken_chunks_break_the_answer_off(gate: Gate, rogue: Rogue, protocol: str) -> None:
    for name, chunks in BROKEN_CHUNKS.items():
        first = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n!\r\n"
        path = rogue.raw("/chunks", first + chunks, "close")
        status, _, complete = fetch(gate, "/any/api" + path, protocol)
        assert not complete or status == 502, name


def test_what_follows_an_answer_is_never_the_next_ones(gate: Gate, rogue: Rogue) -> None:
    """A second answer that nobody asked for goes to nobody."""
    rogue.raw("/two", LENGTH + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "keep")
    rogue.raw("/late", b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison", "keep")
    rogue.raw("/head", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "keep")
    rogue.raw("/not-modified", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison", "keep")
    for _ in range(5):
        for method, path in (("GET", "/two"), ("GET", "/late"), ("HEAD", "/head"), ("GET", "/not-modified")):
            with Client(gate) as client:
                client.send(client.head(method, "/any/api" + path)).take(head_only=method == "HEAD")
                got = client.send(client.head("GET", "/any/api/next")).take()
                assert (got.status, got.body) == (200, b"ok"), path


def test_an_answer_ended_by_the_end_of_the_connection_is_told_so(gate: Gate, rogue: Rogue) -> None:
    until_close = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello"
    rogue.raw("/until-close", until_close, "close")
    rogue.raw("/until-reset", until_close, "reset")
    for protocol in ("h1", "h2"):
        assert fetch(gate, "/any/api/until-close", protocol) == (200, b"hello", True)
        assert not fetch(gate, "/any/api/until-reset", protocol)[2]
    # A client of HTTP/1.0 must not take the cut answer for complete either: no farewell of TLS's, and a reset of TCP's.
    for listener, ends in (("https", ("cut", "reset")), ("plain", ("reset",))):
        with Client(gate, listener) as client:
            got = client.send(client.head("GET", "/any/api/until-reset", version="1.0")).take()
            assert got.end in ends


def test_a_post_is_never_sent_twice(gate: Gate, rogue: Rogue) -> None:
    """A kept connection dies under it: a GET may be asked once more, a POST is a 502."""

    def once(line: object) -> None:
        line.body()  # type: ignore[attr-defined]
        line.reset()  # type: ignore[attr-defined]

    rogue.on("/dies", once)
    with Client(gate) as client:
        client.send(client.head("GET", "/any/api/warm")).take()
        before = rogue.seen["/dies"]
        got = client.send(client.head("POST", "/any/api/dies", "Content-Length: 2") + b"hi").take()
        assert got.status == 502
        assert rogue.seen["/dies"] - before == 1
        client.send(client.head("GET", "/any/api/warm")).take()
        got = client.send(client.head("POST", "/any/api/dies", "Content-Length: 0")).take()
        assert got.status == 502
        assert rogue.seen["/dies"] - before == 2


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_interim_answers_pass_without_what_belongs_to_one_connection(gate: Gate, rogue: Rogue, protocol: str) -> None:
    rogue.raw(
        "/early",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\n\r\n"
        + LENGTH,
        "keep",
    )
    if protocol == "h2":
        assert fetch(gate, "/any/api/early", "h2") == (200, b"hello world", True)
        return
    with Client(gate) as client:
        client.send(client.head("GET", "/any/api/early"))
        while client.held.count(b"\r\n\r\n") < 2:
            assert client.more()
        interim = client.held.partition(b"\r\n\r\n")[0]
        assert interim == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>"
        assert client.take().interim == [103]


LAST = 6_000_000


def _last_answer(line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LAST + bytes(LAST))


@pytest.mark.parametrize("listener", ["https", "plain"])
def test_the_last_answer_of_a_connection_over_http2_is_whole_however_slowly_it_is_read(
    gate: Gate, rogue: Rogue, listener: str
) -> None:
    """For longer than a farewell may take, and while the client still says what it has taken."""
    path = rogue.on("/last-answer", _last_answer)
    client = Frames(gate, listener, window=65536, first=settings(window=LAST))
    client.send(frame(WINDOW, 0, 0, (LAST).to_bytes(4, "big"))).ask(1, "/any/api" + path)
    client.send(frame(GOAWAY, 0, 0, bytes(8)))
    begun, got, ended = time.monotonic(), 0, False
    while not ended:
        assert client.take(), (client.client.ended, got)
        for kind, flags, _, payload in client.seen:
            if kind == DATA:
                got += len(payload)
                ended = bool(flags & END_STREAM)
        client.seen.clear()
        client.send(frame(WINDOW, 0, 0, (1000).to_bytes(4, "big")))
        time.sleep(0.02 if listener == "https" else 0.002)
    assert got == LAST
    assert listener == "plain" or time.monotonic() - begun > 6

"""One connection, several requests: what one of them carries is never read as another, on either side of the gate."""

import re
import threading
import time

import pytest

from tests.hostile.corpus import SMUGGLED
from tests.hostile.h2raw import DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST, Frames, frame
from tests.hostile.raw import Client, ask
from tests.hostile.rogue import OK, Line, Rogue
from tests.live.gate import Gate

pytestmark = pytest.mark.live


def hidden(gate: Gate) -> bytes:
    """A request with a good key that a desync would send on."""
    return SMUGGLED.replace(b"Host: x\r\n", b"Host: localhost\r\nX-API-Key: " + gate.key.encode() + b"\r\n")


PAGES = {
    "health": ("POST", "/health", "", ()),
    "status": ("GET", "/status", "", ()),
    "ticket": ("POST", "/ticket", "", ()),
    "no route": ("POST", "/nowhere", "", ()),
    "no key": ("POST", "/any/api/x", None, ()),
    "a bad path": ("POST", "/any/api/..%2fx", "", ()),
    "a route without its slash": ("GET", "/any/api", "", ()),
    "a preflight": ("OPTIONS", "/any/api/x", None, ("Origin: https://localhost", "Access-Control-Request-Method: GET")),
    "a method that nobody knows": ("FOO", "/any/api/x", "", ()),
    "a service that is away": ("POST", "/dead/api/x", "", ()),
    "needs manage": ("DELETE", "/chat/api/api/delete", "", ()),
    "an upgrade of another kind": ("GET", "/any/api/x", None, ("Connection: Upgrade", "Upgrade: h2c")),
    "an upgrade that is refused": ("GET", "/any/api/x", None, ("Connection: Upgrade", "Upgrade: websocket")),
}


@pytest.mark.parametrize("why", PAGES)
def test_the_body_of_what_is_answered_early_is_never_a_request(gate: Gate, rogue: Rogue, why: str) -> None:
    """CL.0 and its kind: an address that reads no body leaves none behind for whoever reads next."""
    method, path, key, fields = PAGES[why]
    inner = hidden(gate)
    seen = rogue.seen["/smuggled"]
    bodies = {
        f"Content-Length: {len(inner)}": inner,
        "Transfer-Encoding: chunked": b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner),
    }
    for framing, body in bodies.items():
        with Client(gate, "plain") as client:
            client.send(client.head(method, path, framing, *fields, key=key))
            time.sleep(0.02)
            client.send(body)
            first = client.take(5)
            assert first.status, why
            if not first.closes:
                # The next answer on the connection, if there is one, is the next request's.
                got = client.send(client.head("GET", "/any/api/after")).take(5)
                assert (got.status, got.body) in ((200, b"ok"), (0, b"")), (why, got)
    assert rogue.seen["/smuggled"] == seen


def test_what_follows_a_body_is_judged_by_itself(gate: Gate, rogue: Rogue) -> None:
    """0.CL and CL.0 as a client may send them: the second request has no key, and the first one's is not lent to it."""
    seen = rogue.seen["/smuggled"]
    for fields in (
        ("Content-Length: 0",),
        (),
        ("Expect: 100-continue",),
        ("Content-Length: 0", "Expect: 100-continue"),
    ):
        with Client(gate, "plain") as client:
            client.send(client.head("POST", "/any/api/x", *fields) + SMUGGLED)
            assert client.take().status == 200
            assert client.take().status == 401, fields
    with Client(gate, "plain") as client:
        client.send(client.head("GET", "/any/api/x", version="1.0") + hidden(gate))
        got = client.take()
        assert (got.status, got.end) == (200, "complete")
        assert client.until_closed(3)[0] == "closed", "HTTP/1.0 without keep-alive ends"
    with Client(gate, "plain") as client:
        client.send(client.head("GET", "/any/api/x", "Connection: close") + hidden(gate))
        assert client.take().status == 200
        assert client.until_closed(3)[0] == "closed"
    assert rogue.seen["/smuggled"] == seen


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_a_body_where_none_is_usual_cannot_become_a_services_next_request(
    gate: Gate, rogue: Rogue, method: str
) -> None:
    """A service that reads no body of a GET takes it for another request: its connection serves nobody else."""
    inner = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    closing: list[str | None] = []

    def bodyless(line: Line) -> None:
        closing.append(line.field("Connection"))
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (0 if method == "HEAD" else 2))
        if method != "HEAD":
            line.send(b"ok")
        # What an honest server does that was told so.
        line.wait_gone()

    path = rogue.on("/bodyless", bodyless)
    with Client(gate, "plain") as client:
        client.send(client.head(method, "/any/api" + path, f"Content-Length: {len(inner)}") + inner)
        assert client.take(head_only=method == "HEAD").status == 200
        assert rogue.wait_for(lambda: rogue.gone.get(path), 3), "the connection was kept"
        assert client.send(client.head("GET", "/any/api/next")).take().body == b"ok"
    assert closing == ["close"]
    rogue.gone.pop(path)


def test_an_answer_before_the_upload_is_read_ends_the_services_connection(gate: Gate, rogue: Rogue) -> None:
    """Else what is still under way of the upload would be the service's next request."""

    def hasty(line: Line) -> None:
        line.send(OK)
        line.wait_gone()

    path = rogue.on("/hasty", hasty)
    inner = hidden(gate)
    seen = rogue.seen["/smuggled"]
    with Client(gate, "plain") as client:
        client.send(client.head("POST", "/any/api" + path, "Content-Length: 100000") + inner)
        assert client.take().status == 200
        assert rogue.wait_for(lambda: rogue.gone.get(path), 3)
    assert rogue.seen["/smuggled"] == seen


@pytest.mark.parametrize(
    "fields",
    [
        ("Expect: 100-Continue",), ("Expect:100-continue",), ("expect: 100-continue\r\nExpect: 100-continue",),
        ("Expect: 100-continue", "Connection: Expect"),
    ],
)  # fmt: skip
def test_expect_never_reaches_a_service(gate: Gate, rogue: Rogue, fields: tuple[str, ...]) -> None:
    heard = len(rogue.heard)
    with Client(gate, "plain") as client:
        client.send(client.head("POST", "/any/api/x", "Content-Length: 2", *fields))
        client.send(b"hi")
        assert client.take().status == 200
        assert client.send(client.head("GET", "/any/api/after")).take().status == 200
    assert not [head for head in rogue.heard[heard:] if b"expect" in head.lower()]


ANSWERS = {
    "a body on 204": (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", (204, b"")),
    "a body on 304": (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", (304, b"")),
    "a body on 205": (b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", (205, b"")),
    "kept in HTTP/1.0": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nokHTTP/1.0 200", (200, b"ok")),
    "an end in HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nok", (200, b"ok")),
    "an answer inside the body": (b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + (OK * 2)[:40], (200, (OK * 2)[:40])),
    "a switch among the fields": (b"HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok", (200, b"ok")),
    "a length that Connection names": (b"HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nok", (200, b"ok")),
    "trailers that frame": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n", None),
    "trailers with a cookie": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSet-Cookie: a=b\r\n\r\n", (200, b"ok")),
    "a list of codings over two lines": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 502),
    "a coding with a comma": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked,\r\n\r\n2\r\nok\r\n0\r\n\r\n", 502),
    "a coding with a tab": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\tchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 502),
    "a length with a comma": (b"HTTP/1.1 200 OK\r\nContent-Length: 2,\r\n\r\nok", 502),
    "a length with a sign and a coding": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
    "a chunk of 2^64": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n", None),
    "a chunk of 16 digits": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nok\r\n0\r\n\r\n", None),
    "a line split by CR": (b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok", 502),
    "a line split by LF": (b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok", 502),
    "an empty line first": (b"\r\n" + OK, 502),
    "a phrase with CR": (b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok", 502),
    "no space after the status": (b"HTTP/1.1 200OK\r\nContent-Length: 2\r\n\r\nok", 502),
    "two spaces": (b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok", 502),
    "ICY": (b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok", 502),
    "HTTP/0.9": (b"ok", 502),
    "a 100 that never ends": (b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + OK, 502),
    "a request": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 502),
}  # fmt: skip


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_odd_answers_reach_the_client_whole_or_not_at_all_and_nobody_else(
    gate: Gate, rogue: Rogue, protocol: str
) -> None:
    wrong = []
    for name, (data, expected) in ANSWERS.items():
        path = rogue.raw("/odd-answer", data, "close" if "an end" in name or name == "HTTP/0.9" else "keep")
        if protocol == "h1":
            with Client(gate, "plain") as client:
                got = client.send(client.head("GET", "/any/api" + path)).take(5)
                status, body, whole = got.status, got.body, got.end == "complete"
        else:
            talk = Frames(gate)
            talk.ask(1, "/any/api" + path)
            status = talk.status(1) or 0
            talk.until(DATA, 1, END_STREAM, 0.0 if expected is not None and status in (204, 304) else 2)
            body = b"".join(payload for kind, _, of, payload in talk.seen if (kind, of) == (DATA, 1))
            whole = any(kind in (DATA, HEADERS) and of == 1 and flags & 1 for kind, flags, of, _ in talk.seen)
            talk.close()
        if expected == 502:
            good = status == 502
        elif expected is None:
            good = status == 502 or not whole
        else:
            good = (status, body, whole) == (*expected, True)
        with Client(gate, "plain") as client:
            after = client.send(client.head("GET", "/any/api/after")).take(5)
        if not good or (after.status, after.body) != (200, b"ok"):
            wrong.append((name, status, body, whole, after))
    assert not wrong


def test_the_body_of_an_answer_to_head_is_nobodys(gate: Gate, rogue: Rogue) -> None:
    for data in (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + OK,
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found",
    ):
        path = rogue.raw("/head-body", data, "keep")
        with Client(gate, "plain") as client:
            client.send(client.head("HEAD", "/any/api" + path))
            assert client.take(5, head_only=True).status in (200, 404)
            got = client.send(client.head("GET", "/any/api/after")).take(5)
            assert (got.status, got.body) == (200, b"ok")


def test_a_tunnel_that_was_refused_is_an_ordinary_connection_on_both_sides(gate: Gate, rogue: Rogue) -> None:
    """What a client sends behind an upgrade waits for the 101; without one it is a request like any other."""
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    seen = rogue.seen["/smuggled"]
    for version in ("1", "", "777"):
        path = rogue.raw("/426", b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n", "hang")
        with Client(gate, "plain") as client:
            head = client.head("GET", "/any/api" + path, *upgrade, f"Sec-WebSocket-Version: {version}")
            client.send(head + SMUGGLED)
            assert client.take(5).status == 426
            assert client.take(5).status == 401
    # Another protocol than the plugin's, several of them, and one in a list.
    for other in ("h2c", "websocket, h2c", "TLS/1.0", "websocket/13", ""):
        heard = len(rogue.heard)
        with Client(gate, "plain") as client:
            client.send(
                client.head(
                    "GET",
                    "/any/api/x",
                    "Connection: Upgrade, HTTP2-Settings",
                    f"Upgrade: {other}",
                    "HTTP2-Settings: AAMA",
                )
            )
            assert client.take(5).status == 200
        assert b"upgrade" not in rogue.heard[heard].lower(), other
    assert rogue.seen["/smuggled"] == seen


TRAILERS: dict[str, list[tuple[str, str]]] = {
    "a pseudo-header": [(":path", "/any/api/y")],
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "connection": [("connection", "close")],
    "CR LF": [("x", "a\r\nb")],
    "upper case": [("X", "a")],
}


@pytest.mark.parametrize("why", TRAILERS)
def test_over_http2_trailers_that_lie_end_the_request(gate: Gate, rogue: Rogue, why: str) -> None:
    whole: list[bytes] = []

    def script(line: Line) -> None:
        whole.append(line.body())
        line.send(OK)

    path = rogue.on("/trailers", script)
    talk = Frames(gate)
    talk.ask(1, "/any/api" + path, "POST", end=False)
    talk.send(frame(DATA, 0, 1, b"hi"))
    talk.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, talk.block(*TRAILERS[why])))
    assert talk.until(RST, 1, seconds=3) is not None or talk.code(GOAWAY) is not None
    assert not whole
    talk.close()


def test_over_http2_odd_heads_go_nowhere(gate: Gate, rogue: Rogue) -> None:
    """Pseudo-headers that would write a request line, a Host or a URL of their own."""
    base = {":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": "/any/api/x"}
    odd: dict[str, dict[str, str]] = {
        "a request line in the method": {":method": "GET /any/api/smuggled HTTP/1.1\r\nX: y"},
        "a space in the method": {":method": "GET /"},
        "a method in lower case": {":method": "get"},
        "a method of nothing": {":method": ""},
        "TRACE": {":method": "TRACE"},
        "PRI": {":method": "PRI"},
        "CONNECT": {":method": "CONNECT"},
        "a URL in the scheme": {":scheme": "https://evil/x?"},
        "another scheme": {":scheme": "ftp"},
        "an authority with a path": {":authority": "localhost/any"},
        "an authority with a user": {":authority": "x@localhost"},
        "an authority with CR LF": {":authority": "localhost\r\nX: y"},
        "an authority with a comma": {":authority": "localhost, evil"},
        "an authority of nothing": {":authority": ""},
        "a doubled slash": {":path": "//any/api/x"},
        "a tab in the path": {":path": "/any/api/x\tHTTP/1.1"},
        "8 bit in the path": {":path": "/any/api/\xe9"},
        "dot segments": {":path": "/any/api/../api/x"},
        "a backslash": {":path": "/any/api\\x"},
        "a path without its slash": {":path": "any/api/x"},
        "a query for a path": {":path": "?x"},
        "an authority for a path": {":path": "localhost:80"},
    }
    heard = len(rogue.heard)
    passed = []
    for name, changed in odd.items():
        talk = Frames(gate)
        pairs = [(key, value) for key, value in {**base, **changed}.items()]
        block = talk.block(*((k, v.encode("latin-1")) for k, v in pairs), ("x-api-key", gate.key))
        talk.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
        end = time.monotonic() + 3
        while time.monotonic() < end and not {RST, HEADERS, GOAWAY} & {kind for kind, *_ in talk.seen}:
            talk.client.line.settimeout(0.5)
            talk.take()
        status = talk.status(1) if HEADERS in {kind for kind, *_ in talk.seen} else 0
        if status is None or 200 <= status < 400:
            passed.append((name, status))
        talk.close()
    assert not passed
    assert len(rogue.heard) == heard


def test_over_http2_a_stream_is_used_once(gate: Gate, rogue: Rogue) -> None:
    """DATA after the end, a second head without an end, a head on a stream that is over."""
    wrong = {
        "DATA after the end": lambda talk: talk.ask(1, "/any/api/x").send(frame(DATA, END_STREAM, 1, b"hi")),
        "a second head": lambda talk: talk.ask(1, "/any/api/x", "POST", end=False).ask(1, "/any/api/y", end=False),
        "a head after the end": lambda talk: talk.ask(1, "/any/api/x").ask(1, "/any/api/y"),
        "a stream below": lambda talk: talk.ask(5, "/any/api/x").ask(3, "/any/api/y"),
    }
    heard = len(rogue.heard)
    for name, send in wrong.items():
        talk = Frames(gate)
        send(talk)
        end = time.monotonic() + 3
        while time.monotonic() < end and not {RST, GOAWAY} & {kind for kind, *_ in talk.seen}:
            talk.client.line.settimeout(0.5)
            talk.take()
        assert talk.code(RST) in (1, 5, 8, 0) or talk.code(GOAWAY) in (1, 5), (name, talk.seen)
        talk.close()
    assert not [head for head in rogue.heard[heard:] if b" /y " in head]


def test_ranges_and_repeated_fields_are_bounded_by_the_head_alone(gate: Gate, rogue: Rogue) -> None:
    ranges = "bytes=" + ",".join(f"{at}-" for at in range(1500))
    with Client(gate, "plain") as client:
        assert client.send(client.head("GET", "/any/api/x", f"Range: {ranges}")).take().status == 200
    ranges = "bytes=" + ",".join("0-" for _ in range(12_000))
    got = ask(gate, Client(gate, "plain").head("GET", "/any/api/x", f"Range: {ranges}"))
    assert got.status == 431


def test_answers_to_a_crowd_of_smugglers_stay_with_who_asked(gate: Gate, rogue: Rogue) -> None:
    """Everybody's body is a request for poison, on methods with and without a body of their own; nobody ever gets it."""
    rogue.raw("/poison", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "keep")

    def lazy(line: Line) -> None:
        line.send(OK)

    rogue.on("/lazy", lazy)
    inner = b"GET /poison HTTP/1.1\r\nHost: x\r\n\r\n"
    bad: list[bytes] = []

    def one(number: int) -> None:
        for turn in range(20):
            with Client(gate, "plain") as client:
                if (number + turn) % 2:
                    method = ("GET", "DELETE", "OPTIONS")[turn % 3]
                    client.send(client.head(method, "/any/api/lazy", f"Content-Length: {len(inner)}") + inner)
                else:
                    client.send(client.head("GET", "/any/api/honest"))
                got = client.take(5)
                if got.status != 200 or got.body != b"ok":
                    bad.append(got.body)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not [body for body in bad if re.search(b"poison", body)], bad[:3]
    assert not bad

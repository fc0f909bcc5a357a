"""No way round what was judged: paths, headers and keys in every disguise, over both protocols."""

import json
from pathlib import Path

import pytest

from tests.hostile.h2raw import END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST, Frames, frame
from tests.hostile.raw import Client, ask
from tests.hostile.rogue import Rogue
from tests.live.gate import Gate

pytestmark = pytest.mark.live

PULLS = [
    "/chat/api/pull",
    "/chat/api/api/pull",
    "/chat/api//pull",
    "/chat/api//api/pull",
    "/chat/api/api//pull",
    "/chat/api/api/pull/",
    "/chat/api/api/pull//",
    "/chat/api/api/pull;x",
    "/chat/api/api/pull;x=y",
    "/chat/api/api;x/pull",
    "/chat/api/;/api/pull",
    "/chat/api/api/p%75ll",
    "/chat/api/api/p%55ll",
    "/chat/api/%61pi/pull",
    "/chat/api/api%2fpull",
    "/chat/api/api%2Fpull",
    "/chat/api/api%252fpull",
    "/chat/api/api/%70%75%6c%6c",
    "/chat/api/api/%2570ull",
    "/chat/api/API/PULL",
    "/chat/api/api/Pull",
    "/chat/api/api/pull%20",
    "/chat/api/api/pull%09",
    "/chat/api/api/pull%00",
    "/chat/api/api/pull%0a",
    "/chat/api/api/pull%0d%0a",
    "/chat/api/api/pull%3f",
    "/chat/api/api/pull%3Fx",
    "/chat/api/api/pull%23",
    "/chat/api/api/pull%3b",
    "/chat/api/api/pull?x=/api/chat",
    "/chat/api/api/pull?",
    "/chat/api/api/chat/../pull",
    "/chat/api/api/chat/..%2fpull",
    "/chat/api/api/chat%2f..%2fpull",
    "/chat/api/api/chat/%2e%2e/pull",
    "/chat/api/api/chat/%252e%252e/pull",
    "/chat/api/api/chat/..;/pull",
    "/chat/api/api/chat/..%5cpull",
    "/chat/api/api/chat/..\\pull",
    "/chat/api/api\\pull",
    "/chat/api/api%5cpull",
    "/chat/api/./api/pull",
    "/chat/api/api/./pull",
    "/chat/api/api/%2e/pull",
    "/chat/api/v1/../api/pull",
    "/chat/api/v1/%2e%2e/api/pull",
    "/chat/api/v1/models/..%2f..%2fapi%2fpull",
    "/chat/api/api/%c0%afpull",
    "/chat/api/api/chat/%c0%ae%c0%ae/pull",
    "/chat/api/api/%e0%80%afpull",
    "/chat/api/api/pull%u0020",
    "/chat/api/http://127.0.0.1/api/pull",
    "http://localhost/chat/api/api/pull",
    "http://localhost//api/pull",
    "http://evil/chat/api/api/pull",
    "//chat/api/api/pull",
    "/chat//api/api/pull",
    "/chat/./api/api/pull",
    "/CHAT/api/api/pull",
    "/chat%2fapi/api/pull",
    "/any/api/../../chat/api/api/pull",
    "/any/api/..%2f..%2fchat/api/api/pull",
    "/api/pull",
    "/chat/api/api/delete",
    "/chat/api/api/create",
    "/chat/api/api/push",
    "/chat/api/api/copy",
    "/chat/api/api/blobs/sha256:00",
    "/chat/api/api/unknown",
    "/chat/api/v1/unknown",
    "/chat/api/v1/models/x/../../../api/pull",
]


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH", "pOST", "FOO", "TRACE"])
def test_what_needs_manage_is_reached_by_no_spelling(gate: Gate, rogue: Rogue, method: str) -> None:
    heard = len(rogue.heard)
    with Client(gate, "plain") as client:
        passed = []
        for path in PULLS:
            data = client.head(method, path)
            status = ask(gate, data, head_only=method == "HEAD").status
            if not 300 <= status < 500:
                passed.append((path, status))
    assert not passed
    new = [head.partition(b"\r\n")[0] for head in rogue.heard[heard:] if b"/api/version" not in head]
    assert not new, new


def _fields_of(gate: Gate, rogue: Rogue, *fields: str, method: str = "GET", path: str = "/any/api/fields") -> list[str]:
    """The field lines that the service saw of a request with these."""
    with Client(gate, "plain") as client:
        heard = len(rogue.heard)
        got = client.send(client.head(method, path, *fields)).take()
        assert got.status == 200, (fields, got)
    return rogue.heard[heard].decode("latin-1").split("\r\n")[1:-2]


SECRETS = [
    "authorization", "x-api-key", "api-key", "xi-api-key", "x-goog-api-key", "x_api_key", "api_key", "xi_api_key",
    "x_goog_api_key", "x-api_key",
]  # fmt: skip
FORGED = [
    "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Forwarded-Port", "Forwarded",
    "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Cluster-Client-IP", "X-Original-Host",
    "X_Forwarded_For", "X-Forwarded_For", "x_real_ip", "Remote-User", "X-Remote-User", "X-Forwarded-User",
    "X-Auth-Request-User", "X_Forwarded_User", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override",
    "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override", "X-Aigate-User", "X-Aigate-Key", "X_Aigate_User",
    "X-Aigate-Anything", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Keep-Alive", "Upgrade",
    "HTTP2-Settings", "X-Request-Id_", "Transfer_Encoding", "Content_Length", "Transfer-Encoding_",
]  # fmt: skip


def test_keys_and_forged_fields_go_to_no_service(gate: Gate, rogue: Rogue) -> None:
    for name in SECRETS:
        seen = _fields_of(gate, rogue, f"{name}: forged-value")
        assert not [line for line in seen if "forged-value" in line], name
        assert not [line for line in seen if gate.key in line], name
    for name in FORGED:
        seen = _fields_of(gate, rogue, f"{name}: 6.6.6.6")
        left = [line for line in seen if "6.6.6.6" in line]
        assert not left or name in ("X-Request-Id_", "Transfer-Encoding_"), name


@pytest.mark.parametrize(
    "name", ["X-API-Key", "x-api-key", "Authorization", "Host", "X-Forwarded-For", "Content-Length"]
)
def test_connection_cannot_take_away_what_the_gate_needs(gate: Gate, rogue: Rogue, name: str) -> None:
    for value in (name, f"close, {name}", f"{name}, keep-alive", f" {name} ,", f"keep-alive\r\nConnection: {name}"):
        with Client(gate, "plain") as client:
            heard = len(rogue.heard)
            got = client.send(
                client.head("POST", "/any/api/fields", f"Connection: {value}", "Content-Length: 2") + b"hi"
            ).take()
            assert got.status == 200
        seen = rogue.heard[heard].lower()
        assert b"\r\nhost: 127.0.0.1" in seen
        assert b"\r\nx-forwarded-for: 127.0.0.1\r\n" in seen
        assert b"\r\ncontent-length: 2\r\n" in seen
        assert gate.key.encode() not in seen


def test_keys_that_disagree_or_are_doubled_decide_nothing_by_chance(gate: Gate, rogue: Rogue) -> None:
    other = gate.make_key("--user", "other", "--service", "any")["key"]
    with Client(gate, "plain") as client:
        key = gate.key
        import time

        end = time.monotonic() + 5
        while ask(gate, client.head("GET", "/any/api/x", key=other)).status != 200:
            assert time.monotonic() < end
            time.sleep(0.05)

        def status(*fields: str) -> tuple[int, str | None]:
            got = ask(gate, client.head("GET", "/any/api/x", *fields, key=None))
            return got.status, got.reason

        assert status(f"X-API-Key: {key}", f"Authorization: Bearer {other}") == (400, "two-keys")
        assert status(f"X-API-Key: {key}", f"X-API-Key: {other}") == (400, "two-keys")
        assert status(f"X-API-Key: {key}", f"X-API-Key: {key}")[0] == 200
        assert status(f"X-API-Key: {key}, {other}")[0] in (400, 401)
        assert status(f"X-API-Key: {key},{key}")[0] in (200, 400, 401)
        assert status(f"X_API_Key: {key}")[0] == 401
        assert status(f"X-API-Key : {key}")[0] == 400
        assert status(f"Authorization: Basic {key}")[0] == 401
        assert status(f"Authorization: {key}")[0] in (200, 401)
        assert status(f"Authorization: bearer   {key}")[0] in (200, 401)
        assert status(f"Cookie: X-API-Key={key}")[0] == 401
        assert status(f"X-API-Key: {key}\x00")[0] == 400
        assert status(f"X-API-Key: {key[:-1]}")[0] == 401
        assert status(f"X-API-Key: {key}{key}")[0] == 401
        assert status(f"X-API-Key: {key.upper()}")[0] == 401
        assert status("X-API-Key:")[0] == 401
        many = [f"X-API-Key: placeholder{number}" for number in range(50)]
        assert status(*many, f"Authorization: Bearer {key}")[0] in (200, 400, 401)
        assert status()[0] == 401
    assert ask(gate, client.head("GET", f"/any/api/x?key={key}&api_key={key}", key=None)).status == 401


MALFORMED_H2: dict[str, list[tuple[bytes, bytes]]] = {
    "CR LF in a value": [(b"x", b"a\r\nX-Smuggled: 1")],
    "LF in a value": [(b"x", b"a\nb")],
    "CR in a value": [(b"x", b"a\rb")],
    "NUL in a value": [(b"x", b"a\0b")],
    "space first in a value": [(b"x", b" a")],
    "CR LF in a name": [(b"x\r\ny", b"a")],
    "colon in a name": [(b"x:y", b"a")],
    "space in a name": [(b"x y", b"a")],
    "a name of nothing": [(b"", b"a")],
    "upper case": [(b"X-Upper", b"a")],
    "8 bit in a name": [(b"x\xe9", b"a")],
    "connection": [(b"connection", b"close")],
    "keep-alive": [(b"keep-alive", b"1")],
    "proxy-connection": [(b"proxy-connection", b"keep-alive")],
    "transfer-encoding": [(b"transfer-encoding", b"chunked")],
    "upgrade": [(b"upgrade", b"websocket")],
    "te": [(b"te", b"gzip")],
    "a late pseudo-header": [(b"x", b"a"), (b":path", b"/any/api/y")],
    "an unknown pseudo-header": [(b":status", b"200")],
    "a doubled path": [(b":path", b"/any/api/y")],
    "a doubled method": [(b":method", b"POST")],
    "two lengths": [(b"content-length", b"0"), (b"content-length", b"0")],
    "a signed length": [(b"content-length", b"+0")],
    "a length without a body": [(b"content-length", b"5")],
    "two hosts": [(b"host", b"localhost"), (b"host", b"localhost")],
    "host disagrees": [(b"host", b"evil")],
    ":protocol without CONNECT": [(b":protocol", b"websocket")],
}


@pytest.mark.parametrize("name", MALFORMED_H2)
def test_over_http2_nothing_goes_on_that_http1_would_refuse(gate: Gate, rogue: Rogue, name: str) -> None:
    heard = len(rogue.heard)
    pairs = MALFORMED_H2[name]
    late = [pair for pair in pairs if not pair[0].startswith(b":") or name.startswith("a late")]
    early = [pair for pair in pairs if pair not in late]
    talk = Frames(gate)
    request = talk.request("/any/api/x")
    block = talk.block(*request[:4], *early, *request[4:], *late)
    talk.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
    status = None
    payload = talk.until(HEADERS, 1, seconds=0.5) if talk.until(RST, 1, seconds=0.3) is None else None
    if payload is not None:
        status = talk.status(1)
    refused = (status is not None and 400 <= status < 500) or talk.code(RST) == 1 or talk.code(GOAWAY) == 1
    assert refused, (status, talk.seen)
    assert len(rogue.heard) == heard
    # The connection goes on for the honest, unless it was ended with a reason.
    talk.close()


@pytest.mark.parametrize(
    "path",
    ["", "x", "*", "/any/api/x y", "/any/api/x\r\nX: y", "/any/api/\x00", "http://localhost/any/api/x", "/any/api/x#y"],
)
def test_over_http2_a_malformed_path_goes_nowhere(gate: Gate, rogue: Rogue, path: str) -> None:
    heard = len(rogue.heard)
    talk = Frames(gate)
    talk.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, talk.block(*talk.request(path))))
    assert talk.until(RST, 1, seconds=2) is not None or (talk.status(1) or 0) >= 400
    assert len(rogue.heard) == heard
    talk.close()


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_over_http2_a_head_without_a_pseudo_header_goes_nowhere(gate: Gate, rogue: Rogue, missing: int) -> None:
    heard = len(rogue.heard)
    talk = Frames(gate)
    request = talk.request("/any/api/x")
    del request[missing]
    talk.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, talk.block(*request)))
    assert talk.until(RST, 1, seconds=2) is not None or (talk.status(1) or 0) >= 400
    assert len(rogue.heard) == heard
    talk.close()


@pytest.mark.parametrize("sent", [b"", b"hell", b"hello!"])
def test_over_http2_a_body_of_another_length_is_never_whole(gate: Gate, rogue: Rogue, sent: bytes) -> None:
    whole: list[bytes] = []

    def script(line: object) -> None:
        whole.append(line.body())  # type: ignore[attr-defined]
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")  # type: ignore[attr-defined]

    path = rogue.on("/lengths", script)
    talk = Frames(gate)
    pairs = [*talk.request("/any/api" + path, "POST"), ("content-length", "5")]
    talk.send(frame(HEADERS, END_HEADERS, 1, talk.block(*pairs)) + frame(0, END_STREAM, 1, sent))
    payload = talk.until(RST, 1, seconds=3)
    assert payload == b"\0\0\0\1"
    assert not whole
    talk.close()


def test_an_upgrade_that_is_none_makes_no_tunnel(gate: Gate, rogue: Rogue) -> None:
    """Nothing is tunnelled before a valid 101, and never for a request with a body."""
    path = rogue.raw("/no-switch", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "keep")
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    smuggled = b"GET /any/api/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    seen = rogue.seen["/smuggled"]
    with Client(gate, "plain") as client:
        got = client.send(client.head("GET", "/any/api" + path, *upgrade) + smuggled).take()
        assert got.status == 200
        assert client.take().status == 401, "what follows is a request, and judged"
    false_switches = {
        "another protocol": b"Connection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        "no Upgrade": b"Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        "no accept": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "another accept": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n",
        "a length": b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    }
    for name, fields in false_switches.items():
        rogue.raw("/false", b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n", "keep")
        with Client(gate, "plain") as client:
            assert client.send(client.head("GET", "/any/api/false", *upgrade) + smuggled).take().status == 502, name
    assert rogue.seen["/smuggled"] == seen


def test_a_service_cannot_write_into_the_answers_head(gate: Gate, rogue: Rogue) -> None:
    """What looks like another answer inside a field is one field."""
    rogue.raw(
        "/odd",
        b"HTTP/1.1 200 O\tK \xe9\r\nX-Aigate-Reason: forged\r\nX-Request-Id: forged\r\nContent-Length: 0\r\n\r\n",
        "keep",
    )
    with Client(gate, "plain") as client:
        got = client.send(client.head("GET", "/any/api/odd")).take()
    assert got.status == 200
    assert got.reason is None
    assert "forged" not in json.dumps(got.fields)


def test_strict_transport_is_said_over_tls_alone_once_and_only_where_it_is_wanted(
    gate: Gate, rogue: Rogue, tmp_path: Path
) -> None:
    name = "strict-transport-security"
    rogue.raw(
        "/strict", b"HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n", "keep"
    )
    services = {"any": {"plugin": "http", "route": "/any/api", "upstreams": [rogue.url]}}
    with Gate(tmp_path, services, '[tls]\nhsts = "365d"\n', plain=True) as strict:
        for listener, wanted in (("https", ["max-age=31536000"]), ("plain", [])):
            for path, key in (
                ("/any/api/x", ""),
                ("/any/api/x", "bad"),
                ("/health", None),
                ("/nowhere", ""),
                ("/any/api", ""),
            ):
                with Client(strict, listener) as client:
                    got = client.send(client.head("GET", path, key=key)).take()
                    assert [value for each, value in got.fields if each == name] == wanted, (listener, path)
            with Client(strict, listener) as client:
                got = client.send(b"GET /x y HTTP/1.1\r\n\r\n").take()
                assert [value for each, value in got.fields if each == name] == wanted, listener
        with Client(strict) as client:
            got = client.send(client.head("GET", "/any/api/strict")).take()
            assert [value for each, value in got.fields if each == name] == ["max-age=31536000"]
    with Client(gate) as client:
        assert client.send(client.head("GET", "/any/api/x")).take().field(name) is None
        assert client.send(client.head("GET", "/any/api/strict")).take().field(name) == "max-age=1"

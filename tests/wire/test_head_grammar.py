"""Heads of requests and answers: what is read, and what is refused."""

import pytest

from edge.wire.head import CHUNKED, UNTIL_CLOSE, BadHead, answer_head, host_of, looks_broken, request_head


def request(*lines: str) -> bytes:
    return "".join(line + "\r\n" for line in lines).encode("latin-1")


def test_a_plain_request() -> None:
    head = request_head(request("POST /a?b HTTP/1.1", "Host: Gate.Example.:8443", "X-A:  b \t", "Content-Length: 5"))
    assert (head.method, head.target, head.minor, head.length) == ("POST", b"/a?b", 1, 5)
    assert (head.host, head.authority) == ("gate.example", b"Gate.Example.:8443")
    assert head.fields.pairs[1] == (b"X-A", b"b")
    assert head.keep_alive


@pytest.mark.parametrize(
    "target", ["/a#b", "/a?b#c", "#", "/a b", "", "a", "*", "http://other/", "http://u@h/", "//h\x7f"]
)
def test_targets_that_are_none(target: str) -> None:
    with pytest.raises(BadHead):
        request_head(request(f"GET {target} HTTP/1.1", "Host: h"))


def test_an_absolute_target_is_the_path_at_its_own_host_only() -> None:
    assert request_head(request("GET http://H:80/a?b HTTP/1.1", "Host: h")).target == b"/a?b"
    assert request_head(request("GET http://h?b HTTP/1.1", "Host: h")).target == b"/?b"
    assert request_head(request("GET http://h HTTP/1.1", "Host: h")).target == b"/"


@pytest.mark.parametrize(
    "field", ["Transfer-Encoding: \tchunked", "Transfer-Encoding: chunked\t", "Transfer-Encoding:\tchunked"]
)
def test_a_tab_beside_the_coding_is_refused_because_some_read_another_coding(field: str) -> None:
    with pytest.raises(BadHead):
        request_head(request("POST / HTTP/1.1", "Host: h", field))
    assert request_head(request("POST / HTTP/1.1", "Host: h", "Transfer-Encoding:  Chunked ")).length == CHUNKED


def test_a_line_that_was_read_before_is_judged_no_less() -> None:
    """Lines are remembered; what frames a message, and what is doubled, still counts each time."""
    for _ in range(3):
        with pytest.raises(BadHead):
            request_head(request("POST / HTTP/1.1", "Host: h", "Content-Length: 5", "Content-Length: 5"))
        with pytest.raises(BadHead):
            request_head(request("POST / HTTP/1.1", "Host: h", "Content-Length: 5", "Transfer-Encoding: chunked"))
        with pytest.raises(BadHead):
            request_head(request("GET / HTTP/1.1", "Host: h", "Host: h"))
        with pytest.raises(BadHead):
            request_head(request("GET / HTTP/1.1", "Host: h", "X : y"))
        assert request_head(request("POST / HTTP/1.1", "Host: h", "Content-Length: 5")).length == 5


def test_a_body_makes_an_upgrade_an_ordinary_request() -> None:
    upgrade = ("Connection: keep-alive, Upgrade", "Upgrade: WebSocket")
    assert request_head(request("GET / HTTP/1.1", "Host: h", *upgrade)).upgrade == b"websocket"
    for more in (("Content-Length: 1",), ("Transfer-Encoding: chunked",), ("Upgrade: h2c",)):
        assert request_head(request("GET / HTTP/1.1", "Host: h", *upgrade, *more)).upgrade is None
    assert request_head(request("POST / HTTP/1.1", "Host: h", *upgrade)).upgrade is None
    assert request_head(request("GET / HTTP/1.1", "Host: h", "Upgrade: websocket")).upgrade is None
    assert request_head(request("GET / HTTP/1.0", "Host: h", *upgrade)).upgrade is None


def test_answers_and_where_they_end() -> None:
    assert answer_head(request("HTTP/1.1 200 OK", "Content-Length: 5")).length == 5
    assert answer_head(request("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")).length == CHUNKED
    open_end = answer_head(request("HTTP/1.1 200 OK"))
    assert (open_end.length, open_end.keep_alive) == (UNTIL_CLOSE, False)
    assert answer_head(request("HTTP/1.1 204 No", "Content-Length: 5")).length == 0
    assert not answer_head(request("HTTP/1.0 200 OK", "Content-Length: 5")).keep_alive
    assert answer_head(request("HTTP/1.0 200 OK", "Connection: Keep-Alive", "Content-Length: 5")).keep_alive
    assert not answer_head(request("HTTP/1.1 200 OK", "Connection: x, Close", "Content-Length: 5")).keep_alive


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        (b"h", "h"), (b"H.", "h"), (b"h:1", "h"), (b"[::1]", "::1"), (b"[::1]:443", "::1"), (b"", None), (b"h:", None),
        (b"h:65536", None), (b"u@h", None), (b"h/x", None), (b"[::1", None), (b"::1", None), (b"h h", None), (b"h,i", None),
    ],
)  # fmt: skip
def test_authorities(authority: bytes, host: str | None) -> None:
    assert host_of(authority) == host


def test_a_bare_line_feed_shows_at_once() -> None:
    assert looks_broken(b"GET / HTTP/1.1\n")
    assert looks_broken(b"GET / HTTP/1.1\r\nX: y\n")
    assert not looks_broken(b"GET / HTTP/1.1\r\nX: y\r")
    assert not looks_broken(b"GET / HTTP/1.1\r")

"""What is remembered of heads: never a secret, never more than a bound, and nothing that changes a judgement."""

import pytest

from edge.wire import head
from edge.wire.head import BadHead, answer_head, request_head

SECRETS = (
    b"Authorization: Bearer aig_secret",
    b"X-API-Key: aig_secret",
    b"api-key: aig_secret",
    b"Cookie: session=secret",
    b"Set-Cookie: session=secret",
    b"Proxy-Authorization: Basic secret",
    b"Sec-WebSocket-Protocol: aigate.ticket.secret",
)


def request(*lines: bytes) -> head.RequestHead:
    return request_head(b"\r\n".join((b"GET / HTTP/1.1", b"Host: localhost", *lines, b"")))


@pytest.mark.parametrize("line", SECRETS)
def test_a_line_with_a_secret_is_not_remembered(line: bytes) -> None:
    request(line)
    answer_head(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n")
    assert line not in head._lines


def test_a_line_that_came_before_reads_the_same_again() -> None:
    line = b"x-OnCe:  a value \t"
    first, second = request(line), request(line)
    assert line in head._lines
    assert first.fields.pairs == second.fields.pairs == [(b"Host", b"localhost"), (b"x-OnCe", b"a value")]
    assert first.fields.lows == second.fields.lows == [b"host", b"x-once"]


@pytest.mark.parametrize("line", [b"no colon", b"bad name: x", b"x: a\rb", b"x: a\x00b", b" folded: x"])
def test_a_malformed_line_is_refused_each_time(line: bytes) -> None:
    for _ in range(2):
        with pytest.raises(BadHead):
            request(line)
    assert line not in head._lines


def test_a_line_that_frames_the_message_counts_each_time_it_comes() -> None:
    for _ in range(2):
        with pytest.raises(BadHead, match="more than one Content-Length"):
            request(b"Content-Length: 5", b"Content-Length: 5")
        assert request(b"Content-Length: 5").length == 5


def test_strangers_cannot_make_the_memory_of_lines_grow() -> None:
    for number in range(3 * head._MOST_LINES):
        request(b"x-stranger: %d" % number)
    request(b"x-long: " + b"y" * head._LONGEST_LINE)
    assert len(head._lines) <= head._MOST_LINES
    assert max(map(len, head._lines)) <= head._LONGEST_LINE


def test_a_status_line_that_is_malformed_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(BadHead):
            answer_head(b"HTTP/1.1 200OK\r\n")


LENGTHS = (
    (b"Content-Length: 5", b"Content-Length: 7", 7),
    (b"content-length: 5", b"content-length: 1200", 1200),
)


@pytest.mark.parametrize(("before", "after", "length"), LENGTHS)
def test_a_head_that_differs_in_its_length_alone_has_the_fields_of_the_one_before(
    before: bytes, after: bytes, length: int
) -> None:
    first = post(before)
    second = post(after, known=first)
    assert second.length == length
    assert second.fields is first.fields
    assert b"content-length" not in second.fields


OTHERS = (
    b"Content-Length: 0",
    b"Content-Length: +7",
    b"Content-Length: 7, 7",
    b"Content-Length: 7\r\nContent-Length: 7",
    b"Content-Length: 7\r\nTransfer-Encoding: chunked",
    b"Content-Length:7",
    b"Content-length: 7",
    b"Content-Length: 7 ",
    b"Content-Length: " + b"7" * 16,
    b"X: Content-Length: 7",
    b"Transfer-Encoding: chunked",
)


@pytest.mark.parametrize("line", OTHERS)
def test_a_head_that_differs_in_more_is_read_anew(line: bytes) -> None:
    before = post(b"Content-Length: 5")
    try:
        alone: head.RequestHead | None = post(line)
    except BadHead:
        alone = None
    if alone is None:
        with pytest.raises(BadHead):
            post(line, known=before)
        return
    again = post(line, known=before)
    assert again.fields is not before.fields
    assert (again.length, again.fields.pairs) == (alone.length, alone.fields.pairs)


def test_a_first_line_that_comes_again_says_the_same_whatever_follows_it() -> None:
    first = request_head(b"GET /a?b HTTP/1.0\r\nHost: one\r\n")
    again = request_head(b"GET /a?b HTTP/1.0\r\nHost: two\r\nConnection: close\r\n", known=first)
    assert (again.method, again.target, again.minor, again.host) == ("GET", b"/a?b", 0, "two")
    for line in (b"GET /a?bc HTTP/1.0", b"GET /a HTTP/1.1", b"PUT /a?b HTTP/1.1"):
        made = request_head(line + b"\r\nHost: one\r\n", known=first)
        assert line == b"%b %b HTTP/1.%d" % (made.method.encode(), made.target, made.minor)


def test_a_first_line_that_names_the_host_is_judged_by_each_host() -> None:
    line = b"GET http://one/a HTTP/1.1\r\n"
    first = request_head(line + b"Host: one\r\n")
    assert first.target == b"/a"
    assert request_head(line + b"Host: one\r\nA: b\r\n", known=first).target == b"/a"
    with pytest.raises(BadHead):
        request_head(line + b"Host: two\r\n", known=first)


def post(*lines: bytes, known: head.RequestHead | None = None) -> head.RequestHead:
    written = b"\r\n".join((b"POST / HTTP/1.1", b"Host: localhost", *lines, b"X-Last: 1", b""))
    return request_head(written, known=known)


def test_a_websocket_s_handshake_has_one_key() -> None:
    switch = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: a")
    assert request(*switch).upgrade == b"websocket"
    with pytest.raises(BadHead, match="more than one Sec-WebSocket-Key"):
        request(*switch, b"sec-websocket-key: b")

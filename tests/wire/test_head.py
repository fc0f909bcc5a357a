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
    assert not [kept for kept in head._lines if b"secret" in kept]


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

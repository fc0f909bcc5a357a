"""One message read twice: by the gate's own parsers, and by llhttp in its strict mode (through httptools).

Whatever ours accepts llhttp must accept with the same reading. The exceptions, each because ours does not decide there:

- methods that llhttp does not know, CONNECT among the known ones: a route's list of methods decides;
- a switch of protocols: llhttp stops at the end of the head, so only the head is compared;
- where ours closes the connection and llhttp would keep it (HTTP/1.0): closing is always safe.
"""

from typing import Any

import httptools
from attrs import field, frozen

from edge.wire.chunked import ChunkedReader
from edge.wire.head import CHUNKED, UNTIL_CLOSE, BadHead, answer_head, request_head

METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])


@frozen
class Reading:
    """What a message says. `body` is None where the message is not complete."""

    first: tuple[Any, ...]
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes | None
    rest: bytes | None = field(default=None, eq=False)
    keep: bool = field(default=False, eq=False)
    switches: bool = field(default=False, eq=False)


def _body(size: int, rest: bytes) -> tuple[bytes | None, bytes]:
    if size == CHUNKED:
        reader = ChunkedReader()
        data = reader.feed(rest) if rest else b""
        return (data, reader.rest) if reader.done else (None, b"")
    if size == UNTIL_CLOSE:
        return rest, b""
    return (rest[:size], rest[size:]) if len(rest) >= size else (None, b"")


def our_request(data: bytes) -> Reading | None:
    """How the gate reads a request, None where it refuses it or wants more of the head."""
    at = data.find(b"\r\n\r\n")
    if at < 0:
        return None
    try:
        head = request_head(data[: at + 2])
        body, rest = _body(head.length, data[at + 4 :])
    except BadHead:
        return None
    target = data.split(b" ", 2)[1]
    return Reading(
        (head.method, target, head.minor),
        tuple(head.fields.pairs),
        body,
        rest,
        head.keep_alive,
        head.upgrade is not None,
    )


def our_answer(data: bytes) -> Reading | None:
    """How the gate reads a service's final answer to a GET."""
    at = data.find(b"\r\n\r\n")
    if at < 0:
        return None
    try:
        head = answer_head(data[: at + 2])
        if head.status < 200:
            return None
        body, rest = _body(head.length, data[at + 4 :])
    except BadHead:
        return None
    return Reading((head.status, head.minor), tuple(head.fields.pairs), body, rest, head.keep_alive)


class _Told:
    """Collects what httptools tells of the first message."""

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.headed = self.complete = self.keep = False
        self.parser: Any = None

    def on_url(self, url: bytes) -> None:
        if not self.headed:
            self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.headed:
            self.fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.headed = True

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self.body += body

    def on_message_complete(self) -> None:
        if not self.complete:
            self.complete = True
            self.keep = self.parser.should_keep_alive()


def llhttp_request(data: bytes) -> tuple[Reading | None, str]:
    """How llhttp reads a request, and why it does not where it does not."""
    told = _Told()
    parser = told.parser = httptools.HttpRequestParser(told)
    switches = False
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        switches = True
    except httptools.HttpParserError as error:
        return None, repr(error)
    if not told.headed:
        return None, "wants more"
    minor = 1 if parser.get_http_version() == "1.1" else 0
    first = (parser.get_method().decode(), told.url, minor)
    body = told.body if told.complete else None
    # The gate keeps the length apart, and judges it by the body that it makes.
    fields = tuple(pair for pair in told.fields if pair[0].lower() != b"content-length")
    return Reading(first, fields, body, None, told.keep, switches), ""


def llhttp_answer(data: bytes) -> tuple[Reading | None, str]:
    """How llhttp reads an answer."""
    told = _Told()
    parser = told.parser = httptools.HttpResponseParser(told)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        return None, repr(error)
    if not told.headed:
        return None, "wants more"
    minor = 1 if parser.get_http_version() == "1.1" else 0
    body = told.body if told.complete else None
    return Reading((parser.get_status_code(), minor), tuple(told.fields), body, None, told.keep), ""


def judge_request(data: bytes) -> None:
    """AssertionError where ours accepts a request that llhttp refuses, or reads in another way."""
    ours = our_request(data)
    if ours is None or ours.body is None or ours.first[0] not in METHODS:
        return
    # What follows the first message is another one.
    alone = data[: len(data) - len(ours.rest)] if ours.rest else data
    theirs, why = llhttp_request(alone)
    assert theirs is not None, (why, data)
    assert theirs.first == ours.first, (theirs, ours)
    assert theirs.fields == ours.fields, (theirs, ours)
    if theirs.switches or ours.switches:
        return
    assert theirs.body == ours.body, (theirs, ours)
    assert not ours.keep or theirs.keep, data


def judge_answer(data: bytes) -> None:
    """The same for an answer."""
    ours = our_answer(data)
    if ours is None or ours.body is None:
        return
    until_close = ours.body is not None and not ours.keep and ours.rest == b""
    alone = data[: len(data) - len(ours.rest)] if ours.rest else data
    theirs, why = llhttp_answer(alone)
    assert theirs is not None, (why, data)
    assert theirs.first == ours.first, (theirs, ours)
    assert theirs.fields == ours.fields, (theirs, ours)
    if theirs.body is not None or not until_close:
        assert theirs.body == ours.body, (theirs, ours)
    assert not ours.keep or theirs.keep, data


def judge_chunks(data: bytes) -> None:
    """However a body is cut into pieces, it reads the same; and as llhttp reads it."""
    whole = _fed([data])
    for size in (1, 2, 3, 7):
        assert _fed([data[at : at + size] for at in range(0, len(data), size)]) == whole, (size, data)
    judge_request(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + data)


def _fed(parts: list[bytes]) -> tuple[bytes, bytes] | None:
    """(payload, what followed) of a complete body, None where it is broken or not complete."""
    reader = ChunkedReader()
    out = b""
    for number, part in enumerate(parts):
        try:
            out += reader.feed(part)
        except BadHead:
            return None
        if reader.done:
            return out, reader.rest + b"".join(parts[number + 1 :])
    return None

"""Reads one answer after the other from an upstream's bytes (RFC 9112), strictly and in bounded memory; no I/O."""

from typing import Final

from attrs import frozen
from twisted.web.iweb import UNKNOWN_LENGTH

from edge.wire.chunked import ChunkedReader
from edge.wire.head import CHUNKED, UNTIL_CLOSE, AnswerHead, BadHead, answer_head, looks_broken

_BEGINNING: Final = b"HTTP/1."
_REMEMBERED: Final = 4096
"""Bytes; the last head of a connection is remembered up to this size."""


@frozen
class Bounds:
    """What the head of an answer may cost."""

    head: int = 64 * 1024
    """Bytes, the interim answers before it included."""
    fields: int = 200
    interims: int = 16
    """Interim answers before the answer."""


BOUNDS: Final = Bounds()


class AnswerReader:
    """The reading of one answer: `head` until it gives one of 200 or more, `expect`, then `body` until it is done."""

    __slots__ = (
        "_bounds",
        "_buffer",
        "_chunks",
        "_head",
        "_interim",
        "_known",
        "_left",
        "interims",
        "keep",
        "rest",
        "started",
        "until_close",
    )

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self._bounds = bounds
        self._known = b""
        """The head of the answer before, empty line included; b"" where it is not remembered."""
        self._head: AnswerHead | None = None
        """What it says."""
        self.begin()

    def begin(self) -> None:
        """The next answer is to come."""
        self._buffer = b""
        self._interim = 0
        self._left = 0
        self._chunks: ChunkedReader | None = None
        self.interims = 0
        self.started = False
        """Whether a byte of the answer has come."""
        self.rest = b""
        """What followed the head."""
        self.keep = False
        """Whether the connection is good for another answer: neither its end was announced nor did more follow."""
        self.until_close = False
        """Whether only the end of the connection ends the body."""

    def head(self, data: bytes) -> AnswerHead | None:
        """The next head, interim ones too, with what follows it in `rest`; None while it is not complete.

        Raises BadHead for what is malformed, ambiguous or too large.
        """
        known = self._head
        if known is not None and not self.started and data.startswith(self._known):
            # Services repeat themselves, too: the date is that of a second, and not all tell it.
            self.started = True
            self.rest = data[len(self._known) :]
            return known
        self.started = True
        if self._buffer:
            data = self._buffer + data
        at = data.find(b"\r\n\r\n")
        bounds = self._bounds
        if self._interim + (len(data) if at < 0 else at) > bounds.head:
            raise BadHead(f"the head is larger than {bounds.head} bytes")
        if at < 0:
            if looks_broken(data):
                raise BadHead("a line of the head does not end in CRLF")
            if data[:7] != _BEGINNING[: len(data)]:
                raise BadHead("this is not HTTP/1")
            self._buffer = data
            return None
        head = answer_head(data[: at + 2], bounds.fields)
        self._buffer = b""
        self.rest = data[at + 4 :]
        if head.status < 200:
            self.interims += 1
            self._interim += at + 4
            if self.interims > bounds.interims:
                raise BadHead(f"there are more than {bounds.interims} interim answers")
            if not head.minor:
                raise BadHead("HTTP/1.0 has no interim answers")
            if b"content-length" in head.fields or b"transfer-encoding" in head.fields:
                raise BadHead("an interim answer announces a body")
        else:
            self._known, self._head = (data[: at + 4], head) if at <= _REMEMBERED else (b"", None)
        return head

    def expect(self, head: AnswerHead, bodyless: bool) -> int | str:
        """Takes an answer's framing; `bodyless` for an answer to HEAD.

        Returns the length of the body, or UNKNOWN_LENGTH; for HEAD and 304 the one that is declared, though none follows.
        """
        left = head.length
        length: int | str = UNKNOWN_LENGTH if left < 0 else left
        self.keep = head.keep_alive
        if bodyless or head.status in (204, 205, 304):
            if head.status == 304:
                declared = head.fields.get(b"content-length")
                length = UNKNOWN_LENGTH if declared is None else int(declared)
            elif not bodyless:
                length = 0
                self.keep = self.keep and not left
            left = 0
        self._left = left
        if left == CHUNKED:
            self._chunks = ChunkedReader()
        elif left == UNTIL_CLOSE:
            self.until_close = True
        return length

    def body(self, data: bytes) -> tuple[bytes, bool]:
        """The payload in `data`, and whether the body ends with it. Raises BadHead where the framing is malformed."""
        left = self._left
        if left > 0:
            size = len(data)
            if size < left:
                self._left = left - size
                return data, False
            if size > left:
                self.keep = False
                data = data[:left]
            return data, True
        chunks = self._chunks
        if chunks is None:
            if self.until_close:
                return data, False
            if data:
                self.keep = False
            return b"", True
        payload = chunks.feed(data)
        if not chunks.done:
            return payload, False
        if chunks.rest:
            self.keep = False
        return payload, True

"""The chunked transfer coding (RFC 9112 7.1), read strictly and in bounded memory."""

import re
from typing import Final

from edge.wire.head import TOKEN, BadHead

_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
# Without the white space that RFC 9112 7.1.1 calls bad: some read it as a part of the size.
_EXTENSION = rb";" + TOKEN + rb"+(?:=(?:" + TOKEN + rb"+|" + _QUOTED + rb"))?"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*\r\n")
_SIZE_START = re.compile(rb"[0-9A-Fa-f]{1,15}(?:(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\r?)?")
_TRAILER = re.compile(rb"(" + TOKEN + rb"{1,256}):[^\x00-\x08\x0a-\x1f\x7f]*\r\n")
_NO_TRAILER: Final = frozenset({b"content-length", b"transfer-encoding", b"host", b"connection", b"expect", b"upgrade"})
"""Fields that come too late to say what they say (RFC 9110 6.5.1); a reader who believes them reads another message."""
LONGEST_LINE: Final = 1024
"""A chunk-size line with its extensions."""
MOST_EXTENSIONS: Final = 16 * 1024
"""Bytes of chunk extensions over a whole body: they carry nothing that anybody reads."""

LAST: Final = b"0\r\n\r\n"

_AT_SIZE, _IN_DATA, _AT_DATA_END, _IN_TRAILERS, _DONE = range(5)


class ChunkedReader:
    """Takes bytes of a chunked body, gives payload; trailers are checked, bounded and dropped."""

    __slots__ = ("_extensions", "_held", "_left", "_state", "_trailers", "rest")

    def __init__(self, most_trailers: int = 8 * 1024) -> None:
        self._state = _AT_SIZE
        self._left = 0
        self._held = b""
        self._extensions = MOST_EXTENSIONS
        self._trailers = most_trailers
        self.rest = b""
        """What followed the end of the body."""

    @property
    def done(self) -> bool:
        """Whether the body has ended."""
        return self._state == _DONE

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`; not to be called once `done`. Raises BadHead where the framing is malformed."""
        end = len(data)
        if self._held:
            data = self._held + data
            end = len(data)
            self._held = b""
        elif self._state == _AT_SIZE:
            # One whole chunk and nothing else, as most events come: its length says what its first line must be.
            at = data.find(b"\r\n", 1, 9)
            size = end - at - 4
            if size > 0 and data.startswith((b"%x\r\n" % size, b"%X\r\n" % size)) and data.endswith(b"\r\n"):
                return data[at + 2 : -2]
        out: list[bytes] = []
        state, left = self._state, self._left
        at = 0
        while True:
            if state == _IN_DATA:
                stop = at + left
                if stop > end:
                    if at < end:
                        out.append(data[at:end])
                        left = stop - end
                        at = end
                    break
                out.append(data[at:stop])
                at = stop
                state = _AT_DATA_END
            if state == _AT_DATA_END:
                if not data.startswith(b"\r\n", at):
                    if data[at:end] in (b"", b"\r"):
                        break
                    raise BadHead("a chunk is longer than its size")
                at += 2
                state = _AT_SIZE
            if state == _AT_SIZE:
                if at == end:
                    break
                line = _SIZE.match(data, at, at + LONGEST_LINE)
                if line is None:
                    if end - at >= LONGEST_LINE or not _SIZE_START.fullmatch(data, at):
                        raise BadHead("a chunk size is malformed")
                    break
                at = line.end()
                self._extensions -= at - line.end(1) - 2
                if self._extensions < 0:
                    raise BadHead("there are too many chunk extensions")
                left = int(line[1], 16)
                state = _IN_DATA if left else _IN_TRAILERS
            if state == _IN_TRAILERS:
                if data.startswith(b"\r\n", at):
                    self._state = _DONE
                    self.rest = data[at + 2 :]
                    return out[0] if len(out) == 1 else b"".join(out)
                line_end = data.find(b"\n", at, at + self._trailers)
                if line_end < 0:
                    if end - at >= self._trailers:
                        raise BadHead("the trailers are too large")
                    break
                trailer = _TRAILER.fullmatch(data, at, line_end + 1)
                if trailer is None or trailer[1].lower() in _NO_TRAILER:
                    raise BadHead("a trailer is malformed, or says how the message ends")
                self._trailers -= line_end + 1 - at
                at = line_end + 1
        self._state, self._left = state, left
        self._held = data[at:]
        return out[0] if len(out) == 1 else b"".join(out)


def chunk(data: bytes) -> bytes:
    """One chunk; `data` must not be empty, since an empty chunk is the end."""
    return b"%x\r\n%b\r\n" % (len(data), data)

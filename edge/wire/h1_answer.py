"""The answer to the request that an HTTP/1.1 connection has in hand, framed as RFC 9112 6 says; or its tunnel."""

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from twisted.internet.interfaces import IPushProducer

from edge.core.batch import Batch, dated, lines
from edge.core.headers import Pair
from edge.wire.chunked import LAST
from edge.wire.h1_connection import BODY, CLOSED, TUNNEL, H1Connection
from edge.wire.request import TunnelEnd

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode("ascii")) for status in HTTPStatus
}
SMALL: Final = 64 * 1024
"""What is left of an unwanted body and still read away so that the connection can be kept."""


@lru_cache(maxsize=64)
def status_line(status: int, phrase: bytes = b"") -> bytes:
    """The first line of an answer, its phrase the usual one where none is given."""
    if phrase:
        return b"HTTP/1.1 %d %b\r\n" % (status, phrase)
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


class Answering(H1Connection):
    """The half of a Channel that speaks to the client."""

    __slots__ = ()

    def _answered(self) -> None:
        """The answer in hand is complete; `http1` says what comes next."""

    def respond(
        self, status: int, phrase: bytes, pairs: Iterable[Pair], length: int | None, data: bytes, last: bool
    ) -> None:
        request = self._request
        assert request is not None
        first = status_line(status, phrase)
        if type(pairs) is Batch:
            block = pairs.block
            same, own, has_date = block.lines, pairs.own, block.dated
            rest = lines(pairs.rest) if pairs.rest else b""
        else:
            same, own, rest, has_date = b"", b"", lines(pairs), dated(pairs)
        if not has_date:
            first += b"Date: %b\r\n" % self._server.date()
        self._bodyless = bodyless = request.verb == "HEAD" or status == 204 or status == 304
        self._chunking = self._until_close = False
        framing = b""
        if length is not None:
            if status != 204:
                framing = b"Content-Length: %d\r\n" % length
        elif not bodyless:
            if request.protocol == "HTTP/1.1":
                self._chunking = True
                framing = b"Transfer-Encoding: chunked\r\n"
            else:
                self._keep = False
                self._until_close = True
        if self._state == BODY and not self._can_discard():
            self._keep = False
        if bodyless:
            data = b""
        elif self._chunking:
            if data:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            if last:
                data += LAST
        end = b"\r\n" if self._keep else b"Connection: close\r\n\r\n"
        out = b"".join((first, same, own, rest, framing, end, data))
        self._written += len(out)
        self.transport.write(out)
        if last:
            self._answered()

    def send(self, data: bytes) -> None:
        if self._chunking:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        elif self._bodyless:
            return
        self._written += len(data)
        self.transport.write(data)

    def end(self) -> None:
        if self._chunking:
            self._write(LAST)
        self._answered()

    def abort(self) -> None:
        self._request = None
        self.unregister()
        if self._until_close:
            # Only a reset tells an HTTP/1.0 client that a close is not the end of the body.
            self._abort()
        else:
            self._close()

    def inform(self, status: int, pairs: Iterable[Pair]) -> None:
        request = self._request
        if request is not None and request.protocol == "HTTP/1.1":
            out = [status_line(status)]
            out += [b"%b: %b\r\n" % pair for pair in pairs]
            self._write(b"".join(out) + b"\r\n")

    def _can_discard(self) -> bool:
        """Whether the rest of the upload is so small and sure to come that reading it away beats a new connection."""
        return not self._expects and self._chunks is None and self._left <= SMALL

    def register(self, producer: IPushProducer) -> None:
        if self._state != CLOSED:
            self._producer = producer
            self.transport.registerProducer(producer, True)

    def unregister(self) -> None:
        if self._producer is not None:
            self._producer = None
            self.transport.unregisterProducer()

    # A switch of protocols

    def switch(self, pairs: Iterable[Pair], end: TunnelEnd) -> "Http1Tunnel":
        out = [b"HTTP/1.1 101 Switching Protocols\r\n"]
        out += [b"%b: %b\r\n" % pair for pair in pairs]
        self._write(b"".join(out) + b"Connection: Upgrade\r\n\r\n")
        self._state = TUNNEL
        self._keep = False
        self._end = end
        self._full = False
        self._update_reading()
        rest, self._buffer = self._buffer, b""
        if rest:
            end.dataReceived(rest)
        return Http1Tunnel(self)

    def pause_tunnel(self) -> None:
        self._full = True
        self._update_reading()

    def resume_tunnel(self) -> None:
        self._full = False
        self._update_reading()

    def close_tunnel(self) -> None:
        self._request = None
        self.unregister()
        self._end = None
        self._close()

    def abort_tunnel(self) -> None:
        self._request = None
        self._end = None
        self._abort()


class Http1Tunnel:
    """The client's side of a switched connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Answering) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        self._connection._write(data)

    def registerProducer(self, producer: IPushProducer, streaming: bool = True) -> None:
        self._connection.register(producer)

    def unregisterProducer(self) -> None:
        self._connection.unregister()

    def pauseProducing(self) -> None:
        self._connection.pause_tunnel()

    def resumeProducing(self) -> None:
        self._connection.resume_tunnel()

    def stopProducing(self) -> None:
        """The other side is gone; its own end says how."""

    def loseConnection(self) -> None:
        self._connection.close_tunnel()

    def abortConnection(self) -> None:
        self._connection.abort_tunnel()

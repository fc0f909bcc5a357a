"""HTTP/1.1 towards clients (RFC 9112): one request in hand at a time, judged when its head is complete."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final, cast

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from edge.core.headers import Pair
from edge.core.refusal import Refusal
from edge.transport.unsent import unsent
from edge.wire.chunked import LAST, ChunkedReader
from edge.wire.head import CHUNKED, BadHead, looks_broken, request_head
from edge.wire.irequest import WebRequest
from edge.wire.request import Origin, Request, TunnelEnd
from edge.wire.server import Server
from edge.wire.stall import Stall

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode("ascii")) for status in HTTPStatus
}
_colon = b": ".join
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_SMALL: Final = 64 * 1024
"""What is left of an unwanted body and still read away so that the connection can be kept."""
_FAREWELL: Final = 5.0
"""Seconds for a client to close once it has all that was written."""
_LAST_WORD: Final = 1.0
"""Seconds in which a client that was too slow may read that it was."""

# What the bytes that arrive are.
_HEAD, _BODY, _NEXT, _DISCARD, _LINGER, _TUNNEL, _CLOSING, _CLOSED = range(8)


class Http1(Protocol):
    """One HTTP/1.1 connection, and the Channel of the request that it has in hand."""

    transport: Any

    def __init__(self, server: Server, origin: Origin) -> None:
        self._server = server
        self._limits = server.limits
        self.origin = origin
        self._state = _HEAD
        self._buffer = b""
        self._request: Request | None = None
        self._left = 0
        self._chunks: ChunkedReader | None = None
        self._expects = False
        self._keep = True
        self._count = 0
        self._running = False
        self._chunking = False
        self._bodyless = False
        self._until_close = False
        self._body_paused = False
        self._full = False
        self._stopped = False
        self._producer: IPushProducer | None = None
        self._end: TunnelEnd | None = None
        self._lingered = 0
        self._patience = self._limits.linger_time
        self._deadline = 0.0
        self._idle_since = 0.0
        self._mark = (0.0, 0)
        self._stall = Stall()
        self._written = 0

    # Connection

    def connectionMade(self) -> None:
        self._server.connections.add(self)
        self._deadline = self._server.clock.seconds() + self._limits.head_timeout

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._state = _CLOSED
        self._server.connections.discard(self)
        if self._stopped:
            self._server.watch.discard(self.transport)
        self._buffer = b""
        end, self._end = self._end, None
        self._producer = None
        request, self._request = self._request, None
        if end is not None:
            end.connectionLost(reason)
        elif request is not None:
            request.lost(reason)

    def close_politely(self) -> None:
        self._keep = False
        if self._state == _HEAD and not self._buffer and self._request is None:
            self._close()

    def rests(self) -> bool:
        return self._request is None and self._state != _LINGER and not unsent(self.transport)

    def close_now(self) -> None:
        if self._state != _CLOSED:
            self._abort()

    def _close(self) -> None:
        """Closes once everything written has gone out, however slowly the client reads."""
        if self._state in (_CLOSING, _CLOSED):
            return
        self._state = _CLOSING
        self._buffer = b""
        self._lingered = 0
        self._deadline = self._server.clock.seconds() + _FAREWELL
        if self.origin.secure:
            self.transport.loseConnection()
        else:
            # TLS says goodbye and listens on by itself; a TCP socket that is closed with bytes unread resets, and the
            # client loses what it has not read yet.
            self.transport.loseWriteConnection()

    def _abort(self) -> None:
        self._state = _CLOSED
        self.transport.abortConnection()

    # Bytes in

    def dataReceived(self, data: bytes) -> None:
        state = self._state
        if state == _HEAD:
            if self._buffer:
                data = self._buffer + data
            elif self._count:
                # The wait for a further request is over; its head has a time of its own.
                self._deadline = 0.0
            self._buffer = data
            self._run()
        elif state == _BODY:
            self._take_body(data)
            if self._state == _HEAD and self._buffer:
                self._run()
        elif state == _NEXT:
            self._buffer += data
            if len(self._buffer) > self._limits.buffer and not self._full:
                self._full = True
                self._update_reading()
        elif state == _TUNNEL:
            if self._end is not None:
                self._end.dataReceived(data)
        elif state == _DISCARD:
            self._take_body(data)
            if self._state == _HEAD and self._buffer:
                self._run()
        elif state == _LINGER:
            self._lingered += len(data)
            if self._lingered > self._limits.linger:
                self._abort()
            else:
                self._idle_since = self._server.clock.seconds()
        elif state == _CLOSING:
            # What it still sends is not read, and must not cost it what it is still to read.
            self._lingered += len(data)
            if self._lingered > self._limits.linger:
                self._abort()

    def _run(self) -> None:
        """Takes heads from the buffer, one request after the other, until one is in hand or more bytes are needed."""
        if self._running:
            return
        self._running = True
        try:
            while self._state == _HEAD and self._buffer:
                if not self._take_head():
                    return
        finally:
            self._running = False

    def _take_head(self) -> bool:
        data = self._buffer
        at = data.find(b"\r\n\r\n")
        if at < 0:
            if len(data) > self._limits.head:
                self._refuse(Refusal("head-too-large", f"The head is larger than {self._limits.head} bytes."))
            elif looks_broken(data):
                self._refuse(Refusal("bad-request", "A line of the head does not end in CRLF."))
            elif not self._deadline:
                self._deadline = self._server.clock.seconds() + self._limits.head_timeout
            return False
        if at > self._limits.head:
            self._refuse(Refusal("head-too-large", f"The head is larger than {self._limits.head} bytes."))
            return False
        try:
            head = request_head(data[: at + 2], self._limits.header_count)
        except BadHead as error:
            self._refuse(error.refusal)
            return False
        self._buffer = rest = data[at + 4 :]
        self._count += 1
        now = self._server.clock.seconds()
        self._deadline = 0.0
        self._keep = head.keep_alive and not self._server.draining and self._count < self._limits.requests
        length = head.length
        request = WebRequest(
            self,
            head.method,
            head.target,
            head.fields,
            head.host,
            head.authority,
            "HTTP/1.1" if head.minor else "HTTP/1.0",
            length,
            head.upgrade,
            now,
        )
        self._request = request
        self._expects = head.expects
        if length:
            self._state = _BODY
            self._mark = (now, 0)
            if length == CHUNKED:
                self._chunks = ChunkedReader(self._limits.trailers)
            else:
                self._left = length
            if rest:
                self._buffer = b""
                self._take_body(rest)
                if self._request is None:
                    return False
        else:
            self._state = _NEXT
        self._server.handler.handle(request)
        return True

    def _take_body(self, data: bytes) -> None:
        """Feeds payload to the request in hand, or reads it away; what follows the body stays in the buffer."""
        chunks = self._chunks
        if chunks is None:
            if len(data) > self._left:
                self._buffer = data[self._left :]
                data = data[: self._left]
            self._left -= len(data)
            done = not self._left
        else:
            try:
                data = chunks.feed(data)
            except BadHead as error:
                self._broken_body(error)
                return
            done = chunks.done
            if done:
                self._buffer = chunks.rest
                self._chunks = None
        discarding = self._state == _DISCARD
        request = self._request
        if done:
            self._state = _HEAD if discarding else _NEXT
            self._body_paused = False
            self._update_reading()
            if discarding:
                self._await_next()
        elif discarding:
            self._lingered += len(data)
            if self._lingered > _SMALL:
                self._abort()
            return
        if request is not None and not discarding:
            if data:
                request.body.feed(data)
            if done:
                request.body.end()

    def _broken_body(self, error: BadHead) -> None:
        """The upload's framing broke: nothing after it can be understood."""
        request = self._request
        self._keep = False
        if error.refusal.reason == "request-timeout":
            self._patience = _LAST_WORD
        if request is not None and request.ledger is not None and not request.answered:
            self._server.handler.give_up(request, error.refusal, Failure(error))
            return
        self._request = None
        if request is None or request.answered:
            self._abort()
        else:
            # It broke in the very bytes that brought the head, before anybody heard of the request.
            self._refuse(error.refusal)
        if request is not None:
            request.lost(Failure(error))

    def _refuse(self, refusal: Refusal) -> None:
        """Answers what never became a request, and closes."""
        pairs, data = self._server.handler.refuse(refusal, self.origin, "HTTP/1.1")
        out = [_STATUS_LINES.get(refusal.status) or b"HTTP/1.1 %d \r\n" % refusal.status]
        out += [b"%b: %b\r\n" % pair for pair in pairs]
        out.append(b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(data))
        self._write(b"".join(out) + data)
        # Who was too slow for us gets no further time to be slow in.
        if refusal.reason == "request-timeout":
            self._patience = _LAST_WORD
        self._linger()

    def _linger(self) -> None:
        """Reads and throws away for a while, so that a client that is still sending can read what it was told."""
        self._state = _LINGER
        self._buffer = b""
        self._lingered = 0
        self._idle_since = self._server.clock.seconds()
        self._deadline = self._idle_since + self._patience
        self._body_paused = self._full = False
        self._update_reading()

    # Deadlines

    def check(self, now: float) -> None:
        state = self._state
        if state == _LINGER:
            if now >= self._deadline:
                self._abort()
            elif now - self._idle_since > self._limits.linger_idle:
                self._close()
        elif state == _CLOSING:
            if unsent(self.transport):
                self._deadline = now + _FAREWELL
                self._check_stall(now)
            elif now >= self._deadline:
                self._abort()
        elif state == _HEAD:
            if self._deadline and now >= self._deadline:
                if self._buffer:
                    self._refuse(Refusal("request-timeout", "The head did not arrive in time."))
                else:
                    self._close()
        elif state in (_BODY, _DISCARD) and not self._stopped:
            self._check_upload(now)
        if self._state in (_BODY, _NEXT, _DISCARD, _TUNNEL):
            self._check_stall(now)

    def _check_upload(self, now: float) -> None:
        since, received = self._mark
        if now - since < self._limits.body_grace:
            return
        request = self._request
        if request is None:
            self._abort()
            return
        got = request.body.received
        if not request.body.wanted:
            self._mark = (now, got)
            return
        self._mark = (now, got)
        if got - received < self._limits.body_rate * (now - since):
            self._broken_body(BadHead("the body did not arrive in time", "request-timeout"))

    def _check_stall(self, now: float) -> None:
        if self._stall.lasts(now, self._written, unsent(self.transport), self._limits):
            self._abort()

    def _write(self, data: bytes) -> None:
        self._written += len(data)
        self.transport.write(data)

    # Channel: the upload

    def want_body(self) -> None:
        if self._expects:
            self._expects = False
            if self._request is not None and not self._request.answered:
                self._write(_CONTINUE)
        self._mark = (self._server.clock.seconds(), self._mark[1])

    def pause_body(self) -> None:
        if self._state == _BODY and not self._body_paused:
            self._body_paused = True
            self._update_reading()

    def resume_body(self) -> None:
        if self._body_paused:
            self._body_paused = False
            request = self._request
            self._mark = (self._server.clock.seconds(), request.body.received if request is not None else 0)
            self._update_reading()

    def drop_body(self) -> None:
        """The rest of the upload has no taker: it is read away once the answer is complete, within bounds."""
        self._body_paused = False
        self._update_reading()

    def _update_reading(self) -> None:
        stop = self._body_paused or self._full
        if stop == self._stopped or self._state == _CLOSED:
            return
        self._stopped = stop
        if stop:
            self.transport.pauseProducing()
            self._server.watch.add(self.transport, self._left_while_paused)
        else:
            self._server.watch.discard(self.transport)
            self.transport.resumeProducing()

    def _left_while_paused(self) -> None:
        if self._state != _CLOSED:
            self._abort()

    # Channel: the answer

    def respond(
        self, status: int, phrase: bytes, pairs: Iterable[Pair], length: int | None, data: bytes, last: bool
    ) -> None:
        request = cast(Request, self._request)
        if phrase:
            out = [b"HTTP/1.1 %d %b\r\n" % (status, phrase)]
        else:
            out = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        lines = b"\r\n".join(map(_colon, pairs))
        if lines:
            out += (lines, b"\r\n")
        self._bodyless = bodyless = request.verb == "HEAD" or status == 204 or status == 304
        self._chunking = self._until_close = False
        if length is not None:
            if status != 204:
                out.append(b"Content-Length: %d\r\n" % length)
        elif not bodyless:
            if request.protocol == "HTTP/1.1":
                self._chunking = True
                out.append(b"Transfer-Encoding: chunked\r\n")
            else:
                self._keep = False
                self._until_close = True
        if self._state == _BODY and not request.body.wanted and not self._can_discard():
            self._keep = False
        out.append(b"\r\n" if self._keep else b"Connection: close\r\n\r\n")
        if not bodyless and data:
            if self._chunking:
                out.append(b"%x\r\n%b\r\n" % (len(data), data))
            else:
                out.append(data)
        if last and self._chunking:
            out.append(LAST)
        self._write(b"".join(out))
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
            out = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
            out += [b"%b: %b\r\n" % pair for pair in pairs]
            self._write(b"".join(out) + b"\r\n")

    def _can_discard(self) -> bool:
        """Whether the rest of the upload is so small and sure to come that reading it away beats a new connection."""
        return not self._expects and self._chunks is None and self._left <= _SMALL

    def _answered(self) -> None:
        """The answer in hand is complete: on to the next request, or to the end."""
        self._request = None
        self._stall.clear()
        if self._state == _BODY:
            if self._keep and self._can_discard():
                self._state = _DISCARD
                self._lingered = 0
                self._mark = (self._server.clock.seconds(), 0)
                self._body_paused = False
                self._update_reading()
            else:
                self._linger()
            return
        if self._state != _NEXT:
            return
        if not self._keep:
            self._close()
            return
        self._state = _HEAD
        self._await_next()
        if self._full:
            self._full = False
            self._update_reading()
        if self._buffer and not self._running:
            self._run()

    def _await_next(self) -> None:
        if self._server.draining:
            self._keep = False
        if self._keep:
            wait = self._limits.head_timeout if self._buffer else self._limits.idle
            self._deadline = self._server.clock.seconds() + wait
        elif not self._buffer:
            self._close()

    def register(self, producer: IPushProducer) -> None:
        if self._state != _CLOSED:
            self._producer = producer
            self.transport.registerProducer(producer, True)

    def unregister(self) -> None:
        if self._producer is not None:
            self._producer = None
            self.transport.unregisterProducer()

    # Channel: a switch of protocols

    def switch(self, pairs: Iterable[Pair], end: TunnelEnd) -> "Http1Tunnel":
        out = [b"HTTP/1.1 101 Switching Protocols\r\n"]
        out += [b"%b: %b\r\n" % pair for pair in pairs]
        self._write(b"".join(out) + b"Connection: Upgrade\r\n\r\n")
        self._state = _TUNNEL
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

    def __init__(self, connection: Http1) -> None:
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

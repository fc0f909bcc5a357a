"""HTTP/1.1 towards clients (RFC 9112): one request in hand at a time, judged when its head is complete."""

from typing import Final

from twisted.python.failure import Failure

from edge.core.refusal import Refusal
from edge.transport.unsent import unsent
from edge.wire.chunked import ChunkedReader
from edge.wire.h1_answer import SMALL, Answering, status_line
from edge.wire.h1_connection import BODY, CLOSING, DISCARD, FAREWELL, HEAD, LINGER, NEXT, TUNNEL
from edge.wire.head import CHUNKED, BadHead, looks_broken, request_head
from edge.wire.irequest import WebRequest

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_REMEMBERED: Final = 4096
"""Bytes; the last head of a connection is remembered up to this size."""
_FORGOTTEN: Final = 5.0
"""Seconds of silence after which it is not any more."""
_LAST_WORD: Final = 1.0
"""Seconds in which a client that was too slow may read that it was."""


class Http1(Answering):
    """One HTTP/1.1 connection, and the Channel of the request that it has in hand."""

    __slots__ = ()

    def close_politely(self) -> None:
        self._keep = False
        if self._state == HEAD and not self._buffer and self._request is None:
            self._close()

    # Bytes in

    def dataReceived(self, data: bytes) -> None:
        state = self._state
        if state == HEAD:
            if self._buffer:
                data = self._buffer + data
            elif self._count:
                # The wait for a further request is over; its head has a time of its own.
                self._deadline = 0.0
            self._buffer = data
            self._run()
        elif state == BODY:
            self._take_body(data)
            if self._state == HEAD and self._buffer:
                self._run()
        elif state == NEXT:
            self._buffer += data
            if len(self._buffer) > self._limits.buffer and not self._full:
                self._full = True
                self._update_reading()
        elif state == TUNNEL:
            if self._end is not None:
                self._end.dataReceived(data)
        elif state == DISCARD:
            self._take_body(data)
            if self._state == HEAD and self._buffer:
                self._run()
        elif state == LINGER:
            self._lingered += len(data)
            if self._lingered > self._limits.linger:
                self._abort()
            else:
                self._idle_since = self._server.clock.seconds()
        elif state == CLOSING:
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
            while self._state == HEAD and self._buffer:
                if not self._take_head():
                    return
        finally:
            self._running = False

    def _take_head(self) -> bool:
        data = self._buffer
        known = self._known
        if known is not None and data.startswith(known[0]) and data.startswith(b"\r\n", len(known[0])):
            # Clients repeat themselves: what a head says, and what is worked out of it later, is found out once.
            head = known[1]
            self._buffer = rest = data[len(known[0]) + 2 :]
        else:
            at = data.find(b"\r\n\r\n")
            if at < 0:
                self._await_head(data)
                return False
            if at > self._limits.head:
                self._refuse(Refusal("head-too-large", f"The head is larger than {self._limits.head} bytes."))
                return False
            raw = data[: at + 2]
            try:
                head = request_head(raw, self._limits.header_count, None if known is None else known[1])
            except BadHead as error:
                self._refuse(error.refusal)
                return False
            self._known = (raw, head) if at <= _REMEMBERED else None
            self._buffer = rest = data[at + 4 :]
        self._count += 1
        now = self._server.clock.seconds()
        self._deadline = 0.0
        self._keep = head.keep_alive and not self._server.draining and self._count < self._limits.requests
        length = head.length
        request = WebRequest(self, head, "HTTP/1.1" if head.minor else "HTTP/1.0", now)
        self._request = request
        self._expects = head.expects
        if length:
            self._state = BODY
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
            self._state = NEXT
        self._server.handler.handle(request)
        return True

    def _await_head(self, data: bytes) -> None:
        """The rest of a head is still to come, unless it can be none any more."""
        if len(data) > self._limits.head:
            self._refuse(Refusal("head-too-large", f"The head is larger than {self._limits.head} bytes."))
        elif looks_broken(data):
            self._refuse(Refusal("bad-request", "A line of the head does not end in CRLF."))
        elif not self._deadline:
            self._deadline = self._server.clock.seconds() + self._limits.head_timeout

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
        discarding = self._state == DISCARD
        request = self._request
        if done:
            self._state = HEAD if discarding else NEXT
            self._body_paused = False
            self._update_reading()
            if discarding:
                self._await_next()
        elif discarding:
            self._lingered += len(data)
            if self._lingered > SMALL:
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
            self._refuse(error.refusal, request.verb == "HEAD")
        if request is not None:
            request.lost(Failure(error))

    def _refuse(self, refusal: Refusal, headless: bool = False) -> None:
        """Answers what never became a request, and closes."""
        pairs, data = self._server.handler.refuse(refusal, self.origin, "HTTP/1.1")
        out = [status_line(refusal.status), b"Date: %b\r\n" % self._server.date()]
        out += [b"%b: %b\r\n" % pair for pair in pairs]
        out.append(b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(data))
        if not headless and not self._buffer.startswith(b"HEAD "):
            out.append(data)
        self._write(b"".join(out))
        # Who was too slow for us gets no further time to be slow in.
        if refusal.reason == "request-timeout":
            self._patience = _LAST_WORD
        self._linger()

    # Deadlines

    def check(self, now: float) -> None:
        state = self._state
        if state == LINGER:
            if now >= self._deadline:
                self._abort()
            elif now - self._idle_since > self._limits.linger_idle:
                self._close()
        elif state == CLOSING:
            if unsent(self.transport):
                self._deadline = now + FAREWELL
                self._check_stall(now)
            elif now >= self._deadline:
                self._abort()
        elif state == HEAD:
            if self._deadline and now >= self._deadline:
                if self._buffer:
                    self._refuse(Refusal("request-timeout", "The head did not arrive in time."))
                else:
                    self._close()
            elif self._known is not None and now >= self._deadline - self._limits.idle + _FORGOTTEN:
                # A crowd that idles should cost little, and a key need not be held for long.
                self._known = None
        elif state in (BODY, DISCARD) and not self._stopped:
            self._check_upload(now)
        if self._state in (BODY, NEXT, DISCARD, TUNNEL):
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
        if not request.body.wanted or request.body.dropped:
            self._mark = (now, got)
            return
        self._mark = (now, got)
        if got - received < self._limits.body_rate * (now - since):
            self._broken_body(BadHead("the body did not arrive in time", "request-timeout"))

    # Channel: the upload

    def want_body(self) -> None:
        if self._expects:
            self._expects = False
            if self._request is not None and not self._request.answered:
                self._write(_CONTINUE)
        self._mark = (self._server.clock.seconds(), self._mark[1])

    def pause_body(self) -> None:
        if self._state == BODY and not self._body_paused:
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

    # The next request

    def _answered(self) -> None:
        """The answer in hand is complete: on to the next request, or to the end."""
        self._request = None
        self._stall.clear()
        if self._state == BODY:
            if self._keep and self._can_discard():
                self._state = DISCARD
                self._lingered = 0
                self._mark = (self._server.clock.seconds(), 0)
                self._body_paused = False
                self._update_reading()
            else:
                self._linger()
            return
        if self._state != NEXT:
            return
        if not self._keep:
            self._close()
            return
        self._state = HEAD
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

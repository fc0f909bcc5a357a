"""One HTTP/2 stream: the way back of one request (RFC 9113 5), and after an extended CONNECT a tunnel (RFC 8441)."""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from edge.core.batch import dated
from edge.core.headers import Pair
from edge.wire.h2_frames import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    INTERNAL_ERROR,
    MOST_WINDOW,
    NO_ERROR,
    StreamError,
)
from edge.wire.h2_tunnel import Http2Tunnel
from edge.wire.h2_upload import Upload
from edge.wire.hpack import encode_head
from edge.wire.request import TunnelEnd

if TYPE_CHECKING:
    from edge.wire.http2 import Http2

_HTTP1_SWITCH: Final = frozenset({b"sec-websocket-accept", b"upgrade", b"connection"})
"""Fields of a 101 that have no place in the 200 to an extended CONNECT (RFC 8441 5)."""


class Stream(Upload):
    """One stream, from its HEADERS until both sides are closed or either reset it."""

    __slots__ = (
        "_bodyless",
        "_light",
        "_producer",
        "_producer_paused",
        "_sender",
        "_stall",
        "ending",
        "head",
        "offset",
        "origin",
        "out_window",
        "queue",
        "queued",
        "reset_code",
        "sent",
        "waiting",
    )

    def __init__(self, connection: "Http2", number: int, remote_open: bool) -> None:
        super().__init__(connection, number, remote_open)
        self._sender = connection.sender
        self.origin = connection.origin
        self.out_window = self._sender.initial
        self.head: bytes | None = None
        self.queue: deque[bytes] = deque()
        self.offset = 0
        self.queued = 0
        self.ending = False
        """The end of the answer is known, and goes out with the last byte that is queued."""
        self.waiting = False
        """Whether it stands in one of the sender's lines."""
        self.sent = 0
        self.reset_code: int | None = None
        """The RST_STREAM that follows the end of the answer, None for the usual end."""
        self._bodyless = False
        self._producer: IPushProducer | None = None
        self._producer_paused = False
        self._light = connection.limits.buffer // 2
        self._stall: tuple[float, int] | None = None

    @property
    def answered(self) -> bool:
        """Whether the answer has gone out to its end, and only the rest of the upload is read away."""
        return self._deadline > 0

    # From the connection

    def take_end(self) -> None:
        end = self._end
        if end is None:
            super().take_end()
            return
        self.remote_open = False
        # Whoever relays both ways apart may want to go on with the other one (IHalfCloseableProtocol).
        half = getattr(end, "readConnectionLost", None)
        if half is not None:
            half()
        else:
            self._end = None
            end.connectionLost(Failure(ConnectionDone()))
            if not self.closed:
                self.close_tunnel()

    def lost(self, reason: Failure) -> None:
        """The client left, or reset the stream; it is already forgotten."""
        end, self._end = self._end, None
        self._producer = None
        if end is not None:
            end.connectionLost(reason)
        elif self.request is not None:
            # Each refers to the other, and would stay until the garbage collector comes by.
            request, self.request = self.request, None
            # The request first: what its upload's failure sets off must find that nobody waits for an answer.
            request.lost(reason)
            request.body.fail(reason)

    def widen(self, size: int) -> None:
        """The client takes more of this stream, or less when `size` is negative. Raises StreamError."""
        if self.out_window + size > MOST_WINDOW:
            raise StreamError(FLOW_CONTROL_ERROR, "the stream's window is too large")
        self.out_window += size
        if self.queue:
            self._sender.wake(self)

    def check(self, now: float) -> None:
        """Looks at the deadlines."""
        limits = self._connection.limits
        if self._deadline:
            if now >= self._deadline or now - self._idle_since > limits.linger_idle:
                self._connection.reset(self, NO_ERROR)
            return
        if self.too_slow(now):
            self._connection.slow_upload(self)
            if self.closed:
                return
        if not self.queued:
            self._stall = None
        elif self._stall is None or self.sent - self._stall[1] >= limits.body_rate:
            self._stall = (now, self.sent)
        elif now - self._stall[0] >= limits.write_stall:
            self._connection.break_off(self, CANCEL, "the client does not read")

    # From the sender

    def sent_end(self) -> None:
        """The answer is complete. A client that is still sending may read it in peace: the rest is read away for a while."""
        self._producer = None
        if self.reset_code is not None:
            self._connection.reset(self, self.reset_code)
        elif not self.remote_open:
            self._connection.forget(self)
        elif self._connection.going:
            self._connection.reset(self, NO_ERROR)
        else:
            self.discarding = True
            self._idle_since = self._connection.now()
            self._deadline = self._idle_since + self._connection.limits.linger_time
            self.body_paused = False
            self._release()

    def relieve(self) -> None:
        """Some of the queue has gone out."""
        if (
            self._producer_paused
            and self._producer is not None
            and self.queued <= self._light
            and not self._sender.paused
        ):
            self._producer_paused = False
            self._producer.resumeProducing()

    def let_go(self) -> None:
        """From the connection, when it forgets the stream: nothing stays held or queued for it."""
        super().let_go()
        if self.waiting or self.queue or self.head is not None:
            self._sender.drop(self)

    # Channel: the answer

    def want_body(self) -> None:
        self._mark = (self._connection.now(), self._mark[1])
        if self.expects:
            self.expects = False
            if self.request is not None and not self.request.answered:
                self.inform(100, ())

    def respond(
        self, status: int, phrase: bytes, pairs: Iterable[Pair], length: int | None, data: bytes, last: bool
    ) -> None:
        if self.closed:
            return
        verb = self.request.verb if self.request is not None else ""
        if status == 204:
            length = None
        self._bodyless = bodyless = verb == "HEAD" or status == 204 or status == 304
        if not dated(pairs):
            pairs = [(b"Date", self._connection.date()), *pairs]
        self._sender.answer(self, encode_head(status, pairs, length), b"" if bodyless else data, last)
        if self.closed:
            self.request = None
        self._press()

    def send(self, data: bytes) -> None:
        if self.closed or self._bodyless or self.ending:
            return
        if self.queue and self._over():
            # A source that cannot be paused, or does not obey, against a client that does not read.
            request = self.request
            self._connection.reset(self, ENHANCE_YOUR_CALM)
            if request is not None:
                request.lost(Failure(StreamError(ENHANCE_YOUR_CALM, "the client does not read")))
            return
        self._sender.data(self, data, False)
        if self.queue:
            self._press()

    def _over(self) -> bool:
        most = self._connection.limits.h2_connection
        return self._sender.queued > (most if self._producer is None else 2 * most)

    def _press(self) -> None:
        """Pauses the source where the client does not keep up."""
        if self._producer is None or self._producer_paused or not self.queue:
            return
        limits = self._connection.limits
        if self._sender.paused or self.queued > limits.buffer or self._sender.queued > limits.h2_connection:
            self._producer_paused = True
            self._producer.pauseProducing()

    def end(self) -> None:
        if not self.closed and not self.ending:
            self._sender.data(self, b"", True)
        if self.closed:
            self.request = None

    def abort(self) -> None:
        if not self.closed:
            self._connection.reset(self, INTERNAL_ERROR)
            self.request = None

    def inform(self, status: int, pairs: Iterable[Pair]) -> None:
        if self.closed or self.head is not None:
            return
        if status == 100 or not self._sender.paused:
            self._connection.inform(self, encode_head(status, pairs, None))

    def register(self, producer: IPushProducer) -> None:
        if self.closed:
            return
        self._producer = producer
        self._producer_paused = False
        self._press()

    def unregister(self) -> None:
        self._producer = None
        self._producer_paused = False

    # Channel: a switch of protocols

    def switch(self, pairs: Iterable[Pair], end: TunnelEnd) -> "Http2Tunnel":
        kept = [pair for pair in pairs if pair[0].lower() not in _HTTP1_SWITCH]
        self.respond(200, b"", kept, None, b"", False)
        self._end = end
        self.body_paused = False
        held, self._held = self._held, []
        for data in held:
            end.dataReceived(data)
        if not self.closed:
            if not self.body_paused:
                self._release()
            if not self.remote_open:
                self.take_end()
        return Http2Tunnel(self)

    def pause_tunnel(self) -> None:
        self.body_paused = True

    def close_tunnel(self) -> None:
        self._end = None
        self.unregister()
        self.end()

    def abort_tunnel(self) -> None:
        self._end = None
        self.unregister()
        if not self.closed:
            # What TCP calls a reset is CANCEL here (RFC 8441 5).
            self._connection.reset(self, CANCEL)

"""HTTP/2 towards clients (RFC 9113): every stream judged when its head is complete, bounded whatever the client does.

The framing is our own, on the lean reading and writing of header blocks in `wire.hpack`: the state that a server needs
for a stream is small, and every frame that a client may send meets exactly one rule here.
"""

from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from edge.core.headers import Pair
from edge.core.refusal import Refusal
from edge.transport.unsent import unsent
from edge.wire import h2_frames as frames
from edge.wire.h2_budget import Budget
from edge.wire.h2_frames import (
    CANCEL,
    DEFAULT_WINDOW,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    H2Error,
    StreamError,
    StreamResetError,
)
from edge.wire.h2_head import MalformedHead, request_head
from edge.wire.h2_inbound import Inbound
from edge.wire.h2_read import Reader
from edge.wire.h2_send import Sender
from edge.wire.h2_stream import Stream
from edge.wire.h2_upload import Upload
from edge.wire.head import BadHead
from edge.wire.hpack import encode_head
from edge.wire.irequest import WebRequest
from edge.wire.request import Origin
from edge.wire.server import Server
from edge.wire.stall import Stall

_CLOSING: Final = 2.0
"""Seconds for a client to close once it has all that was written."""
_LINGER: Final = 0.2
"""Seconds in which a client may read why it is turned away, before a close that could overtake it."""
_UNREAD: Final = 16 * 1024
"""Answers to control frames that a client may leave unread."""
_REMEMBERED: Final = 256
"""Closed streams whose ending is remembered: frames that crossed our reset are no fault of the client's."""


@implementer(IPushProducer)
class Http2(Protocol):
    """One HTTP/2 connection."""

    transport: Any

    def __init__(self, server: Server, origin: Origin) -> None:
        self._server = server
        self.limits = limits = server.limits
        self.origin = origin
        self.now = server.clock.seconds
        self.date = server.date
        self.closed = False
        """Nothing more is read: it is closing, or lost."""
        self.streams: dict[int, Stream] = {}
        self.ended: dict[int, bool] = {}
        """Closed streams, the latest last: whether it was our reset that closed them."""
        self.last = 0
        """The highest number of a stream."""
        self.going = False
        """No further request: a GOAWAY was sent or came."""
        self.budget = Budget(limits)
        self.inbound = Inbound(4 * limits.h2_window, limits.h2_connection // 2)
        self._goodbye = -1
        self._count = 0
        self._waits = False
        """Whether what the client sent waits for its turn."""
        self._deadline = 0.0
        self._idle_since = 0.0
        self._stall = Stall()
        self._reached = -1
        self._polite = False

    # Connection

    def connectionMade(self) -> None:
        self._server.connections.add(self)
        self._idle_since = self.now()
        self.sender = Sender(self.transport, self.budget)
        self._reader = Reader(self)
        self.transport.registerProducer(self, True)
        limits = self.limits
        ours = frames.settings(
            {
                frames.SET_MAX_CONCURRENT_STREAMS: limits.h2_streams,
                frames.SET_INITIAL_WINDOW_SIZE: limits.h2_window,
                frames.SET_MAX_HEADER_LIST_SIZE: limits.head,
                frames.SET_ENABLE_CONNECT_PROTOCOL: 1,
                frames.SET_NO_RFC7540_PRIORITIES: 1,
            }
        )
        if self.inbound.size > DEFAULT_WINDOW:
            ours += frames.window_update(0, self.inbound.size - DEFAULT_WINDOW)
        self.sender.control(ours)
        if self._server.draining:
            self.close_politely()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed = True
        self._server.turns.discard(self._go_on)
        self._server.connections.discard(self)
        self._lose_all(reason)
        # It refers back: with it the connection would stay until the garbage collector comes by.
        del self._reader

    def _lose_all(self, reason: Failure) -> None:
        streams = list(self.streams.values())
        self.streams.clear()
        for stream in streams:
            stream.let_go()
        # The newest first: each that ends may give its place to the next that waits for one.
        for stream in reversed(streams):
            stream.lost(reason)

    def close_politely(self) -> None:
        if self.closed or self.going:
            return
        self.going = True
        self._say_goodbye(NO_ERROR)
        if not self.streams:
            self._close()

    def rests(self) -> bool:
        return not self.streams and not unsent(self.transport)

    def _say_goodbye(self, code: int) -> None:
        if self._goodbye < 0:
            # A later GOAWAY must not name a higher stream than an earlier one (RFC 9113 6.8).
            self._goodbye = self.last
        self.sender.control(frames.goaway(self._goodbye, code))

    def close_now(self) -> None:
        self._abort()

    def _close(self) -> None:
        """Closes once everything written has gone out, however slowly the client reads."""
        self._stop()
        # Within a turn the goodbye and the last answers are still being gathered.
        self.sender.flush()
        self._polite = True
        self._deadline = self.now() + _CLOSING
        self.transport.unregisterProducer()
        if self.origin.secure:
            self.transport.loseConnection()
        else:
            # TLS listens on by itself; a TCP socket that is closed resets at the client's next frame, and the client loses
            # what it has not read yet.
            self.transport.loseWriteConnection()

    def _abort(self) -> None:
        self._stop()
        self._deadline = 0.0
        self._polite = False
        self.transport.abortConnection()
        self._lose_all(Failure(StreamResetError("the connection was ended")))

    def _fail(self, error: H2Error) -> None:
        """The client broke the protocol, or asks too much: says so, and closes soon."""
        if self.closed:
            return
        self._stop()
        self._say_goodbye(error.code)
        self._lose_all(Failure(error))
        self._deadline = self.now() + _CLOSING
        self.transport.unregisterProducer()
        self._server.clock.callLater(_LINGER, self.transport.loseConnection)

    # Bytes in

    def dataReceived(self, data: bytes) -> None:
        if self.closed:
            return
        if self._waits:
            self._reader.keep(data)
            return
        sender = self.sender
        more = False
        sender.begin()
        try:
            more = self._reader.feed(data)
        except H2Error as error:
            self._fail(error)
        finally:
            sender.finish()
            if sender.unread > _UNREAD and not self.closed:
                self._abort()
        if more and not self.closed:
            # What one client sent in one go must not keep the others waiting.
            self.transport.pauseProducing()
            self._waits = True
            self._server.turns.add(self._go_on)

    def _go_on(self) -> None:
        self._waits = False
        self.transport.resumeProducing()
        self.dataReceived(b"")

    def _stop(self) -> None:
        """Nothing that the client sends is read any more."""
        self.closed = True
        if self._waits:
            self._waits = False
            self._server.turns.discard(self._go_on)
            self.transport.resumeProducing()

    def take_request(self, number: int, pairs: list[Pair], cut: bool, ended: bool) -> None:
        """A request's head is complete: judges it and hands it on. Raises StreamError, H2Error."""
        now = self.now()
        if self.going or len(self.streams) >= self.limits.h2_streams:
            raise StreamError(REFUSED_STREAM, "no further stream now")
        self._count += 1
        self.budget.useful(4)
        stream = Stream(self, number, not ended)
        self.streams[number] = stream
        try:
            if cut:
                raise BadHead(f"the head is larger than {self.limits.head} bytes", "head-too-large")
            head = request_head(pairs, ended, self.limits)
        except BadHead as error:
            if isinstance(error, MalformedHead):
                stream.reset_code = PROTOCOL_ERROR
                self.budget.reset(now)
            self._refuse(stream, error.refusal, dict(pairs).get(b":method") == b"HEAD")
            return
        if not ended:
            if head.upgrade is not None:
                stream.tunnel = True
            elif head.length >= 0:
                stream.left = head.length
            stream.expects = head.expects
        stream.request = request = WebRequest(stream, head, "HTTP/2.0", now)
        self._server.handler.handle(request)
        if self._count >= self.limits.requests:
            self.close_politely()

    def _refuse(self, stream: Stream, refusal: Refusal, headless: bool) -> None:
        """Answers what never became a request."""
        pairs, data = self._server.handler.refuse(refusal, self.origin, "HTTP/2.0")
        block = encode_head(refusal.status, [(b"Date", self.date()), *pairs], len(data))
        self.sender.answer(stream, block, b"" if headless else data, True)

    # For streams

    def forget(self, stream: Upload, by_us: bool = False) -> None:
        """The stream is closed on both sides."""
        if self.streams.pop(stream.id, None) is None:
            return
        stream.let_go()
        if stream.request is not None and stream.request.finished:
            # Each refers to the other, and would stay until the garbage collector comes by.
            stream.request = None
        self.remember(stream.id, by_us)
        if not self.streams:
            self._idle_since = self.now()
            if self.going and not self.closed:
                self._close()

    def remember(self, number: int, by_us: bool) -> None:
        ended = self.ended
        ended[number] = by_us
        if len(ended) > _REMEMBERED:
            del ended[next(iter(ended))]

    def reset(self, stream: Upload, code: int) -> None:
        """Ends a stream with RST_STREAM."""
        if stream.id in self.streams:
            self.sender.control(frames.rst_stream(stream.id, code))
            self.forget(stream, by_us=True)

    def break_off(self, stream: Stream, code: int, message: str) -> None:
        """Ends a stream because of what the client did, and whoever works for it hears so. Raises H2Error."""
        self.reset(stream, code)
        stream.lost(Failure(StreamError(code, message)))
        self.budget.reset(self.now())

    def slow_upload(self, stream: Stream) -> None:
        """An upload stays below the least rate."""
        request = stream.request
        if request is None or request.answered:
            self.break_off(stream, CANCEL, "the body did not arrive in time")
            return
        error = BadHead("the body did not arrive in time", "request-timeout")
        self._server.handler.give_up(request, error.refusal, Failure(error))

    def inform(self, stream: Stream, block: bytes) -> None:
        """Sends an interim answer."""
        self.sender.begin()
        self.sender.headers(stream.id, block, False)
        self.sender.finish()

    def update_window(self, stream: Upload) -> None:
        """Lets the client send as much more on a stream as was taken."""
        stream.in_window += stream.owed
        self.sender.control(frames.window_update(stream.id, stream.owed))
        stream.owed = 0

    def settle(self) -> None:
        """Gives the connection's window back as far as it is free."""
        size = self.inbound.free()
        if size and not self.closed:
            self.sender.control(frames.window_update(0, size))

    # The transport's backpressure

    def pauseProducing(self) -> None:
        self.sender.paused = True

    def resumeProducing(self) -> None:
        if self.closed:
            return
        sender = self.sender
        sender.paused = False
        sender.unread = 0
        sender.pump()
        if not sender.paused:
            for stream in tuple(self.streams.values()):
                stream.relieve()

    def stopProducing(self) -> None:
        """The transport is closing; `connectionLost` follows."""

    # Deadlines

    def check(self, now: float) -> None:
        if self.closed:
            if self._polite and unsent(self.transport):
                self._deadline = now + _CLOSING
                self._check_stall(now)
            elif self._deadline and now >= self._deadline:
                self._abort()
            return
        self.sender.begin()
        try:
            self._check(now)
        except H2Error as error:
            self._fail(error)
        finally:
            self.sender.finish()

    def _check(self, now: float) -> None:
        self._reader.check(now)
        if not self.streams:
            if now - self._idle_since >= self.limits.idle:
                self.close_politely()
            return
        for stream in tuple(self.streams.values()):
            if not stream.closed:
                stream.check(now)
        self._check_stall(now)

    def _check_stall(self, now: float) -> None:
        written = self.sender.written
        if written == self._reached:
            return
        waiting = unsent(self.transport)
        if not waiting:
            self._reached = written
        if self._stall.lasts(now, written, waiting, self.limits):
            self._abort()

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
    DATA,
    DEFAULT_WINDOW,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    HEAD,
    LARGEST,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    H2Error,
    StreamError,
    StreamResetError,
)
from edge.wire.h2_head import MalformedHead, check_fields, request_head
from edge.wire.h2_send import Sender
from edge.wire.h2_stream import Stream
from edge.wire.head import BadHead
from edge.wire.hpack import Decoder, encode_head
from edge.wire.irequest import WebRequest
from edge.wire.request import Origin
from edge.wire.server import Server

_CLOSING: Final = 2.0
"""Seconds for the last frames to go out."""
_LINGER: Final = 0.2
"""Seconds in which a client may read why it is turned away, before a close that could overtake it."""
_UNREAD: Final = 16 * 1024
"""Answers to control frames that a client may leave unread."""
_FRAGMENTS: Final = 64
"""Frames of one header block."""
_REMEMBERED: Final = 256
"""Closed streams whose ending is remembered: frames that crossed our reset are no fault of the client's."""

_PREFACE, _SETTINGS, _OPEN, _CLOSED = range(4)


@implementer(IPushProducer)
class Http2(Protocol):
    """One HTTP/2 connection."""

    transport: Any

    def __init__(self, server: Server, origin: Origin) -> None:
        self._server = server
        self.limits = limits = server.limits
        self.origin = origin
        self.now = server.clock.seconds
        self._state = _PREFACE
        self._buffer = b""
        self._streams: dict[int, Stream] = {}
        self._ended: dict[int, bool] = {}
        """Closed streams, the latest last: whether it was our reset that closed them."""
        self._last = 0
        self._count = 0
        self._going = False
        """No further request: a GOAWAY was sent or came."""
        self._decoder = Decoder(limits.head)
        self._budget = Budget(limits)
        self._block: list[bytes] = []
        self._block_of = (0, 0)
        self._window = 4 * limits.h2_window
        self._in_window = self._window
        self._owed = 0
        self._held = 0
        self._progress = (0.0, 0)
        self._seen = 0
        self._deadline = 0.0
        self._idle_since = 0.0
        self._stall: tuple[float, int] | None = None
        self._handlers = (
            self._on_data,
            self._on_headers,
            self._on_priority,
            self._on_reset,
            self._on_settings,
            self._on_push_promise,
            self._on_ping,
            self._on_goaway,
            self._on_window_update,
            self._on_continuation,
        )

    # Connection

    def connectionMade(self) -> None:
        self._server.connections.add(self)
        self._idle_since = now = self.now()
        self._deadline = now + self.limits.head_timeout
        self.sender = Sender(self.transport, self._budget)
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
        if self._window > DEFAULT_WINDOW:
            ours += frames.window_update(0, self._window - DEFAULT_WINDOW)
        self.sender.control(ours)
        if self._server.draining:
            self.close_politely()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._state = _CLOSED
        self._server.connections.discard(self)
        self._buffer = b""
        self._lose_all(reason)

    def _lose_all(self, reason: Failure) -> None:
        streams = list(self._streams.values())
        self._streams.clear()
        for stream in streams:
            stream.let_go()
        for stream in streams:
            stream.lost(reason)

    def close_politely(self) -> None:
        if self._state == _CLOSED or self._going:
            return
        self._going = True
        self.sender.control(frames.goaway(self._last, NO_ERROR))
        if not self._streams:
            self._close()

    def close_now(self) -> None:
        if self._state != _CLOSED:
            self._abort()

    def _close(self) -> None:
        """Closes once everything written has gone out."""
        self._state = _CLOSED
        self._deadline = self.now() + _CLOSING
        self._buffer = b""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _abort(self) -> None:
        self._state = _CLOSED
        self._deadline = 0.0
        self.transport.abortConnection()
        self._lose_all(Failure(StreamResetError("the connection was ended")))

    def _fail(self, error: H2Error) -> None:
        """The client broke the protocol, or asks too much: says so, and closes soon."""
        if self._state == _CLOSED:
            return
        self._state = _CLOSED
        self._buffer = b""
        self.sender.control(frames.goaway(self._last, error.code))
        self._lose_all(Failure(error))
        self._deadline = self.now() + _CLOSING
        self.transport.unregisterProducer()
        self._server.clock.callLater(_LINGER, self.transport.loseConnection)

    # Bytes in

    def dataReceived(self, data: bytes) -> None:
        if self._state == _CLOSED:
            return
        if self._buffer:
            data = self._buffer + data
        at, end = 0, len(data)
        sender = self.sender
        sender.begin()
        try:
            if self._state == _PREFACE:
                if not data.startswith(PREFACE[:end]):
                    raise H2Error(PROTOCOL_ERROR, "not the preface of HTTP/2")
                if end < len(PREFACE):
                    return
                self._state = _SETTINGS
                at = len(PREFACE)
            while end - at >= 9:
                high, low, kind, flags, number = HEAD.unpack_from(data, at)
                length = high << 8 | low
                if length > LARGEST:
                    raise H2Error(FRAME_SIZE_ERROR, "a frame is larger than was allowed")
                stop = at + 9 + length
                if stop > end:
                    break
                payload = data[at + 9 : stop]
                at = stop
                self._seen += 1
                self._frame(kind, flags, number & 0x7FFFFFFF, payload)
                if self._state == _CLOSED:
                    return
        except H2Error as error:
            self._fail(error)
        finally:
            self._buffer = data[at:] if self._state != _CLOSED else b""
            sender.finish()
            if sender.unread > _UNREAD and self._state != _CLOSED:
                self._abort()

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block and kind != frames.CONTINUATION:
            raise H2Error(PROTOCOL_ERROR, "a frame inside a header block")
        if self._state == _SETTINGS:
            if kind != SETTINGS or flags & frames.ACK:
                raise H2Error(PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._state = _OPEN
            self._deadline = 0.0
        if kind >= len(self._handlers):
            # Unknown frames are ignored (RFC 9113 4.1), yet not for free.
            self._budget.control(self.now())
            return
        try:
            self._handlers[kind](flags, number, payload)
        except StreamError as error:
            stream = self._streams.get(number)
            if stream is not None:
                self.break_off(stream, error.code, str(error))
            else:
                self._budget.reset(self.now())
                self.sender.control(frames.rst_stream(number, error.code))
                self._remember(number, True)

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        if not number or number > self._last:
            raise H2Error(PROTOCOL_ERROR, "DATA for no stream")
        size = len(payload)
        self._in_window -= size
        if self._in_window < 0:
            raise H2Error(FLOW_CONTROL_ERROR, "more than the connection's window")
        self._owed += size
        if flags & frames.PADDED:
            payload = frames.unpadded(flags, payload)
        ended = bool(flags & frames.END_STREAM)
        stream = self._streams.get(number)
        try:
            if stream is None:
                self._for_closed(number)
                return
            if not stream.remote_open:
                raise StreamError(STREAM_CLOSED, "DATA after the end of the stream")
            if not payload and not ended:
                self._budget.control(self.now())
            if stream.left >= 0:
                stream.left -= len(payload)
                if stream.left < 0 or (ended and stream.left):
                    raise StreamError(PROTOCOL_ERROR, "the body is not as long as its Content-Length")
            stream.take(payload, size, ended)
        finally:
            self.settle()

    def _for_closed(self, number: int) -> None:
        """A frame for a stream that is closed: it may have crossed our reset, else it is refused."""
        self._budget.control(self.now())
        if not self._ended.get(number):
            raise StreamError(STREAM_CLOSED, "a frame for a stream that is closed")

    def _on_headers(self, flags: int, number: int, payload: bytes) -> None:
        if not number & 1:
            raise H2Error(PROTOCOL_ERROR, "a client's streams have odd numbers")
        payload = frames.unpadded(flags, payload)
        if flags & frames.WITH_PRIORITY:
            if len(payload) < 5:
                raise H2Error(FRAME_SIZE_ERROR, "no room for the priority")
            if int.from_bytes(payload[:4], "big") & 0x7FFFFFFF == number:
                raise H2Error(PROTOCOL_ERROR, "a stream depends on itself")
            payload = payload[5:]
        if flags & frames.END_HEADERS:
            self._on_block(flags, number, payload)
        else:
            self._block = [payload]
            self._block_of = (flags, number)
            self._deadline = self.now() + self.limits.head_timeout

    def _on_continuation(self, flags: int, number: int, payload: bytes) -> None:
        block = self._block
        if not block or number != self._block_of[1]:
            raise H2Error(PROTOCOL_ERROR, "CONTINUATION of nothing")
        if not payload:
            self._budget.control(self.now())
        block.append(payload)
        if len(block) > _FRAGMENTS or sum(map(len, block)) > 2 * self.limits.head:
            raise H2Error(ENHANCE_YOUR_CALM, "a header block is too large")
        if flags & frames.END_HEADERS:
            self._block = []
            self._deadline = 0.0
            self._on_block(*self._block_of, b"".join(block))

    def _on_block(self, flags: int, number: int, block: bytes) -> None:
        """A complete header block: a request, or trailers."""
        pairs, cut = self._decoder.decode(block)
        ended = bool(flags & frames.END_STREAM)
        stream = self._streams.get(number)
        if stream is not None:
            self._on_trailers(stream, pairs, cut, ended)
        elif number > self._last:
            self._last = number
            self._on_request(number, pairs, cut, ended)
        elif number in self._ended:
            self._budget.control(self.now())
            if not self._ended[number]:
                raise H2Error(STREAM_CLOSED, "HEADERS for a stream that is closed")
        else:
            raise H2Error(PROTOCOL_ERROR, "a stream's number is lower than the one before")

    def _on_trailers(self, stream: Stream, pairs: list[Pair], cut: bool, ended: bool) -> None:
        if not stream.remote_open:
            raise StreamError(STREAM_CLOSED, "HEADERS after the end of the stream")
        if not ended or cut or stream.left > 0:
            raise StreamError(PROTOCOL_ERROR, "trailers that do not end a complete body")
        try:
            check_fields(pairs)
        except MalformedHead as error:
            raise StreamError(PROTOCOL_ERROR, str(error)) from None
        stream.take_end()

    def _on_request(self, number: int, pairs: list[Pair], cut: bool, ended: bool) -> None:
        now = self.now()
        if self._going or len(self._streams) >= self.limits.h2_streams:
            raise StreamError(REFUSED_STREAM, "no further stream now")
        self._count += 1
        self._budget.useful(4)
        stream = Stream(self, number, not ended)
        self._streams[number] = stream
        try:
            if cut:
                raise BadHead(f"the head is larger than {self.limits.head} bytes", "head-too-large")
            head = request_head(pairs, ended, self.limits)
        except BadHead as error:
            if isinstance(error, MalformedHead):
                stream.reset_code = PROTOCOL_ERROR
                self._budget.reset(now)
            self._refuse(stream, error.refusal, dict(pairs).get(b":method") == b"HEAD")
            return
        if not ended:
            if head.upgrade is not None:
                stream.expect_tunnel()
            elif head.length >= 0:
                stream.left = head.length
            stream.expects = head.expects
        stream.request = request = WebRequest(
            stream,
            head.method,
            head.target,
            head.fields,
            head.host,
            head.authority,
            "HTTP/2.0",
            head.length,
            head.upgrade,
            now,
        )
        self._server.handler.handle(request)
        if self._count >= self.limits.requests:
            self.close_politely()

    def _refuse(self, stream: Stream, refusal: Refusal, headless: bool) -> None:
        """Answers what never became a request, or whose upload came to nothing."""
        pairs, data = self._server.handler.refuse(refusal, self.origin, "HTTP/2.0")
        block = encode_head(refusal.status, pairs, len(data))
        self.sender.answer(stream, block, b"" if headless else data, True)

    def _on_priority(self, flags: int, number: int, payload: bytes) -> None:
        if not number:
            raise H2Error(PROTOCOL_ERROR, "PRIORITY for no stream")
        self._budget.control(self.now())
        if len(payload) != 5:
            raise StreamError(FRAME_SIZE_ERROR, "PRIORITY has five bytes")
        if int.from_bytes(payload[:4], "big") & 0x7FFFFFFF == number:
            raise StreamError(PROTOCOL_ERROR, "a stream depends on itself")

    def _on_reset(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise H2Error(FRAME_SIZE_ERROR, "RST_STREAM has four bytes")
        if not number or number > self._last:
            raise H2Error(PROTOCOL_ERROR, "RST_STREAM for no stream")
        stream = self._streams.get(number)
        if stream is None:
            self._budget.control(self.now())
            return
        answered = stream.discarding
        self.forget(stream)
        stream.lost(Failure(StreamResetError(f"the client reset the stream, code {int.from_bytes(payload, 'big')}")))
        if not answered:
            self._budget.reset(self.now())

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise H2Error(PROTOCOL_ERROR, "SETTINGS for a stream")
        self._budget.control(self.now())
        if flags & frames.ACK:
            if payload:
                raise H2Error(FRAME_SIZE_ERROR, "SETTINGS is acknowledged with a payload")
            return
        for name, value in frames.read_settings(payload):
            if name == frames.SET_INITIAL_WINDOW_SIZE:
                delta = value - self.sender.initial
                self.sender.initial = value
                for stream in tuple(self._streams.values()):
                    try:
                        stream.widen(delta)
                    except StreamError as error:
                        raise H2Error(FLOW_CONTROL_ERROR, str(error)) from None
        self.sender.control(frames.SETTINGS_ACK)

    def _on_push_promise(self, flags: int, number: int, payload: bytes) -> None:
        raise H2Error(PROTOCOL_ERROR, "a client does not push")

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise H2Error(PROTOCOL_ERROR, "PING for a stream")
        if len(payload) != 8:
            raise H2Error(FRAME_SIZE_ERROR, "PING has eight bytes")
        self._budget.control(self.now())
        if not flags & frames.ACK:
            self.sender.control(frames.ping_ack(payload))

    def _on_goaway(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise H2Error(PROTOCOL_ERROR, "GOAWAY for a stream")
        if len(payload) < 8:
            raise H2Error(FRAME_SIZE_ERROR, "GOAWAY has at least eight bytes")
        self._budget.control(self.now())
        if int.from_bytes(payload[4:8], "big") != NO_ERROR:
            raise H2Error(NO_ERROR, "the client gave up")
        self.close_politely()

    def _on_window_update(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise H2Error(FRAME_SIZE_ERROR, "WINDOW_UPDATE has four bytes")
        if number > self._last:
            raise H2Error(PROTOCOL_ERROR, "WINDOW_UPDATE for no stream")
        self._budget.control(self.now())
        size = int.from_bytes(payload, "big") & 0x7FFFFFFF
        if not number:
            if not size:
                raise H2Error(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
            self.sender.open(size)
            return
        stream = self._streams.get(number)
        if stream is None:
            return
        if not size:
            raise StreamError(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        stream.widen(size)

    # For streams

    def forget(self, stream: Stream, by_us: bool = False) -> None:
        """The stream is closed on both sides."""
        if self._streams.pop(stream.id, None) is None:
            return
        stream.let_go()
        self._remember(stream.id, by_us)
        if not self._streams:
            self._idle_since = self.now()
            if self._going and self._state != _CLOSED:
                self.sender.flush()
                self._close()

    def _remember(self, number: int, by_us: bool) -> None:
        ended = self._ended
        ended[number] = by_us
        if len(ended) > _REMEMBERED:
            del ended[next(iter(ended))]

    def reset(self, stream: Stream, code: int) -> None:
        """Ends a stream with RST_STREAM."""
        if stream.id in self._streams:
            self.sender.control(frames.rst_stream(stream.id, code))
            self.forget(stream, by_us=True)

    def break_off(self, stream: Stream, code: int, message: str) -> None:
        """Ends a stream because of what the client did, and whoever works for it hears so. Raises H2Error."""
        self.reset(stream, code)
        stream.lost(Failure(StreamError(code, message)))
        self._budget.reset(self.now())

    def slow_upload(self, stream: Stream) -> None:
        """An upload stays below the least rate."""
        request = stream.request
        if request is None or request.answered:
            self.break_off(stream, CANCEL, "the body did not arrive in time")
            return
        self._refuse(stream, Refusal("request-timeout", "the body did not arrive in time"), request.verb == "HEAD")
        request.lost(Failure(BadHead("the body did not arrive in time", "request-timeout")))

    def inform(self, stream: Stream, block: bytes) -> None:
        """Sends an interim answer."""
        self.sender.begin()
        self.sender.headers(stream.id, block, False)
        self.sender.finish()

    def update_window(self, stream: Stream) -> None:
        """Lets the client send as much more on a stream as was taken."""
        stream.in_window += stream.owed
        self.sender.control(frames.window_update(stream.id, stream.owed))
        stream.owed = 0

    def hold(self, size: int) -> None:
        """A stream keeps bytes back that nobody took yet."""
        self._held += size

    def unhold(self, size: int) -> None:
        self._held -= size
        self.settle()

    def settle(self) -> None:
        """Gives the connection's window back, but for what streams hold beyond their common bound.

        A few uploads that stand still do not stop the others; many of them do.
        """
        free = self._owed - max(0, self._held - self.limits.h2_connection // 2)
        if free * 4 >= self._window and self._state != _CLOSED:
            self._owed -= free
            self._in_window += free
            self.sender.control(frames.window_update(0, free))

    # The transport's backpressure

    def pauseProducing(self) -> None:
        self.sender.paused = True

    def resumeProducing(self) -> None:
        if self._state == _CLOSED:
            return
        sender = self.sender
        sender.paused = False
        sender.unread = 0
        sender.pump()
        if not sender.paused:
            for stream in tuple(self._streams.values()):
                stream.relieve()

    def stopProducing(self) -> None:
        """The transport is closing; `connectionLost` follows."""

    # Deadlines

    def check(self, now: float) -> None:
        if self._state == _CLOSED:
            if self._deadline and now >= self._deadline:
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
        if self._deadline and now >= self._deadline:
            code = SETTINGS_TIMEOUT if self._state != _OPEN else ENHANCE_YOUR_CALM
            raise H2Error(code, "the head did not arrive in time")
        if self._buffer:
            # The rate of an upload is judged by itself; anything else that arrives in drops is no use.
            since, seen = self._progress
            if seen != self._seen or not since:
                self._progress = (now, self._seen)
            elif now - since >= (
                self.limits.body_grace if self._buffer[3:4] == bytes((DATA,)) else self.limits.head_timeout
            ):
                raise H2Error(ENHANCE_YOUR_CALM, "a frame did not arrive in time")
        else:
            self._progress = (0.0, 0)
        if not self._streams:
            if now - self._idle_since >= self.limits.idle:
                self.close_politely()
            return
        for stream in tuple(self._streams.values()):
            if not stream.closed:
                stream.check(now)
        queued = unsent(self.transport)
        if not queued:
            self._stall = None
        elif self._stall is None or self._stall[1] != queued:
            self._stall = (now, queued)
        elif now - self._stall[0] >= self.limits.write_stall:
            self._abort()

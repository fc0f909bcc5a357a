"""Reading an HTTP/2 connection: frames from bytes, and for each type the rule of RFC 9113 that it meets."""

from typing import TYPE_CHECKING, Final

from twisted.python.failure import Failure

from edge.core.headers import Pair
from edge.wire import h2_frames as frames
from edge.wire.h2_frames import (
    DATA,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    HEAD,
    LARGEST,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    SETTINGS,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    H2Error,
    StreamError,
    StreamResetError,
)
from edge.wire.h2_head import MalformedHead, check_fields
from edge.wire.h2_stream import Stream
from edge.wire.hpack import Decoder

if TYPE_CHECKING:
    from edge.wire.http2 import Http2

_FRAGMENTS: Final = 64
"""Frames of one header block."""
_SMALL: Final = 16
"""Payload below which a DATA frame counts as a tenth of a control frame: lines of a text go on for ever, a flood of crumbs does not."""
_MANY_SETTINGS: Final = 120
"""Bytes of one SETTINGS frame (20 settings) from which on it counts as several."""
_TOUCHED: Final = 8
"""Streams whose windows one SETTINGS frame may change, once open, before it counts as one frame more."""
_TURN: Final = 1000
"""Work that is done before the reactor's other work has its turn: about 5 ms, in units of one frame."""
_REQUEST: Final = 40
"""What one request counts as."""
_CODED: Final = 10
"""Bytes of a header block that count as one frame."""

_PREFACE, _SETTINGS, _OPEN = range(3)


class Reader:
    """The reading half of one connection."""

    def __init__(self, connection: "Http2") -> None:
        self._connection = connection
        self._limits = limits = connection.limits
        self._now = connection.now
        self._budget = connection.budget
        self._streams = connection.streams
        self._state = _PREFACE
        self._buffer = b""
        self._decoder = Decoder(limits.head)
        self._block: list[bytes] = []
        self._block_of = (0, 0)
        self._deadline = self._now() + limits.head_timeout
        self._seen = 0
        self._progress = (0.0, 0)
        self._work = 0.0

    def keep(self, data: bytes) -> None:
        """Keeps bytes for a later `feed`."""
        self._buffer += data

    def feed(self, data: bytes) -> bool:
        """Takes bytes of the client; True if there was so much work in them that the rest is for another turn.

        Raises H2Error.
        """
        if self._buffer:
            data = self._buffer + data
        at, end = 0, len(data)
        connection = self._connection
        self._work = 0
        try:
            if self._state == _PREFACE:
                if not data.startswith(PREFACE[:end]):
                    raise H2Error(PROTOCOL_ERROR, "not the preface of HTTP/2")
                if end < len(PREFACE):
                    return False
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
                if connection.closed:
                    return False
                self._work += 1
                if self._work >= _TURN:
                    return bool(end > at)
        finally:
            self._buffer = b"" if connection.closed else data[at:]
        return False

    def check(self, now: float) -> None:
        """Raises H2Error when what has begun does not come to its end in time; single bytes do not prolong it."""
        if self._deadline and now >= self._deadline:
            code = SETTINGS_TIMEOUT if self._state != _OPEN else ENHANCE_YOUR_CALM
            raise H2Error(code, "the head did not arrive in time")
        since, seen = self._progress
        if not self._buffer or seen != self._seen or not since:
            self._progress = (now, self._seen)
            return
        # The rate of an upload is judged by itself; anything else that arrives in drops is no use.
        slow = self._limits.body_grace if self._buffer[3:4] == bytes((DATA,)) else self._limits.head_timeout
        if now - since >= slow:
            raise H2Error(ENHANCE_YOUR_CALM, "a frame did not arrive in time")

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block and kind != frames.CONTINUATION:
            raise H2Error(PROTOCOL_ERROR, "a frame inside a header block")
        if self._state == _SETTINGS:
            if kind != SETTINGS or flags & frames.ACK:
                raise H2Error(PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._state = _OPEN
            self._deadline = 0.0
        if kind >= len(_HANDLERS):
            # Unknown frames are ignored (RFC 9113 4.1), yet not for free.
            self._budget.control(self._now())
            return
        try:
            _HANDLERS[kind](self, flags, number, payload)
        except StreamError as error:
            stream = self._streams.get(number)
            if stream is not None:
                self._connection.break_off(stream, error.code, str(error))
                return
            if self._idle(number):
                # An idle stream cannot be reset (RFC 9113 6.4).
                raise H2Error(error.code, str(error)) from None
            self._budget.reset(self._now())
            self._connection.sender.control(frames.rst_stream(number, error.code))
            self._connection.remember(number, True)

    def _idle(self, number: int) -> bool:
        """Whether no stream of this number was ever opened, or 0; the even ones are ours to open, and we open none."""
        return number > self._connection.last or not number & 1

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        if self._idle(number):
            raise H2Error(PROTOCOL_ERROR, "DATA for no stream")
        size = len(payload)
        connection = self._connection
        connection.inbound.take(size)
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
            if len(payload) < _SMALL and not ended:
                self._budget.control(self._now(), 0.1 if payload else 1)
            if stream.left >= 0:
                stream.left -= len(payload)
                if stream.left < 0 or (ended and stream.left):
                    raise StreamError(PROTOCOL_ERROR, "the body is not as long as its Content-Length")
            stream.take(payload, size, ended)
        finally:
            connection.settle()

    def _for_closed(self, number: int) -> None:
        """A frame for a stream that is closed: it may have crossed our reset, else it is refused."""
        self._budget.control(self._now())
        if not self._connection.ended.get(number):
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
            self._deadline = self._now() + self._limits.head_timeout

    def _on_continuation(self, flags: int, number: int, payload: bytes) -> None:
        block = self._block
        if not block or number != self._block_of[1]:
            raise H2Error(PROTOCOL_ERROR, "CONTINUATION of nothing")
        if not payload:
            self._budget.control(self._now())
        block.append(payload)
        if len(block) > _FRAGMENTS or sum(map(len, block)) > 2 * self._limits.head:
            raise H2Error(ENHANCE_YOUR_CALM, "a header block is too large")
        if flags & frames.END_HEADERS:
            self._block = []
            self._deadline = 0.0
            self._on_block(*self._block_of, b"".join(block))

    def _on_block(self, flags: int, number: int, block: bytes) -> None:
        """A complete header block: a request, or trailers."""
        self._work += len(block) / _CODED
        pairs, cut = self._decoder.decode(block)
        ended = bool(flags & frames.END_STREAM)
        stream = self._streams.get(number)
        if stream is not None:
            self._on_trailers(stream, pairs, cut, ended)
        elif number > self._connection.last:
            self._connection.last = number
            self._work += _REQUEST
            self._connection.take_request(number, pairs, cut, ended)
        elif number in self._connection.ended:
            self._budget.control(self._now())
            if not self._connection.ended[number]:
                raise H2Error(STREAM_CLOSED, "HEADERS for a stream that is closed")
        else:
            raise H2Error(PROTOCOL_ERROR, "a stream's number is lower than the one before")

    def _on_trailers(self, stream: Stream, pairs: list[Pair], cut: bool, ended: bool) -> None:
        if not stream.remote_open:
            raise StreamError(STREAM_CLOSED, "HEADERS after the end of the stream")
        if stream.tunnel:
            raise StreamError(PROTOCOL_ERROR, "HEADERS in a tunnel")
        if not ended or cut or stream.left > 0:
            raise StreamError(PROTOCOL_ERROR, "trailers that do not end a complete body")
        try:
            check_fields(pairs)
        except MalformedHead as error:
            raise StreamError(PROTOCOL_ERROR, str(error)) from None
        stream.take_end()

    def _on_priority(self, flags: int, number: int, payload: bytes) -> None:
        if not number:
            raise H2Error(PROTOCOL_ERROR, "PRIORITY for no stream")
        self._budget.control(self._now())
        if len(payload) != 5:
            raise StreamError(FRAME_SIZE_ERROR, "PRIORITY has five bytes")
        if int.from_bytes(payload[:4], "big") & 0x7FFFFFFF == number:
            raise StreamError(PROTOCOL_ERROR, "a stream depends on itself")

    def _on_reset(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise H2Error(FRAME_SIZE_ERROR, "RST_STREAM has four bytes")
        if self._idle(number):
            raise H2Error(PROTOCOL_ERROR, "RST_STREAM for no stream")
        stream = self._streams.get(number)
        if stream is None:
            self._budget.control(self._now())
            return
        answered = stream.answered
        self._connection.forget(stream)
        stream.lost(Failure(StreamResetError(f"the client reset the stream, code {int.from_bytes(payload, 'big')}")))
        if not answered:
            self._budget.reset(self._now())

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise H2Error(PROTOCOL_ERROR, "SETTINGS for a stream")
        self._budget.control(self._now(), max(1, len(payload) / _MANY_SETTINGS))
        if flags & frames.ACK:
            if payload:
                raise H2Error(FRAME_SIZE_ERROR, "SETTINGS is acknowledged with a payload")
            return
        sender = self._connection.sender
        # A frame can set one value thousands of times: what counts is the last, and only that is worked through all streams.
        initial = dict(frames.read_settings(payload)).get(frames.SET_INITIAL_WINDOW_SIZE, sender.initial)
        delta, sender.initial = initial - sender.initial, initial
        if delta:
            # Each stream may have something to send now, be it a byte.
            self._work += 2 * len(self._streams)
            self._budget.control(self._now(), len(self._streams) / _TOUCHED)
            for stream in tuple(self._streams.values()):
                try:
                    stream.widen(delta)
                except StreamError as error:
                    raise H2Error(FLOW_CONTROL_ERROR, str(error)) from None
        sender.control(frames.SETTINGS_ACK)

    def _on_push_promise(self, flags: int, number: int, payload: bytes) -> None:
        raise H2Error(PROTOCOL_ERROR, "a client does not push")

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise H2Error(PROTOCOL_ERROR, "PING for a stream")
        if len(payload) != 8:
            raise H2Error(FRAME_SIZE_ERROR, "PING has eight bytes")
        self._budget.control(self._now())
        if not flags & frames.ACK:
            self._connection.sender.control(frames.ping_ack(payload))

    def _on_goaway(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise H2Error(PROTOCOL_ERROR, "GOAWAY for a stream")
        if len(payload) < 8:
            raise H2Error(FRAME_SIZE_ERROR, "GOAWAY has at least eight bytes")
        self._budget.control(self._now())
        if int.from_bytes(payload[4:8], "big") != NO_ERROR:
            raise H2Error(NO_ERROR, "the client gave up")
        self._connection.close_politely()

    def _on_window_update(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise H2Error(FRAME_SIZE_ERROR, "WINDOW_UPDATE has four bytes")
        if number and self._idle(number):
            raise H2Error(PROTOCOL_ERROR, "WINDOW_UPDATE for no stream")
        self._budget.control(self._now())
        size = int.from_bytes(payload, "big") & 0x7FFFFFFF
        if not number:
            if not size:
                raise H2Error(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
            self._connection.sender.open(size)
            return
        stream = self._streams.get(number)
        if stream is None:
            return
        if not size:
            raise StreamError(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        stream.widen(size)


_HANDLERS: Final = (
    Reader._on_data,
    Reader._on_headers,
    Reader._on_priority,
    Reader._on_reset,
    Reader._on_settings,
    Reader._on_push_promise,
    Reader._on_ping,
    Reader._on_goaway,
    Reader._on_window_update,
    Reader._on_continuation,
)
"""By the type of a frame."""

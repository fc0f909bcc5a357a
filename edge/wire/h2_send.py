"""What goes out on an HTTP/2 connection: frames gathered into few writes, streams in turn, nothing ever polled.

A stream that has something to send is in one of three places: in `ready`; in `blocked`, when the connection's window is
used up; or nowhere, when its own window is, until a WINDOW_UPDATE brings it back.
"""

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from edge.wire.h2_budget import Budget
from edge.wire.h2_frames import (
    DATA,
    DEFAULT_WINDOW,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    HEAD,
    LARGEST,
    MOST_WINDOW,
    H2Error,
    header_frames,
)
from edge.wire.hpack import NO_TABLE

if TYPE_CHECKING:
    from edge.wire.h2_stream import Stream

_WRITE: Final = 64 * 1024
"""Bytes gathered for one write to the transport, after which it may say that it is full."""
_CRUMB: Final = 512
"""A DATA frame below this size that the client's window cut short pays for no control frames."""


class Sender:
    """The sending half of one connection."""

    __slots__ = (
        "_batch",
        "_out",
        "_pumping",
        "_size",
        "_table_said",
        "_transport",
        "blocked",
        "budget",
        "initial",
        "paused",
        "queued",
        "ready",
        "unread",
        "window",
        "written",
    )

    def __init__(self, transport: Any, budget: Budget) -> None:
        self._transport = transport
        self._out: list[bytes | memoryview] = []
        self._size = 0
        self._batch = 0
        self._pumping = False
        self._table_said = False
        self.budget = budget
        self.window = DEFAULT_WINDOW
        """Bytes of payload that the client takes on the whole connection; a stream's own may even be negative."""
        self.initial = DEFAULT_WINDOW
        """The window that a new stream begins with."""
        self.ready: deque[Stream] = deque()
        self.blocked: deque[Stream] = deque()
        self.queued = 0
        """Payload bytes that wait, over all streams."""
        self.paused = False
        """Whether the transport is full."""
        self.unread = 0
        """Bytes of control frames that were added while the transport was full."""
        self.written = 0
        """Bytes handed to the transport."""

    # Frames

    def begin(self) -> None:
        """Until `finish`, frames are gathered."""
        self._batch += 1

    def finish(self) -> None:
        self._batch -= 1
        if not self._batch:
            if self.ready and not self.paused:
                self.pump()
            if self._out:
                self.flush()

    def control(self, frame: bytes) -> None:
        """Sends a frame that is not subject to flow control, ahead of what waits."""
        self._out.append(frame)
        self._size += len(frame)
        if self.paused:
            self.unread += len(frame)
        if not self._batch:
            self.flush()

    def headers(self, stream: int, block: bytes, ended: bool) -> None:
        """Adds a header block; only what `finish` or `flush` follows."""
        if not self._table_said:
            self._table_said = True
            block = NO_TABLE + block
        frame = header_frames(stream, block, ended)
        self._out.append(frame)
        self._size += len(frame)

    def flush(self) -> None:
        """Hands what was gathered to the transport."""
        out = self._out
        if not out:
            return
        data = b"".join(out)
        out.clear()
        self._size = 0
        self.written += len(data)
        self._transport.write(data)

    # Answers

    def answer(self, stream: "Stream", block: bytes, data: bytes, last: bool) -> None:
        """Sends a head and what there is of its body, at once if everything is open, else in the stream's turn."""
        size = len(data)
        if self.paused:
            stream.head = block
            self._wait(stream, data, last)
            return
        if size <= LARGEST and size <= stream.out_window and size <= self.window:
            self.headers(stream.id, block, last and not size)
            if size:
                self._emit(stream, size, last)
                self._out.append(data)
                self._size += size
            if last:
                stream.sent_end()
        else:
            self.headers(stream.id, block, False)
            self._wait(stream, data, last)
            if not self._batch:
                self.pump()
        if self._out and (not self._batch or self._size >= _WRITE):
            self.flush()

    def data(self, stream: "Stream", data: bytes, last: bool) -> None:
        """Sends part of a body, at once if everything is open, else in the stream's turn; `data` may be empty."""
        size = len(data)
        if (
            self.paused
            or stream.queue
            or stream.head is not None
            or size > LARGEST
            or (size and (size > stream.out_window or size > self.window))
        ):
            self._wait(stream, data, last)
            if self._batch or self.paused:
                return
            self.pump()
        else:
            self._emit(stream, size, last)
            if size:
                self._out.append(data)
                self._size += size
            if last:
                stream.sent_end()
        if self._out and (not self._batch or self._size >= _WRITE):
            self.flush()

    def _emit(self, stream: "Stream", size: int, last: bool) -> None:
        """Adds the head of a DATA frame and keeps the windows' books."""
        self._out.append(HEAD.pack(size >> 8, size & 0xFF, DATA, END_STREAM if last else 0, stream.id))
        self._size += 9
        stream.out_window -= size
        stream.sent += size
        self.window -= size
        if size >= _CRUMB or not stream.queue:
            self.budget.useful(2)

    def _wait(self, stream: "Stream", data: bytes, last: bool) -> None:
        if data:
            stream.queue.append(data)
            stream.queued += len(data)
            self.queued += len(data)
        if last:
            stream.ending = True
        self.wake(stream)

    def wake(self, stream: "Stream") -> None:
        """Gives a stream its turn if it can use one."""
        if stream.waiting or stream.closed:
            return
        if stream.head is not None or (stream.queue and stream.out_window > 0) or (stream.ending and not stream.queue):
            stream.waiting = True
            self.ready.append(stream)

    def pump(self) -> None:
        """Sends in turn, a frame a stream, until all is sent or something is full."""
        if self._pumping:
            return
        self._pumping = True
        ready = self.ready
        try:
            while ready and not self.paused:
                lighter: list[Stream] = []
                while ready and not self.paused:
                    stream = ready.popleft()
                    stream.waiting = False
                    if not stream.closed and self._turn(stream):
                        lighter.append(stream)
                    if self._size >= _WRITE:
                        self.flush()
                for stream in lighter:
                    stream.relieve()
        finally:
            self._pumping = False
        if self._out and not self._batch:
            self.flush()

    def _turn(self, stream: "Stream") -> bool:
        """Sends one frame's worth of a stream; True if its queue became shorter."""
        queue = stream.queue
        if stream.head is not None:
            block, stream.head = stream.head, None
            only = stream.ending and not queue
            self.headers(stream.id, block, only)
            if only:
                stream.sent_end()
                return False
        room = min(LARGEST, stream.out_window, self.window)
        if queue and room <= 0:
            if stream.out_window > 0:
                stream.waiting = True
                self.blocked.append(stream)
            return False
        parts: list[bytes | memoryview] = []
        size = 0
        while queue and size < room:
            chunk, at = queue[0], stream.offset
            take = min(len(chunk) - at, room - size)
            parts.append(chunk if take == len(chunk) else memoryview(chunk)[at : at + take])
            size += take
            if at + take == len(chunk):
                queue.popleft()
                stream.offset = 0
            else:
                stream.offset = at + take
        last = stream.ending and not queue
        if not size and not last:
            return False
        stream.queued -= size
        self.queued -= size
        self._emit(stream, size, last)
        self._out += parts
        self._size += size
        if last:
            stream.sent_end()
            return False
        self.wake(stream)
        return True

    def drop(self, stream: "Stream") -> None:
        """Forgets what a stream had queued, and its place in line: the line may not move for long."""
        if stream.waiting:
            stream.waiting = False
            (self.ready if stream in self.ready else self.blocked).remove(stream)
        self.queued -= stream.queued
        stream.queued = stream.offset = 0
        stream.queue.clear()
        stream.head = None

    # Windows

    def open(self, size: int) -> None:
        """The client takes more on the connection. Raises H2Error."""
        if self.window + size > MOST_WINDOW:
            raise H2Error(FLOW_CONTROL_ERROR, "the connection's window is too large")
        self.window += size
        if self.window > 0:
            while self.blocked:
                stream = self.blocked.popleft()
                stream.waiting = False
                self.wake(stream)

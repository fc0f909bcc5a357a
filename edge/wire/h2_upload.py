"""One HTTP/2 stream's way in: the body of its request, or the client's side of a tunnel, and the window for it."""

from typing import TYPE_CHECKING

from edge.wire.h2_frames import FLOW_CONTROL_ERROR, NO_ERROR, StreamError
from edge.wire.request import Request, TunnelEnd

if TYPE_CHECKING:
    from edge.wire.http2 import Http2


class Upload:
    """The half of a stream that the client sends."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_end",
        "_held",
        "_idle_since",
        "_lingered",
        "_mark",
        "_uncredited",
        "body_paused",
        "closed",
        "discarding",
        "expects",
        "id",
        "in_window",
        "left",
        "owed",
        "remote_open",
        "request",
        "tunnel",
    )

    def __init__(self, connection: "Http2", number: int, remote_open: bool) -> None:
        self._connection = connection
        self.id = number
        self.request: Request | None = None
        self.closed = False
        self.remote_open = remote_open
        self.in_window = connection.limits.h2_window
        self.left = -1
        """What is still to come of a body whose length was said, -1 where it was not."""
        self.expects = False
        self.body_paused = False
        self.discarding = False
        self.owed = 0
        """Bytes that were taken and whose WINDOW_UPDATE has not been sent."""
        self._uncredited = 0
        self._lingered = 0
        self._deadline = 0.0
        self._idle_since = 0.0
        self._mark = (connection.now(), 0)
        self.tunnel = False
        """Whether it came by an extended CONNECT: its bytes are no body."""
        self._end: TunnelEnd | None = None
        self._held: list[bytes] = []

    # From the connection

    def take(self, payload: bytes, size: int, ended: bool) -> None:
        """Takes a DATA frame; `size` counts its padding, too. Raises StreamError."""
        self.in_window -= size
        if self.in_window < 0:
            raise StreamError(FLOW_CONTROL_ERROR, "more than the stream's window")
        if self.discarding:
            self._lingered += size
            self._idle_since = self._connection.now()
            if self._lingered <= self._connection.limits.linger:
                self._credit(size)
            elif self._deadline and not ended:
                self._connection.reset(self, NO_ERROR)
        else:
            self._uncredited += size
            self._connection.inbound.hold(size)
            if self._end is not None:
                if payload:
                    self._end.dataReceived(payload)
            elif self.tunnel:
                if payload:
                    self._held.append(payload)
                self.body_paused = True
            elif self.request is not None and payload:
                self.request.body.feed(payload)
            if not self.body_paused:
                self._release()
        if ended and not self.closed:
            self.take_end()

    def take_end(self) -> None:
        """The client's side is complete."""
        self.remote_open = False
        if self._deadline:
            self._connection.forget(self)
        elif self.request is not None:
            self.request.body.end()

    def too_slow(self, now: float) -> bool:
        """Whether a body that we wait for came slower than is allowed."""
        if not self.remote_open or self.tunnel or self.body_paused or self.discarding:
            return False
        since, received = self._mark
        limits = self._connection.limits
        if now - since < limits.body_grace:
            return False
        body = self.request.body if self.request is not None else None
        got = body.received if body is not None else 0
        self._mark = (now, got)
        if body is not None and not body.wanted:
            return False
        return got - received < limits.body_rate * (now - since)

    def let_go(self) -> None:
        """From the connection, when it forgets the stream: nothing stays held for it."""
        self.closed = True
        self.body_paused = False
        self._held.clear()
        if self._uncredited:
            size, self._uncredited = self._uncredited, 0
            self._connection.inbound.hold(-size)
            self._connection.settle()

    # Channel

    def pause_body(self) -> None:
        self.body_paused = True

    def resume_body(self) -> None:
        if self.body_paused:
            self.body_paused = False
            received = self.request.body.received if self.request is not None else 0
            self._mark = (self._connection.now(), received)
            self._release()

    def drop_body(self) -> None:
        """The rest has no taker: it is read away, within bounds, until the answer is complete and then a while."""
        if not self.closed and not self.discarding:
            self.discarding = True
            self.body_paused = False
            self._release()

    def _release(self) -> None:
        """What was held back is taken: the client may send as much again."""
        if self._uncredited:
            size, self._uncredited = self._uncredited, 0
            self._connection.inbound.hold(-size)
            self._connection.settle()
            self._credit(size)

    def _credit(self, size: int) -> None:
        if self.remote_open and not self.closed:
            self.owed += size
            if self.owed * 4 >= self._connection.limits.h2_window:
                self._connection.update_window(self)

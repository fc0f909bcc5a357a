"""One HTTP/1.1 connection towards a client: its state, its end, and whether it is read."""

from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from edge.transport.unsent import unsent
from edge.wire.chunked import ChunkedReader
from edge.wire.head import RequestHead
from edge.wire.request import Origin, Request, TunnelEnd
from edge.wire.server import Server
from edge.wire.stall import Stall

FAREWELL: Final = 5.0
"""Seconds for a client to close once it has all that was written."""

ASKED: Final = 1 / 16
"""Of the time that a client may take nothing: until the kernel is asked again about one that had taken everything."""

# What the bytes that arrive are.
HEAD, BODY, NEXT, DISCARD, LINGER, TUNNEL, CLOSING, CLOSED = range(8)


class H1Connection(Protocol):
    """What `h1_answer` and `http1` build upon: nothing here knows what a message is."""

    # There are more than CPython keeps in line (30), and each request asks for them dozens of times.
    __slots__ = (
        "_asked",
        "_body_paused",
        "_bodyless",
        "_buffer",
        "_chunking",
        "_chunks",
        "_count",
        "_deadline",
        "_end",
        "_expects",
        "_full",
        "_idle_since",
        "_keep",
        "_known",
        "_left",
        "_limits",
        "_lingered",
        "_mark",
        "_patience",
        "_producer",
        "_reached",
        "_request",
        "_running",
        "_server",
        "_stall",
        "_state",
        "_stopped",
        "_until_close",
        "_written",
        "connected",
        "origin",
        "transport",
    )

    transport: Any

    def __init__(self, server: Server, origin: Origin) -> None:
        self.connected = 0
        self.transport = None
        self._server = server
        self._limits = server.limits
        self.origin = origin
        self._state = HEAD
        self._buffer = b""
        self._request: Request | None = None
        self._known: tuple[bytes, RequestHead] | None = None
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
        self._reached = -1
        self._asked = 0.0
        self._written = 0

    def connectionMade(self) -> None:
        self._server.connections.add(self)
        self._deadline = self._server.clock.seconds() + self._limits.head_timeout

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._state = CLOSED
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

    def check(self, now: float) -> None:
        """Looks at the deadlines; `http1` has them."""

    def close_politely(self) -> None:
        """Takes no further request; `http1` knows what is open."""

    def rests(self) -> bool:
        return self._request is None and self._state != LINGER and not unsent(self.transport)

    def close_now(self) -> None:
        if self._state != CLOSED:
            self._abort()

    def _close(self) -> None:
        """Closes once everything written has gone out, however slowly the client reads."""
        if self._state in (CLOSING, CLOSED):
            return
        self._state = CLOSING
        self._buffer = b""
        self._lingered = 0
        self._deadline = self._server.clock.seconds() + FAREWELL
        if self.origin.secure:
            self.transport.loseConnection()
        else:
            # TLS says goodbye and listens on by itself; a TCP socket that is closed with bytes unread resets, and the
            # client loses what it has not read yet.
            self.transport.loseWriteConnection()

    def _abort(self) -> None:
        self._state = CLOSED
        self.transport.abortConnection()

    def _linger(self) -> None:
        """Reads and throws away for a while, so that a client that is still sending can read what it was told."""
        self._state = LINGER
        self._buffer = b""
        self._lingered = 0
        self._idle_since = self._server.clock.seconds()
        self._deadline = self._idle_since + self._patience
        self._body_paused = self._full = False
        self._update_reading()

    def _check_stall(self, now: float) -> None:
        if self._written == self._reached or now < self._asked:
            return  # all of it had reached the client, and nothing was written since: the kernel need not be asked
        waiting = unsent(self.transport)
        if not waiting:
            self._reached = self._written
            # Where something waits the kernel is asked each time: rare questions might meet each time what is on its way.
            self._asked = now + self._limits.write_stall * ASKED
        if self._stall.lasts(now, self._written, waiting, self._limits):
            self._abort()

    def _write(self, data: bytes) -> None:
        self._written += len(data)
        self.transport.write(data)

    def _update_reading(self) -> None:
        stop = self._body_paused or self._full
        if stop == self._stopped or self._state == CLOSED:
            return
        self._stopped = stop
        if stop:
            self.transport.pauseProducing()
            self._server.watch.add(self.transport, self._left_while_paused)
        else:
            self._server.watch.discard(self.transport)
            self.transport.resumeProducing()

    def _left_while_paused(self) -> None:
        if self._state != CLOSED:
            self._abort()

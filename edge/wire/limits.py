"""What one connection may cost: every bound of the wire, with its safe default."""

from attrs import frozen


@frozen(kw_only=True)
class WireLimits:
    """Sizes in bytes, times in seconds."""

    head: int = 32 * 1024
    """A request's head; an HTTP/2 header list counts as RFC 9113 10.5.1 says (32 more a field)."""
    header_count: int = 100
    head_timeout: float = 15.0
    """From a connection's (or a further request's) first byte to the end of the head; no byte prolongs it."""
    idle: float = 75.0
    """A kept-alive connection without a request."""
    body_grace: float = 30.0
    """How long an upload may stay below `body_rate`."""
    body_rate: int = 1024
    """Bytes a second that an upload must reach over `body_grace`, while we are the ones who wait."""
    write_stall: float = 60.0
    """How long a client may take nothing while there is something to take."""
    buffer: int = 64 * 1024
    """What is queued towards one client before its source is paused, and pipelined bytes before reading is."""
    requests: int = 100_000
    """Requests on one connection before it is closed politely."""
    linger: int = 64 * 1024 * 1024
    """What is read and thrown away after an early answer, so that a client still sending can read it."""
    linger_time: float = 10.0
    linger_idle: float = 2.0
    body: int = 2 * 1024**3
    """The largest body of a request."""
    trailers: int = 8 * 1024
    h2_streams: int = 128
    h2_window: int = 256 * 1024
    """Flow-control window of one stream's upload; a connection's is four times as much."""
    h2_resets: int = 200
    """Streams that may be reset, by either side, in `h2_reset_window` before the connection is ended (rapid reset)."""
    h2_reset_window: float = 10.0
    h2_controls: int = 1000
    """PING, SETTINGS, PRIORITY, WINDOW_UPDATE of nothing and empty DATA frames in `h2_reset_window`."""
    h2_connection: int = 8 * 1024 * 1024
    """What all streams of one HTTP/2 connection may have queued together."""


DEFAULTS = WireLimits()

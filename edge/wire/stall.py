"""Notices a client that takes next to nothing of what waits for it; a byte now and then does not buy it more time."""

from edge.wire.limits import WireLimits


class Stall:
    """One connection's. What it is told counts bytes since the connection began."""

    __slots__ = ("_since", "_taken")

    def __init__(self) -> None:
        self._since = -1.0
        self._taken = 0

    def clear(self) -> None:
        """Nothing waits."""
        self._since = -1.0

    def lasts(self, now: float, written: int, waiting: int, limits: WireLimits) -> bool:
        """Whether the client has taken less than `limits.body_rate` bytes in `limits.write_stall` seconds.

        `written` bytes have gone to the transport so far, `waiting` of them have not reached the client.
        """
        if not waiting:
            self._since = -1.0
            return False
        taken = written - waiting
        if self._since < 0 or taken - self._taken >= limits.body_rate:
            self._since, self._taken = now, taken
            return False
        return now - self._since >= limits.write_stall

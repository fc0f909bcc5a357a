"""What a client may make an HTTP/2 connection do for nothing: resets and control frames, counted in a sliding window."""

from attrs import define

from edge.wire.h2_frames import ENHANCE_YOUR_CALM, H2Error
from edge.wire.limits import WireLimits


@define
class Window:
    """A count that fades: at most `most` in `span` seconds, evenly given back."""

    most: int
    span: float
    _spent: float = 0.0
    _at: float = 0.0

    def spend(self, now: float, cost: float = 1) -> bool:
        """Counts one more, or `cost`; False when that is too many."""
        self._spent = max(0.0, self._spent - (now - self._at) * self.most / self.span) + cost
        self._at = now
        return self._spent <= self.most

    def earn(self, count: float) -> None:
        """Takes some back: the peer did something useful."""
        self._spent = max(0.0, self._spent - count)


class Budget:
    """One connection's. Raises H2Error(ENHANCE_YOUR_CALM) when it is used up."""

    __slots__ = ("_controls", "_resets")

    def __init__(self, limits: WireLimits) -> None:
        self._resets = Window(limits.h2_resets, limits.h2_reset_window)
        self._controls = Window(limits.h2_controls, limits.h2_reset_window)

    def reset(self, now: float) -> None:
        """A stream was reset before its end: by the client, or by us because of what the client did (MadeYouReset)."""
        if not self._resets.spend(now):
            raise H2Error(ENHANCE_YOUR_CALM, "too many streams are reset")

    def control(self, now: float, cost: float = 1) -> None:
        """A frame came that carries no request, no payload (or next to none: `cost` below 1) and no room for payload."""
        if not self._controls.spend(now, cost):
            raise H2Error(ENHANCE_YOUR_CALM, "too many control frames")

    def useful(self, frames: float) -> None:
        """A request came, or payload went out: so many control frames are part of that."""
        self._controls.earn(frames)

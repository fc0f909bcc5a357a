"""Turns for connections that sent more in one go than one turn's work: one of them an iteration of the reactor."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Turns:
    """A line of those who wait to go on. However many they are, whoever asks for little is served between two of them."""

    __slots__ = ("_call", "_clock", "_line")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._line: dict[Callable[[], None], None] = {}

    def add(self, go_on: Callable[[], None]) -> None:
        """Calls `go_on` in its turn."""
        self._line[go_on] = None
        if self._call is None:
            self._call = self._clock.callLater(0, self._next)

    def discard(self, go_on: Callable[[], None]) -> None:
        """Takes `go_on` out of the line, if it is there."""
        self._line.pop(go_on, None)
        if not self._line and self._call is not None:
            self._call.cancel()
            self._call = None

    def _next(self) -> None:
        self._call = None
        go_on = next(iter(self._line))
        del self._line[go_on]
        if self._line:
            self._call = self._clock.callLater(0, self._next)
        go_on()

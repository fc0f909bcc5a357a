"""A round of the reactor: what one poll found ready, what was written while it was served, and who can wait.

What is written in a round is sent a few connections at a time: a peer that sleeps on another processor is woken once for
all that waits for it and not for each piece, which is the dearest part of a small `send`.

A handshake costs as much as a few requests. Handshakes come after those whose connection stands, and only for a while, so that
a crowd that comes all at once does not hold up who is there; epoll tells of the others again.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from twisted.python import log

TOGETHER: Final = 8
"""Connections whose bytes wait for each other: long enough to save most of the waking, too few to be felt."""
HANDSHAKES: Final = 0.001
"""Seconds of a round that are given to handshakes, the last of which may end later."""

Ready = list[tuple[Any, int, int]]
"""(what is ready, its descriptor, its events)"""


class Round:
    """The connections that have something to send, and those in their handshake."""

    def __init__(self) -> None:
        self.open = False
        """Whether what is written now is to wait for the others."""
        self.waiting: list[Any] = []
        """Connections that hold bytes, each with `held` and `release()`."""
        self.shaking: set[Any] = set()
        """Transports whose handshake is not done."""

    def serve(self, ready: Ready, each: Callable[[Any, int, int], None]) -> None:
        """Serve all but the handshakes that are too many."""
        shaking = self.shaking
        later: Ready = []
        if shaking:
            later = [one for one in ready if one[0] in shaking]
            if later:
                ready = [one for one in ready if one[0] not in shaking]
        waiting = self.waiting
        # What comes alone has nothing to wait for.
        self.open = len(ready) > 1
        for selectable, fd, event in ready:
            each(selectable, fd, event)
            if len(waiting) >= TOGETHER:
                self.send()
        self.open = False
        if waiting:
            self.send()
        if later:
            until = monotonic() + HANDSHAKES
            for selectable, fd, event in later:
                each(selectable, fd, event)
                if monotonic() >= until:
                    break

    def send(self) -> None:
        """Send what is held; some may have been sent before."""
        waiting = self.waiting
        for connection in waiting:
            if connection.held:
                try:
                    connection.release()
                except Exception:  # what the reactor does with it; the others' bytes go out
                    log.err(None, "while sending")
        waiting.clear()


ROUND: Final = Round()
"""The reactor's, of which a process has one."""

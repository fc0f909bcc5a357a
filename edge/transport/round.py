"""A round of the reactor: what one poll found ready, what was written while it was served, and who can wait.

What is written in a round is sent a few connections at a time: a peer that sleeps on another processor is woken once for
all that waits for it and not for each piece, which is the dearest part of a small `send`.

A new connection costs as much as ten requests on one that stands: a handshake, a first request, a connection to its service.
New ones are served after the others and for no longer than those took, so that a crowd that comes all at once does not hold up
who is there, nor the other way round; epoll tells of the rest again.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any, Final, Protocol

from twisted.python import log

TOGETHER: Final = 8
"""Connections whose bytes wait for each other: long enough to save most of the waking, too few to be felt."""
OPENING: Final = 0.001
"""Seconds that new connections are given in a round where the others take less; the last of them may take longer."""

Ready = list[tuple[Any, int, int]]
"""(what is ready, its descriptor, its events)"""


class Opens(Protocol):
    """The TLS of a connection that was accepted."""

    heard: bool
    """Whether anything came together with the end of the handshake."""

    @property
    def shaken(self) -> bool:
        """Whether its handshake is done."""


class Round:
    """The connections that have something to send, and those that are new."""

    def __init__(self) -> None:
        self.open = False
        """Whether what is written now is to wait for the others."""
        self.waiting: list[Any] = []
        """Connections that hold bytes, each with `held` and `release()`."""
        self.opening: dict[Any, Opens] = {}
        """Transports that nothing came from since their handshake; each goes from here when it is lost."""

    def serve(self, ready: Ready, each: Callable[[Any, int, int], None]) -> None:
        """Serve all, but of what is new no more than there is time for."""
        opening = self.opening
        later: Ready = []
        begun = 0.0
        if opening:
            later = [one for one in ready if one[0] in opening]
            if later:
                begun = monotonic()
                ready = [one for one in ready if one[0] not in opening]
        waiting = self.waiting
        # What comes alone has nothing to wait for.
        self.open = len(ready) > 1
        try:
            for selectable, fd, event in ready:
                each(selectable, fd, event)
                if len(waiting) >= TOGETHER:
                    self.send()
        finally:
            self.open = False
            if waiting:
                self.send()
        if later:
            self._open(later, each, begun)

    def _open(self, later: Ready, each: Callable[[Any, int, int], None], begun: float) -> None:
        now = monotonic()
        until = now + max(OPENING, now - begun)
        for selectable, fd, event in later:
            opens = self.opening.get(selectable)
            stands = opens is None or opens.shaken
            each(selectable, fd, event)
            if stands or (opens is not None and opens.heard):
                self.opening.pop(selectable, None)
            if monotonic() >= until:
                return

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

"""The reactor: a clock that nobody can set, and a loop without a log context for each event."""

import sys
import time
from errno import EINTR
from functools import partial
from select import EPOLLIN, EPOLLOUT
from types import MethodType
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.python import log

from edge.transport.round import ROUND

_NAME = "twisted.internet.reactor"
_EVENTS = 256
"""The most events taken in one poll, so that timers are looked at between them when thousands of sockets are ready."""
_AGAIN = 16
"""Polls in one turn of Twisted's loop, whose own part of a turn costs more than a short read does."""


class SteadyEPollReactor(EPollReactor):
    """Twisted's own loop; its timers follow the monotonic clock, which neither NTP nor an operator can move."""

    seconds = staticmethod(time.monotonic)


class LeanEPollReactor(SteadyEPollReactor):
    """The same without `callWithLogger`, which costs more than a short read does."""

    def doPoll(self, timeout: float | None) -> None:
        """Wait at most `timeout` seconds (None: for ever) and serve what became ready; then what is ready next, as long as
        nothing else is due."""
        for _ in range(_AGAIN):
            _serve(self, timeout)
            # Whatever Twisted's own loop does between two polls is looked after there.
            if self.threadCallQueue or self._newTimedCalls or self._justStopped or not self._started:
                return
            timers = self._pendingTimedCalls
            if not timers:
                timeout = None
            else:
                timeout = timers[0].time - self.seconds()
                if timeout <= 0:
                    return

    doIteration = doPoll  # type: ignore[assignment]  # the same but for the argument's name, as in Twisted's own


def _serve(reactor: Any, timeout: float | None) -> None:
    """One poll, and what it found."""
    selectables: dict[int, Any] = reactor._selectables
    try:
        events = reactor._poller.poll(-1 if timeout is None else timeout, min(len(selectables), _EVENTS) or 1)
    except OSError as failed:
        if failed.errno == EINTR:
            return
        raise
    if len(events) == 1:
        # There is nobody to share with.
        fd, event = events[0]
        alone = selectables.get(fd)
        if alone is not None and alone not in ROUND.opening:
            _one(reactor, alone, fd, event)
            return
    # Looked up before any is served: a descriptor that one handler closes may be another's by the end of the batch.
    ready = [(selectables[fd], fd, event) for fd, event in events if fd in selectables]
    ROUND.serve(ready, partial(_one, reactor))


def _one(reactor: Any, selectable: Any, fd: int, event: int) -> None:
    """Serve one descriptor, unless it went since it was ready."""
    selectables: dict[int, Any] = reactor._selectables
    if fd not in selectables or selectables[fd] is not selectable:
        return
    if event != EPOLLIN and event != EPOLLOUT:
        log.callWithLogger(selectable, reactor._doReadOrWrite, selectable, fd, event)
        return
    why: Any
    try:
        why = selectable.doRead() if event == EPOLLIN else selectable.doWrite()
    except BaseException as raised:  # what Twisted's own loop does: log it, close that one connection, go on
        log.err()
        why = raised
    if why:
        reactor._disconnectSelectable(selectable, why, event == EPOLLIN)


def install_or_adapt(fast: bool) -> str | None:
    """Install the lean (`fast`) or the stock reactor with a monotonic clock, or adapt the one that is there.

    Call it before anything sets a timer. Returns a line for the log when not all of it could be done, else None.
    """
    present: Any = sys.modules.get(_NAME)
    if present is None:
        installReactor(LeanEPollReactor() if fast else SteadyEPollReactor())
        return None
    return adapt(present, fast)


def adapt(reactor: Any, fast: bool) -> str | None:
    """Give a reactor that exists already the monotonic clock and, if `fast`, the lean loop, where that is safe.

    Returns a line for the log about what was left as it is, else None.
    """
    left = []
    if reactor.seconds is not time.monotonic:
        if reactor.getDelayedCalls():
            left.append("timers are set already, so its clock still follows the system's time")
        else:
            reactor.seconds = time.monotonic
    if fast and not isinstance(reactor, LeanEPollReactor):
        if type(reactor) in (EPollReactor, SteadyEPollReactor):
            reactor.doPoll = reactor.doIteration = MethodType(LeanEPollReactor.doPoll, reactor)
        else:
            left.append(f"the lean loop is for epoll only, this is {type(reactor).__name__}")
    return f"the reactor was made by somebody else: {'; '.join(left)}" if left else None

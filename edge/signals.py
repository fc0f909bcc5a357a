"""Signals of a running gate: SIGTERM and SIGINT drain, a second one ends at once, SIGUSR1 reopens logs.

SIGHUP drains where it means that the terminal is gone, and is else refused, since it will read the configuration again.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger

ENDING = (signal.SIGTERM, signal.SIGINT)
STDIN = 0


class Signals(Service):
    """Sets the handlers once the reactor runs, since starting it sets its own."""

    log = Logger(namespace="aigate")

    def __init__(self, reactor: Any, cut: Callable[[], None], reopen: Callable[[], None]) -> None:
        self._reactor = reactor
        self._cut = cut
        self._reopen = reopen
        self._stopping = False

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(self._set)

    def _set(self) -> None:
        # Without a main thread of our own (a test's reactor) signals stay as they are.
        try:
            for number in ENDING:
                signal.signal(number, self._end)
            signal.signal(signal.SIGUSR1, lambda *_: self._reactor.callFromThread(self._reopen))
            # What `nohup` started was told to outlive its terminal. Once a terminal is gone it is none that can be asked.
            lost = os.isatty(STDIN) and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
            hang_up = self._lost if lost else self._refuse
            signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(hang_up))
        except ValueError:
            self.log.debug("not in the main thread: signals are left alone")

    def _end(self, number: int, _: object) -> None:
        self._reactor.callFromThread(self._stop, signal.Signals(number).name)

    def _lost(self) -> None:
        # The kernel and the shell may both send it: a second one is no wish to end at once.
        if not self._stopping:
            self._stop("SIGHUP")

    def _refuse(self) -> None:
        self.log.warn(
            "SIGHUP: reading the configuration again is not built yet, so nothing changes; "
            "certificates and keys are read anew by themselves"
        )

    def _stop(self, name: str) -> None:
        if self._stopping:
            self.log.info("{name} again: ends at once", name=name)
            # Whatever hangs now, a thread or a loop of somebody's plugin, the next signal ends it as the system does.
            for number in ENDING:
                signal.signal(number, signal.SIG_DFL)
            self._cut()
            return
        self._stopping = True
        self.log.info("{name}: takes no more requests; again to end at once", name=name)
        self._reactor.stop()

"""Work that is done again and again in a thread of its own, so that a slow disk stops nobody else."""

import threading
from collections.abc import Callable

from attrs import define, field
from twisted.logger import Logger


@define(eq=False)
class Worker:
    """Runs `work` every `period` seconds from `start` to `finish`, and once more at the end."""

    name: str
    work: Callable[[], None]
    period: float = 0.25
    """Seconds."""
    last: Callable[[], None] | None = None
    """What is done instead of `work` at the end."""
    log: Logger = field(factory=lambda: Logger(namespace="aigate.worker"), repr=False)
    _stop: threading.Event = field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin. After the process has forked for the last time: a thread does not survive it."""
        # A daemon, so that a disk that hangs for ever cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"aigate-{self.name}", daemon=True)
        self._thread.start()

    def finish(self, most: float = 5.0) -> None:
        """Do the last work and end, waiting `most` seconds for it; nothing more happens afterwards."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join(most)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(self.period)
            try:
                (self.last if stopping and self.last else self.work)()
            except Exception:
                self.log.failure("{name}: one round failed; the next will try again", name=self.name)

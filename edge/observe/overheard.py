"""What libraries say by the standard library's `logging`, in the gate's own log, where every line has the same form."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from twisted.logger import Logger, LogLevel

from edge.observe.quoting import shown

EVERY: Final = 60.0
"""Seconds between two lines that differ only in what is filled in."""
KINDS: Final = 64
"""Sorts of lines that are remembered."""
LONGEST: Final = 500


class Overheard(logging.Handler):
    """Tells warnings and worse of the loggers `names` and those below them, from any thread, between `start` and `finish`."""

    def __init__(self, names: Sequence[str], now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._names = names
        self._now = now
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def start(self) -> None:
        """Listen to them, which keeps their words off the standard error."""
        for name in self._names:
            logging.getLogger(name).addHandler(self)

    def finish(self) -> None:
        """Listen no more."""
        for name in self._names:
            logging.getLogger(name).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one line, or count it where its like was told a moment ago."""
        sort = (record.name, str(record.msg))
        now = self._now()
        at, held = self._told.get(sort, (-EVERY, 0))
        if now - at < EVERY:
            self._told[sort] = (at, held + 1)
            return
        if len(self._told) >= KINDS:
            self._told.clear()
        self._told[sort] = (now, 0)
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage() + (f" ({type(error).__name__}: {error})" if error is not None else "")
        Logger(namespace=record.name).emit(
            LogLevel.error if record.levelno >= logging.ERROR else LogLevel.warn,
            "{text}{more}",
            text=shown(text.encode("utf-8", "replace"), LONGEST),
            more=f" ({held} more of this sort were not told)" if held else "",
        )

"""The disk that holds the data folder: how much is free, and what could not be written last."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from attrs import define, field

EVERY: Final = 5.0
"""Seconds between two questions to the disk."""


@define(eq=False)
class Disk:
    """`look` belongs to a thread of its own, since a disk may hang; everything else answers from memory.

    `writers` name what is written, each with a function that says why it cannot be at present, "" where it can.
    """

    folder: Path
    writers: Mapping[str, Callable[[], str]]
    now: Callable[[], float] = time.time
    free: int | None = None
    """Bytes that are left for the gate, None before the first look and where the disk does not tell."""
    total: int | None = None
    last: tuple[float, str, str] | None = None
    """When something could not be written last (Unix seconds), what, and why."""
    _asked: float = field(default=float("-inf"), init=False)

    def look(self) -> None:
        """See what cannot be written, and from time to time how full the disk is. Never raises."""
        now = self.now()
        for name, problem in self.writers.items():
            if why := problem():
                self.last = (now, name, why)
        if 0 <= now - self._asked < EVERY:
            return
        self._asked = now
        try:
            found = os.statvfs(self.folder)
        except OSError:
            self.free = self.total = None
        else:
            self.free, self.total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    def status(self) -> dict[str, object]:
        """As `/status` shows it."""
        percent = round(100 * self.free / self.total, 1) if self.free is not None and self.total else None
        last = None
        if self.last is not None:
            at, name, why = self.last
            last = {"at": round(at, 3), "what": name, "why": why}
        return {
            "folder": str(self.folder),
            "free": self.free,
            "total": self.total,
            "free_percent": percent,
            "problems": {name: why for name, problem in self.writers.items() if (why := problem())},
            "last_error": last,
        }

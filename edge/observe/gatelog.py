"""The gate's own words: what goes on a terminal or into `log/gate.log`, without Twisted's housekeeping."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import define, field
from twisted.logger import FilteringLogObserver, ILogObserver, LogEvent, LogLevel, LogLevelFilterPredicate, formatEvent
from zope.interface import provider

from edge.files import keep_owner
from edge.observe.console import console_json, console_line

LARGEST: Final = 10 * 2**20
"""Bytes after which `gate.log` is set aside, where `[log] rotate_size` is larger."""
_PORTS: Final = re.compile(r"\((TCP|UNIX|.*) Port .* Closed\)|\S+ starting on \S+|Main loop terminated\.")


def gate_log(write: Callable[[str], object], level: str, shape: str = "human") -> ILogObserver:
    """A log observer that gives events of `level` ("info") and above to `write` as lines: "human", "json", or none with "off"."""
    line = console_json if shape == "json" else console_line
    lost = 0

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        nonlocal lost
        if shape == "off" or housekeeping(event):
            return
        try:
            write((line(_missing(event, lost)) if lost else "") + line(event))
        except OSError:
            lost += 1
            raise
        lost = 0

    made: ILogObserver = FilteringLogObserver(observe, [LogLevelFilterPredicate(LogLevel.levelWithName(level))])
    return made


def _missing(event: LogEvent, lost: int) -> LogEvent:
    """What stands before the first event that could be written again."""
    return {
        "log_time": event.get("log_time", 0.0),
        "log_level": LogLevel.warn,
        "log_namespace": "aigate.log",
        "log_format": "{lost} messages before this one could not be written",
        "lost": lost,
    }


def housekeeping(event: LogEvent) -> bool:
    """Whether it is what Twisted says of itself: reactors, ports that open and close, its own start and end."""
    if event.get("log_level") is not LogLevel.info:
        return False
    space = event.get("log_namespace") or ""
    return space.startswith("twisted.") or (
        space == "log_legacy" and _PORTS.fullmatch(formatEvent(event) or "") is not None
    )


@define(eq=False)
class LogFile:
    """A file that is written line by line, at most `keep` + 1 times `size` bytes of it; one that was moved is made anew."""

    path: Path
    size: int = LARGEST
    keep: int = 5
    _handle: int | None = field(default=None, init=False)

    def write(self, text: str) -> None:
        """Adds lines, all or none. Raises OSError where the disk does not take them."""
        data = text.encode("utf-8", "backslashreplace")
        handle = self._open()
        size = os.fstat(handle).st_size
        if size + len(data) > self.size:
            self._set_aside()
            handle, size = self._open(), 0
        try:
            done = 0
            while done < len(data):
                done += os.write(handle, data[done:])
        except OSError:
            # Half a message would run into the next one.
            os.ftruncate(handle, size)
            raise

    def _open(self) -> int:
        # Moved or deleted by logrotate or a person: the name is what counts, so no signal is needed.
        if self._handle is not None:
            try:
                here, there = os.fstat(self._handle), self.path.stat()
                if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                    return self._handle
            except FileNotFoundError:
                pass
            os.close(self._handle)
            self._handle = None
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._handle = os.open(self.path, flags, 0o600)
        keep_owner(self.path)
        return self._handle

    def _set_aside(self) -> None:
        def name(number: int) -> Path:
            return self.path.with_name(f"{self.path.name}.{number}")

        name(self.keep).unlink(missing_ok=True)
        for number in range(self.keep - 1, 0, -1):
            if name(number).exists():
                name(number).replace(name(number + 1))
        self.path.replace(name(1))

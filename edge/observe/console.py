"""Log events and requests as lines on a terminal or in a container's log."""

import json
import os
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Final

from attrs import define, field
from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure

from edge.core.exchange import Outcome

HELD: Final = 5_000
"""Lines that wait for a terminal that does not take them; further ones are dropped."""


def console_line(event: LogEvent) -> str:
    """One event as `2026-11-22 13:04:05 text`; warnings and worse say so; a failure's traceback follows."""
    at = datetime.fromtimestamp(event.get("log_time", 0.0)).astimezone()
    level = event.get("log_level", LogLevel.info)
    mark = "" if level in (LogLevel.info, LogLevel.debug) else f"{level.name}: "
    text = f"{at:%Y-%m-%d %H:%M:%S} {mark}{tame(formatEvent(event) or '')}\n"
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        text += tame(failure.getTraceback())
    return text


def console_json(event: LogEvent) -> str:
    """One event as a JSON object on a line, in the shape of the access log's."""
    level = event.get("log_level", LogLevel.info)
    made = {
        "level": level.name,
        "ts": round(event.get("log_time", 0.0), 6),
        "logger": event.get("log_namespace") or "aigate",
        "msg": formatEvent(event) or "",
    }
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        made["error"] = failure.getTraceback()
    return json.dumps(made) + "\n"


def tame(text: str) -> str:
    """A text whose control characters, but for tab and line feed, are shown and not acted on."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\t\n" else f"\\x{ord(c):02x}" for c in text)


@define(eq=False)
class Console:
    """Requests for a terminal: taken without waiting, written by a thread, dropped where the terminal does not keep up."""

    descriptor: int
    shape: Callable[[Outcome], str]
    dropped: int = 0
    _lines: deque[str] = field(factory=deque, init=False, repr=False)

    def tell(self, outcome: Outcome) -> None:
        """Take a request."""
        if len(self._lines) < HELD:
            self._lines.append(self.shape(outcome))
        else:
            self.dropped += 1

    def flush(self) -> None:
        """Write what is there; waits for the terminal. A terminal that is gone is no fault."""
        lines = self._lines
        rest = "".join([lines.popleft() for _ in range(len(lines))]).encode("utf-8", "backslashreplace")
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except BlockingIOError:
                # The descriptor was made non-blocking by whoever shares it; the next round may find room.
                self._lines.appendleft(rest.decode("utf-8", "replace"))
                return
            except OSError:
                return

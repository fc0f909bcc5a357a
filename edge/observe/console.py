"""Log events as lines on a terminal."""

from datetime import datetime

from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure


def console_line(event: LogEvent) -> str:
    """One event as `13:04:05 text`; warnings and worse say so; a failure's traceback follows."""
    at = datetime.fromtimestamp(event.get("log_time", 0.0)).astimezone()
    level = event.get("log_level", LogLevel.info)
    mark = "" if level in (LogLevel.info, LogLevel.debug) else f"{level.name}: "
    text = f"{at:%Y-%m-%d %H:%M:%S} {mark}{formatEvent(event)}\n"
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        text += failure.getTraceback()
    return text

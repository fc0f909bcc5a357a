"""The time zone of this machine, by its IANA name."""

import os
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def is_timezone(name: str) -> bool:
    """Whether `name` is an IANA time zone such as `Europe/Berlin`."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def system_timezone(etc: Path = Path("/etc")) -> str:
    """The zone of `TZ`, of `etc`/timezone or of the link `etc`/localtime, the first that names one; else UTC."""
    candidates = [os.environ.get("TZ", "").removeprefix(":")]
    try:
        candidates.append((etc / "timezone").read_text("utf-8").strip())
    except (OSError, UnicodeError):
        candidates.append("")
    candidates.append(os.path.realpath(etc / "localtime").partition("/zoneinfo/")[2])
    return next((name for name in candidates if name and is_timezone(name)), "UTC")

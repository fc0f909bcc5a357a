"""Moments as people write and read them: RFC 3339, local where no offset is given, always shown with one."""

import time
from datetime import UTC, datetime, tzinfo

from edge.core.quantities import duration

DAY = 86_400.0
FAR = 4_102_444_800.0
"""2100-01-01: what lies beyond is a mistake of units, not a plan."""


def moment(text: str, now: float, zone: tzinfo | None = None) -> float:
    """Unix seconds of `2026-12-31T18:00:00+01:00`, `2026-12-31 18:00` or `2026-12-31`, `now`, or a duration from now.

    A time without an offset is one of `zone` (None: the system's); a date alone is the midnight that begins it.
    Raises ValueError with what is allowed.
    """
    text = text.strip()
    if text == "now":
        return now
    try:
        when = now + duration(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text)
            when = (at if at.tzinfo else at.replace(tzinfo=zone)).timestamp()
        except (ValueError, OverflowError, OSError) as error:
            raise ValueError(
                f"{text!r} is not a time; write it like 2026-12-31T18:00, 30d (from now) or now"
            ) from error
    if not 0 <= when <= FAR:
        raise ValueError(f"{text!r} lies before 1970 or after 2100")
    return when


def stamp(when: float | None) -> str | None:
    """Unix seconds as RFC 3339 in the system's own zone, always with an offset; None stays None."""
    if when is None:
        return None
    return datetime.fromtimestamp(when, UTC).astimezone().isoformat(timespec="seconds")


def stamp_utc(when: float) -> str:
    """Unix seconds as RFC 3339 in UTC, `2026-12-31T17:00:00Z`: for machines."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


def span(seconds: float) -> str:
    """A length of time in its two largest units, `6d 4h`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for name, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count}{name}")
    return " ".join(parts[:2])

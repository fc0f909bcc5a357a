"""Hours of the week in a time zone: `mon-fri 15:00-20:00`."""

import re
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import frozen

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))? )?(\d{2}):(\d{2})-(\d{2}):(\d{2})", re.ASCII)


@frozen
class Hours:
    """Spans of (weekday 0 = Monday, first minute, end minute) in wall time of `zone`; an end is not included."""

    text: str
    zone: str
    spans: tuple[tuple[int, int, int], ...]

    def covers(self, now: float) -> bool:
        """Whether `now` (Unix seconds) lies in one of the spans on the zone's own clocks, daylight saving included."""
        local = datetime.fromtimestamp(now, ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        return any(day == local.weekday() and first <= minute < end for day, first, end in self.spans)


def hours(text: str, zone: str) -> Hours:
    """Hours from `mon-fri 15:00-20:00, sat 10:00-22:00`; a span past midnight runs into the next day. Raises ValueError."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{zone!r} is not a time zone; write it like Europe/Berlin") from error
    spans: list[tuple[int, int, int]] = []
    for part in text.lower().split(","):
        match = _SPAN.fullmatch(part.strip())
        if not match:
            raise ValueError(f"{part.strip()!r} is not a span of hours; write it like 'mon-fri 15:00-20:00'")
        first_day, last_day, *clock = match.groups()
        if first_day is not None and (first_day not in DAYS or (last_day or first_day) not in DAYS):
            raise ValueError(f"{part.strip()!r}: the days are {', '.join(DAYS)}")
        begin, end = (int(clock[0]) * 60 + int(clock[1]), int(clock[2]) * 60 + int(clock[3]))
        if begin >= 1440 or end > 1440 or int(clock[1]) > 59 or int(clock[3]) > 59:
            raise ValueError(f"{part.strip()!r}: hours run from 00:00 to 24:00")
        if begin == end:
            raise ValueError(f"{part.strip()!r} is an empty span; a whole day is 00:00-24:00")
        start = DAYS.index(first_day) if first_day else 0
        count = ((DAYS.index(last_day or first_day) - start) % 7 + 1) if first_day else 7
        for day in ((start + i) % 7 for i in range(count)):
            if begin < end:
                spans.append((day, begin, end))
            else:
                spans.append((day, begin, 1440))
                if end:
                    spans.append(((day + 1) % 7, 0, end))
    return Hours(text, zone, tuple(spans))

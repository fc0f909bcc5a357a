"""Durations, sizes and limits as people write them: `250ms 5s 10m 24h 30d`, `64 KiB 2 GiB`, `60/minute`, `100000 tokens/day`."""

import re
from typing import Final

from attrs import frozen

SECONDS: Final[dict[str, float]] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# A hundred years: what is added to any time of today is a date still.
LONGEST: Final = 36525 * 86400.0
BYTES: Final[dict[str, int]] = {
    "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
PERIODS: Final[dict[str, float]] = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "month": 2592000.0}
UNITS: Final[tuple[str, ...]] = ("requests", "tokens", "audio_seconds", "characters", "images", "steps", "bytes")

_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(r"(\d{1,15}) ?(B|KB|MB|GB|KiB|MiB|GiB|TiB)?", re.ASCII)
_LIMIT = re.compile(r"(\d{1,15})(?: +([a-z_]+))? ?/ ?([a-z]+)", re.ASCII)
_CONCURRENT = re.compile(r"concurrent ?= ?(\d{1,6})", re.ASCII)


@frozen
class Limit:
    """At most `amount` of `unit` per `period`; `unit` "concurrent" has the period "" and counts what is open at once."""

    amount: int
    unit: str
    period: str

    @property
    def calendar(self) -> bool:
        """Whether the period is a calendar one: a budget with a reset, instead of a bucket refilled evenly."""
        return self.period in ("day", "month")

    def __str__(self) -> str:
        if self.unit == "concurrent":
            return f"concurrent={self.amount}"
        return f"{self.amount}/{self.period}" if self.unit == "requests" else f"{self.amount} {self.unit}/{self.period}"


def duration(text: str) -> float:
    """Seconds of a duration such as `250ms` or `30d`. Raises ValueError with what is allowed."""
    if match := _DURATION.fullmatch(text.strip()):
        if (seconds := float(match[1]) * SECONDS[match[2]]) > LONGEST:
            raise ValueError(f"{text!r}: a duration is at most {LONGEST / SECONDS['d']:.0f}d")
        return seconds
    raise ValueError(f"{text!r} is not a duration; write it like 250ms, 5s, 10m, 24h or 30d")


def size(text: str) -> int:
    """Bytes of a size such as `64 KiB` or `2 GiB`. Raises ValueError with what is allowed."""
    if match := _SIZE.fullmatch(text.strip()):
        return int(match[1]) * BYTES[match[2] or "B"]
    raise ValueError(f"{text!r} is not a size; write it like 500 KB, 64 KiB or 2 GiB")


def limit(text: str) -> Limit:
    """The Limit of `60/minute`, `100000 tokens/day` or `concurrent=2`. Raises ValueError with what is allowed."""
    text = text.strip()
    if match := _CONCURRENT.fullmatch(text):
        made = Limit(int(match[1]), "concurrent", "")
    elif match := _LIMIT.fullmatch(text):
        unit, period = match[2] or "requests", match[3]
        if unit not in UNITS:
            raise ValueError(f"{text!r}: {unit!r} is not a unit; the units are {', '.join(UNITS)}")
        if period not in PERIODS:
            raise ValueError(f"{text!r}: {period!r} is not a period; the periods are {', '.join(PERIODS)}")
        made = Limit(int(match[1]), unit, period)
    else:
        raise ValueError(f"{text!r} is not a limit; write it like 60/minute, 100000 tokens/day or concurrent=2")
    if made.amount < 1:
        raise ValueError(f"{text!r}: a limit is at least 1")
    return made

"""Where a caller stands, in the header fields that SDKs read, and the refusal of who has none left."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Final

from edge.core.batch import lines
from edge.core.headers import Pair
from edge.core.levels import Level, Standing, Verdict
from edge.core.refusal import Refusal

PERIOD: Final = {"second": "a second", "minute": "a minute", "hour": "an hour", "day": "a day", "month": "a month"}
WHOSE: Final = {"gate": "this server", "service": "this service", "user": "you", "key": "this key"}
LONGEST: Final = 366 * 86400.0
"""What is told in place of a wait without end, seconds."""


def pairs(standings: Sequence[Standing], dialect: str, now: float) -> list[Pair]:
    """`x-ratelimit-*` as OpenAI spells it, `anthropic-ratelimit-*` for Anthropic's clients; of each unit the tightest level."""
    tight: dict[str, Standing] = {}
    for standing in standings:
        unit = standing.level.unit
        if not standing.level.shadow and (unit not in tight or standing.remaining < tight[unit].remaining):
            tight[unit] = standing
    told: list[Pair] = []
    for unit, standing in tight.items():
        limit, remaining = b"%d" % standing.level.amount, b"%d" % standing.remaining
        if dialect == "anthropic":
            word = unit.replace("_", "-").encode()
            at = datetime.fromtimestamp(math.ceil(now + standing.reset), UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
            told += [
                (b"anthropic-ratelimit-%s-limit" % word, limit),
                (b"anthropic-ratelimit-%s-remaining" % word, remaining),
                (b"anthropic-ratelimit-%s-reset" % word, at),
            ]
        else:
            first, second, third = _names(unit)
            told += [(first, limit), (second, remaining), (third, span(standing.reset))]
    return told


def standing(verdict: Verdict, dialect: str, now: float) -> bytes:
    """`pairs` as lines of a head, for a verdict that passed."""
    rows, costs = verdict.rows, verdict.costs
    if len(rows) == 1 and costs is not None and dialect != "anthropic":
        # The one level of most requests, which was charged.
        level, used, wait, _, reset = rows[0]
        if not (wait or level.shadow):
            amount, period = level.amount, level.period
            if level.calendar:
                rest = amount - used - costs[0]
            else:
                used += costs[0] * period
                rest, reset = amount + -used // period, used / amount / 1_000_000
            return _form(level.unit, amount) % (rest if rest > 0 else 0, span(reset))
    return lines(pairs(verdict.standings, dialect, now))


@lru_cache(maxsize=256)
def _form(unit: str, amount: int) -> bytes:
    """The three lines of a limit, where what remains and when it is reset are to be filled in."""
    first, second, third = _names(unit)
    return lines([(first, b"%d" % amount), (second, b"%d"), (third, b"%b")])


@cache
def _names(unit: str) -> tuple[bytes, bytes, bytes]:
    """OpenAI's three names for one of the few units."""
    word = unit.replace("_", "-").encode()
    return b"x-ratelimit-limit-" + word, b"x-ratelimit-remaining-" + word, b"x-ratelimit-reset-" + word


def span(seconds: float) -> bytes:
    """Seconds in OpenAI's form, `6m0s`, `1.5s` or `20ms`, rounded up to the millisecond."""
    ms = math.ceil((seconds if seconds < LONGEST else LONGEST) * 1000 - 1e-6)
    if ms < 1000:
        return b"%dms" % ms
    whole, rest = divmod(ms, 1000)
    minutes, whole = divmod(whole, 60)
    tail = (b"%d.%03d" % (whole, rest)).rstrip(b"0") if rest else b"%d" % whole
    if not minutes:
        return tail + b"s"
    hours, minutes = divmod(minutes, 60)
    return b"%dh%dm%bs" % (hours, minutes, tail) if hours else b"%dm%bs" % (minutes, tail)


def after(seconds: float) -> list[Pair]:
    """`retry-after-ms`, which SDKs read before `Retry-After`."""
    return [(b"retry-after-ms", b"%d" % math.ceil(seconds * 1000))]


def refusing(verdict: Verdict) -> Standing:
    """The level that keeps a refused charge waiting longest."""
    return max((one for one in verdict.standings if one.wait and not one.level.shadow), key=lambda one: one.wait)


def refusal(verdict: Verdict, dialect: str, now: float) -> Refusal:
    """The refusal of a verdict that did not pass: `rate-limited`, or `budget-spent` where a calendar period is used up.

    Trying again is pointless before a budget's reset, and where a request is larger than the whole limit: `retry` is False, and SDKs are told so.
    """
    tight = refusing(verdict)
    level = tight.level
    endless = math.isinf(tight.wait)
    seconds = min(tight.wait, tight.reset if endless else LONGEST, LONGEST)
    told = pairs(verdict.standings, dialect, now)
    if not endless:
        told += after(seconds)
    return Refusal(
        "budget-spent" if level.calendar else "rate-limited",
        _say(level, tight, endless),
        retry_after=seconds,
        retry=not (level.calendar or endless),
        extra=tuple(told),
    )


def _say(level: Level, tight: Standing, endless: bool) -> str:
    unit = level.unit.replace("_", " ")
    share = f"{level.amount} {unit} {PERIOD[level.limit.period]} for {WHOSE[level.scope]}"
    if endless:
        return f"This request may cost more than {share}; ask for less, for example with a smaller max_tokens."
    if level.calendar:
        return f"The budget of {share} is spent; it begins anew in {span(math.ceil(tight.wait)).decode()}."
    return f"The limit is {share}; try again in {span(tight.wait).decode()}."

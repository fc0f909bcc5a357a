"""What was used, as sums, and what it cost."""

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import fields, frozen

UNITS: Final = ("tokens", "prompt_tokens", "completion_tokens", "audio_seconds", "characters", "images", "steps")
KILO: Final = 1000.0
HOUR: Final = 3600.0
QUARTER: Final = 900
"""Seconds of a quarter of an hour: every time zone has its midnight at the beginning of one, and not each at that of an hour."""


@frozen
class Use:
    """Sums over requests."""

    requests: int = 0
    errors: int = 0
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    """Of hardware; requests that were served side by side count each for itself."""
    waited: float = 0.0
    tokens: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    audio_seconds: float = 0.0
    characters: float = 0.0
    images: float = 0.0
    steps: float = 0.0

    def __add__(self, other: "Use") -> "Use":
        return Use(*(getattr(self, name) + getattr(other, name) for name in NAMES))


NAMES: Final = tuple(attribute.name for attribute in fields(Use))


@frozen(kw_only=True)
class Price:
    """What the use of one service costs, in a currency of the operator's."""

    per_1000_prompt_tokens: float = 0.0
    per_1000_completion_tokens: float = 0.0
    per_1000_characters: float = 0.0
    per_audio_minute: float = 0.0
    per_image: float = 0.0
    per_step: float = 0.0
    per_hour: float = 0.0
    watts: float = 0.0
    idle_watts: float = 0.0

    def of(self, use: Use) -> float:
        """The price of what was used, without electricity."""
        return (
            use.prompt_tokens / KILO * self.per_1000_prompt_tokens
            + use.completion_tokens / KILO * self.per_1000_completion_tokens
            + use.characters / KILO * self.per_1000_characters
            + use.audio_seconds / 60.0 * self.per_audio_minute
            + use.images * self.per_image
            + use.steps * self.per_step
            + use.seconds / HOUR * self.per_hour
        )


@frozen
class Hardware:
    """How long a service's hardware was at work, and how long it stood ready, in seconds."""

    busy: float = 0.0
    up: float = 0.0


@frozen
class Line:
    """One line of a report."""

    name: str
    use: Use
    cost: float
    """In the operator's currency, electricity at work included."""
    kwh: float
    """Drawn at work."""


@frozen
class Report:
    """Who used what, and what is left over: what the hardware drew while nobody asked."""

    lines: tuple[Line, ...]
    idle_kwh: float
    idle_cost: float

    @property
    def total(self) -> Line:
        """All lines together, without what was drawn idle."""
        use = Use()
        for line in self.lines:
            use += line.use
        return Line("total", use, sum(line.cost for line in self.lines), sum(line.kwh for line in self.lines))


def report(
    rows: Iterable[tuple[str, str, Use]],
    hardware: Mapping[str, Hardware],
    prices: Mapping[str, Price],
    kwh: float,
) -> Report:
    """A report from (name, service, use); `prices` by service, `*` for the others, `kwh` is the price of a kilowatt-hour.

    Hardware that serves several at once draws its watts once: each bears the share that its seconds are of all, and none
    more than for these.
    """
    listed = list(rows)
    seconds: dict[str, float] = {}
    for _, service, use in listed:
        seconds[service] = seconds.get(service, 0.0) + use.seconds
    lines: dict[str, Line] = {}
    for name, service, use in listed:
        price = _price(prices, service)
        share = use.seconds / seconds[service] if seconds[service] else 0.0
        # What ended in the last second before the span may have its work on record within it.
        busy = min(hardware.get(service, _NONE).busy, seconds[service])
        drawn = busy * share / HOUR * price.watts / KILO
        before = lines.get(name, Line(name, Use(), 0.0, 0.0))
        lines[name] = Line(name, before.use + use, before.cost + price.of(use) + drawn * kwh, before.kwh + drawn)
    idle = sum(
        max(0.0, one.up - one.busy) / HOUR * _price(prices, service).idle_watts / KILO
        for service, one in hardware.items()
    )
    ordered = sorted(lines.values(), key=lambda line: (-line.cost, -line.use.requests, line.name))
    return Report(tuple(ordered), idle, idle * kwh)


def _price(prices: Mapping[str, Price], service: str) -> Price:
    return prices.get(service) or prices.get("*") or _FREE


_FREE: Final = Price()
_NONE: Final = Hardware()

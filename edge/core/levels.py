"""The limits that stand before one request: the gate's, the service's, the user's and the key's, each a count of its own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from attrs import define, field, frozen

from edge.core.keys import Key
from edge.core.quantities import PERIODS, Limit


@frozen
class Level:
    """One limit of one subject. `name` is where its count is kept; the amount is not part of it, so that a changed
    amount goes on with what was used."""

    name: str
    limit: Limit
    scope: str
    """gate, service, user or key."""
    shadow: bool = False
    """Whether it only tells what it would refuse."""
    unit: str = field(init=False)
    amount: int = field(init=False)
    calendar: bool = field(init=False)
    period: int = field(init=False)
    """Microseconds; of a calendar period, about as many."""

    def __attrs_post_init__(self) -> None:
        put = object.__setattr__
        put(self, "unit", self.limit.unit)
        put(self, "amount", self.limit.amount)
        put(self, "calendar", self.limit.calendar)
        put(self, "period", int(PERIODS[self.limit.period] * 1_000_000))


class Standing(NamedTuple):
    """How one level stands after a decision."""

    level: Level
    remaining: float
    """Units that are left now, never below nothing."""
    reset: float
    """Seconds until all of it is there again."""
    wait: float
    """Seconds until the cost would have fitted: 0 where it did, infinite where it never will."""
    window: int = 0
    """The number of the calendar period that was charged, 0 for a bucket; the engine's own below 0."""


class Verdict:
    """What became of one charge over several levels: all were charged, or none.

    `rows` are (level, used before, wait in seconds, number of the calendar period or 0, seconds until that ends); what
    was used is in units times microseconds for a bucket. `costs` are what was charged, None where nothing was.
    Standings are worked out only when somebody asks, since the decision itself need not divide.
    """

    __slots__ = ("costs", "passed", "rows", "waited")

    def __init__(
        self,
        passed: bool,
        rows: "Sequence[tuple[Level, float, float, int, float]]",
        costs: "Sequence[float] | None",
        waited: bool = True,
    ) -> None:
        self.passed = passed
        self.rows = rows
        self.costs = costs
        self.waited = waited
        """Whether a level may have refused, if only one in shadow."""

    @property
    def standings(self) -> list[Standing]:
        told = []
        for (level, used, wait, number, left), cost in zip(self.rows, self.costs or (0,) * len(self.rows), strict=True):
            if level.calendar:
                used += 0 if wait else cost
                told.append(Standing(level, max(0, level.amount - used), left, wait, number))
            else:
                used += 0 if wait else cost * level.period
                rest = (level.amount * level.period - used) // level.period
                told.append(Standing(level, max(0, rest), used / level.amount / 1_000_000, wait, number))
        return told


@frozen(kw_only=True)
class Scope:
    """The limits of one subject: those that refuse, and those that only tell."""

    limits: tuple[Limit, ...] = ()
    shadow: tuple[Limit, ...] = ()


NONE = Scope()


@frozen(kw_only=True)
class Limits:
    """Every limit that is configured; keys bring their own."""

    gate: Scope = NONE
    services: Mapping[str, Scope] = field(factory=dict)
    users: Mapping[str, Scope] = field(factory=dict)
    key: Scope = NONE
    """For each key; its `requests` give way to a key's own, everything else stands beside it."""
    shadow: bool = False
    """Whether every limit only tells."""


@frozen
class Ladder:
    """The levels of one key at one service, sorted by what they count."""

    requests: tuple[Level, ...]
    units: tuple[Level, ...]
    bounds: tuple[tuple[str, int], ...]
    """(name, size): how many may be open at once, from `concurrent=2`; the key's first."""


def ladder(limits: Limits, service: str, key: Key) -> Ladder:
    """What stands before a request of `key` for `service`."""
    own = key.limits
    replaced = any(each.unit == "requests" for each in own)
    default = tuple(each for each in limits.key.limits if not (replaced and each.unit == "requests"))
    subjects = (
        ("key", key.id, Scope(limits=own + default, shadow=limits.key.shadow)),
        ("user", key.user, limits.users.get(key.user, NONE)),
        ("service", service, limits.services.get(service, NONE)),
        ("gate", "", limits.gate),
    )
    levels: list[Level] = []
    bounds: list[tuple[str, int]] = []
    for scope, who, own_limits in subjects:
        place = f"{scope}:{who}"
        for limit in _tightest(own_limits.limits):
            if limit.unit == "concurrent":
                bounds.append((place, limit.amount))
            else:
                suffix = "?" if limits.shadow else ""
                levels.append(Level(_name(place, limit) + suffix, limit, scope, limits.shadow))
        for limit in _tightest(own_limits.shadow):
            if limit.unit != "concurrent":
                levels.append(Level(f"{_name(place, limit)}?", limit, scope, True))
    return Ladder(
        tuple(level for level in levels if level.unit == "requests"),
        tuple(level for level in levels if level.unit != "requests"),
        tuple(bounds),
    )


def _name(place: str, limit: Limit) -> str:
    return f"{place}:{limit.unit}/{limit.period}"


def _tightest(limits: Iterable[Limit]) -> list[Limit]:
    """Of several limits of one unit and period only the smallest counts; they would share one count otherwise."""
    least: dict[tuple[str, str], Limit] = {}
    for limit in limits:
        at = (limit.unit, limit.period)
        if at not in least or limit.amount < least[at].amount:
            least[at] = limit
    return list(least.values())


@define
class Ladders:
    """Ladders that were made lately; bounded, and a key that was read anew gets a new one."""

    limits: Limits
    most: int = 4096
    _made: dict[tuple[str, str], tuple[Key, Ladder]] = field(factory=dict)

    def of(self, service: str, key: Key) -> Ladder:
        at = (service, key.id)
        made = self._made.get(at)
        if made is not None and (made[0] is key or made[0] == key):
            return made[1]
        if len(self._made) >= self.most:
            self._made.clear()
        found = ladder(self.limits, service, key)
        self._made[at] = (key, found)
        return found

"""The few header fields that a log shows: harmless ones as they came, those that carry secrets as `REDACTED`.

Heads with the same field names in the same order are shown alike, so that what to show of them is found out once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, cast

from attrs import field, frozen

from edge.core.batch import Batch
from edge.core.headers import Fields, Pair
from edge.observe.quoting import keep, known, quoted, shown

LONGEST: Final = 512
PLANS: Final = 512
LONGEST_PLAN: Final = 40
LONGEST_NAMES: Final = 800
"""How many lists of field names are remembered with what of them is shown, up to how many names and bytes each."""

SHOWN: Final = ("User-Agent", "Referer", "Origin", "Content-Type", "Range")
HIDDEN: Final = (
    "Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "Api-Key", "Xi-Api-Key", "X-Goog-Api-Key",
)  # fmt: skip
"""Fields of a request that are worth a line, and those whose presence is; all others stay out, since any may hold a secret."""
ANSWERED: Final = ("Content-Type", "Content-Encoding", "Retry-After")
UNTOLD: Final = ("Set-Cookie",)
"""The same for an answer; its length is known apart."""
_names: Final = itemgetter(0)


@frozen
class _Plan:
    """What is shown of heads with the same field names in the same order."""

    hidden: str
    shown: tuple[tuple[int, str], ...]
    """Places and names."""
    values: Callable[[Sequence[Pair]], Any] | None
    """From the fields to those at the places, None where there are none."""

    def members(self, pairs: Sequence[Pair]) -> str:
        made = [self.hidden] if self.hidden else []
        made += [f'"{name}":[{quoted(shown(pairs[place][1], LONGEST))}]' for place, name in self.shown]
        return ",".join(made)

    def weight(self, pairs: Sequence[Pair]) -> int:
        return sum(len(pairs[place][1]) for place, _ in self.shown)


@frozen(eq=False)
class _Planner:
    """Finds what to show, by lower-case name."""

    shown: Mapping[bytes, str]
    hidden: Mapping[bytes, str]
    plans: dict[tuple[bytes, ...], _Plan] = field(factory=dict)

    def make(self, names: tuple[bytes, ...]) -> _Plan:
        # By name: a field that comes twice would be a second member of the same name, and the last one counts.
        places = {low: place for place, name in enumerate(names) if (low := name.lower()) in self.shown}
        hidden = dict.fromkeys(self.hidden[low] for name in names if (low := name.lower()) in self.hidden)
        plan = _Plan(
            ",".join(f'"{name}":["REDACTED"]' for name in hidden),
            tuple((place, self.shown[low]) for low, place in places.items()),
            itemgetter(*places.values()) if places else None,
        )
        if len(names) <= LONGEST_PLAN and sum(map(len, names)) <= LONGEST_NAMES:
            if len(self.plans) >= PLANS:
                self.plans.clear()
            self.plans[names] = plan
        return plan


def _lows(names: Sequence[str]) -> dict[bytes, str]:
    return {name.lower().encode("ascii"): name for name in names}


_ASKED: Final = _Planner(_lows(SHOWN), _lows(HIDDEN))
_ANSWERED: Final = _Planner(_lows(ANSWERED), _lows(UNTOLD))
_SEEN: Final = frozenset({*_ANSWERED.shown, *_ANSWERED.hidden})


def chosen(fields: Fields) -> tuple[str, Any]:
    """What decides how a head is shown: equal ones are shown alike, and hold no secret."""
    lows = tuple(fields.lows)
    plan = _ASKED.plans.get(lows) or _ASKED.make(lows)
    values = plan.values
    return plan.hidden, None if values is None else values(fields.pairs)


def asked(fields: Fields) -> tuple[str, int]:
    """The members of `request.headers`, and how many bytes of the head they show."""
    plan = _ASKED.make(tuple(fields.lows))
    return plan.members(fields.pairs), plan.weight(fields.pairs)


def answered(told: Iterable[Pair]) -> str:
    """The members of `resp_headers`, of a head as it was sent."""
    # No line shows what the gate says of every answer.
    if type(told) is Batch and (not told.rest or _SEEN.isdisjoint([name.lower() for name, _ in told.rest])):
        notes = told.block.notes
        made = notes.get(answered)
        if made is None:
            made = notes[answered] = _answered(told.block.pairs)
        return cast("str", made)
    return _answered(tuple(told))


def _answered(pairs: Sequence[Pair]) -> str:
    names = tuple(map(_names, pairs))
    plan = _ANSWERED.plans.get(names) or _ANSWERED.make(names)
    values = plan.values
    if values is None:
        return plan.hidden
    mark = (plan.hidden, values(pairs))
    return known.get(mark) or keep(mark, plan.weight(pairs), plan.members(pairs))

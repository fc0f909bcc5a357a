"""The few header fields that a log shows: harmless ones as they came, those that carry secrets as `REDACTED`."""

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

from attrs import frozen

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

_SHOWN: Final = {name.lower().encode("ascii"): f'"{name}":[%s]' for name in SHOWN}
_HIDDEN: Final = {name.lower().encode("ascii"): f'"{name}":["REDACTED"]' for name in HIDDEN}


@frozen
class _Plan:
    """What is shown of heads with the same field names in the same order."""

    hidden: str
    shown: tuple[tuple[int, str], ...]
    """Places and templates."""
    values: Callable[[Sequence[Pair]], Any] | None
    """From the fields to those at the places, None where there are none."""


_plans: dict[tuple[bytes, ...], _Plan] = {}


def asked(fields: Fields) -> str:
    """The members of `request.headers`."""
    lows = tuple(fields.lows)
    plan = _plans.get(lows)
    if plan is None:
        plan = _planned(lows)
    values = plan.values
    if values is None:
        return plan.hidden
    pairs = fields.pairs
    mark = (plan.hidden, values(pairs))
    return known.get(mark) or _made(mark, plan, pairs)


def _planned(lows: tuple[bytes, ...]) -> _Plan:
    # By name: a field that comes twice would be a second member of the same name, and the last one counts.
    places = {low: place for place, low in enumerate(lows) if low in _SHOWN}
    hidden = ",".join(dict.fromkeys(_HIDDEN[low] for low in lows if low in _HIDDEN))
    shown_ = tuple((place, _SHOWN[low]) for low, place in places.items())
    plan = _Plan(hidden, shown_, itemgetter(*places.values()) if places else None)
    if len(lows) <= LONGEST_PLAN and sum(map(len, lows)) <= LONGEST_NAMES:
        if len(_plans) >= PLANS:
            _plans.clear()
        _plans[lows] = plan
    return plan


def _made(mark: tuple[str, Any], plan: _Plan, pairs: Sequence[Pair]) -> str:
    members = [plan.hidden] if plan.hidden else []
    members += [template % quoted(shown(pairs[place][1], LONGEST)) for place, template in plan.shown]
    return keep(mark, sum(len(pairs[place][1]) for place, _ in plan.shown), ",".join(members))


def _spellings(names: Sequence[str]) -> dict[bytes, str]:
    return {spelt.encode("ascii"): name for name in names for spelt in (name, name.lower(), name.upper())}


_OF_ANSWERS: Final = _spellings((*ANSWERED, *UNTOLD))


def answered(pairs: Iterable[Pair], length: int | None) -> str:
    """The members of `resp_headers`, of a head as it was sent; `length` is that of the body, None where it was not told."""
    made = {} if length is None else {"": f'"Content-Length":["{length}"]'}
    for pair in pairs:
        if pair[0] in _OF_ANSWERS:
            made[_OF_ANSWERS[pair[0]]] = known.get(pair) or _answer(pair)
    return ",".join(made.values())


def _answer(pair: Pair) -> str:
    name, value = _OF_ANSWERS[pair[0]], pair[1]
    if name in UNTOLD:
        return f'"{name}":["REDACTED"]'
    return keep(pair, len(value), f'"{name}":[{quoted(shown(value, LONGEST))}]')

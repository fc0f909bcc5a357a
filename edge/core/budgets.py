"""Budgets per calendar day and month: what was used in the period that holds now, on the clocks of one time zone."""

from datetime import date, datetime, timedelta, tzinfo

from attrs import define, field, frozen

State = tuple[int, float]
"""(the number of the period, what was used in it)."""


@frozen
class Window:
    """One calendar period: its number in the row of its kind, and its first moment and end in Unix seconds."""

    number: int
    start: float
    end: float


def window(period: str, now: float, zone: tzinfo) -> Window:
    """The day or month that holds `now` (Unix seconds); a day has 23 or 25 hours where clocks change."""
    today = datetime.fromtimestamp(now, zone).date()
    if period == "day":
        return Window(today.toordinal(), _midnight(today, zone), _midnight(today + timedelta(days=1), zone))
    first = today.replace(day=1)
    after = (first + timedelta(days=32)).replace(day=1)
    return Window(first.year * 12 + first.month, _midnight(first, zone), _midnight(after, zone))


def _midnight(day: date, zone: tzinfo) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


def used(state: State | None, current: Window) -> State:
    """The state as the current period sees it: a new period starts at nothing.

    An earlier period means that the clock went back: what was used is kept, so that nobody gets a budget twice.
    """
    if state is None or current.number > state[0]:
        return current.number, 0
    return state if current.number >= state[0] - 1 else (current.number, state[1])


@define
class Calendar:
    """The current day and month of a zone, looked up anew only when one ends."""

    zone: tzinfo
    _known: dict[str, Window] = field(factory=dict)

    def at(self, period: str, now: float) -> Window:
        known = self._known.get(period)
        if known is None or not known.start <= now < known.end:
            known = self._known[period] = window(period, now, self.zone)
        return known

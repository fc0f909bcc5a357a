"""Counters of limits in this process: exact, since nothing happens between looking and charging."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from math import ceil
from typing import Generic, TypeVar

from zope.interface import implementer

from edge.core import buckets, budgets
from edge.core.buckets import drained
from edge.core.levels import Level, Verdict
from edge.interfaces import ILimitEngine

State = TypeVar("State")
Row = tuple[Level, float, float, int, float]

REST = 60.0
"""Seconds between two sweeps for idle state."""
EVERY = 16
"""Decisions between two steps of a sweep."""
STEP = 64
"""Entries looked at in one step: a hundred thousand are never looked at in one go."""


class Shelf(Generic[State]):
    """States by name that forgets the idle ones a few at a time.

    What is used moves to the young half; a sweep takes the old half apart entry by entry, and then the halves change.
    """

    __slots__ = ("_at", "_old", "young")

    def __init__(self) -> None:
        self.young: dict[str, State] = {}
        self._old: dict[str, State] = {}
        self._at = 0.0

    def get(self, name: str) -> State | None:
        return self.young.get(name) or self.fetch(name)

    def fetch(self, name: str) -> State | None:
        """A state of the old half, moved to the young one."""
        if not self._old or (state := self._old.pop(name, None)) is None:
            return None
        self.young[name] = state
        return state

    def put(self, name: str, state: State) -> None:
        self.young[name] = state
        if self._old:
            self._old.pop(name, None)

    def sweep(self, now: float, idle: Callable[[str, State], bool]) -> None:
        if self._old:
            for _ in range(min(STEP, len(self._old))):
                name, state = self._old.popitem()
                if not idle(name, state):
                    self.young[name] = state
        elif abs(now - self._at) >= REST:
            self._at = now
            self._old, self.young = self.young, self._old

    def __len__(self) -> int:
        return len(self.young) + len(self._old)


@implementer(ILimitEngine)
class MemoryCounters:
    """Limits counted here and nowhere else. `zone` says where days and months begin.

    `changed` gathers the names of budgets that whoever keeps them on disk has yet to write.
    """

    shared = False

    def __init__(self, zone: tzinfo) -> None:
        self.calendar = budgets.Calendar(zone)
        self.changed: set[str] = set()
        self._buckets: Shelf[buckets.State] = Shelf()
        self._budgets: Shelf[budgets.State] = Shelf()
        self._turn = 0
        self._micros = 0
        self._now = 0.0

    async def take(self, levels: Sequence[Level], costs: Sequence[float], now: float) -> Verdict:
        return self.decide(levels, costs, now)

    def decide(self, levels: Sequence[Level], costs: Sequence[float], now: float, charge: bool = True) -> Verdict:
        """The decision itself: every level is looked at before any is charged."""
        micros = int(now * 1_000_000)
        passed, waited = True, False
        rows: list[Row] = []
        find = self._buckets.young.get
        for level, cost in zip(levels, costs):  # noqa: B905 - a strict zip costs as much as a look-up
            if level.calendar:
                row = self._spend(level, cost, now, charge)
                if row[2]:
                    waited = True
                    passed = passed and level.shadow
                rows.append(row)
                continue
            amount, period = level.amount, level.period
            state = find(level.name) or self._bucket(level, micros)
            used = drained(state, amount, period, micros)
            filled = used + cost * period
            if filled < amount * period or not (ticks := buckets.wait(used, ceil(cost * period), amount, period)):
                rows.append((level, used, 0.0, 0, 0.0))
                if charge:
                    state[0] = ceil(filled)
                    state[2] = amount
                continue
            rows.append((level, used, math.inf if ticks < 0 else ticks / 1_000_000, 0, 0.0))
            waited = True
            if not level.shadow:
                passed = False
        self._turn += 1
        if self._turn >= EVERY:
            self._turn = 0
            self._sweep(now, micros)
        if passed and charge:
            return Verdict(True, rows, costs, waited)
        if charge:
            self._take_back(rows)
        return Verdict(passed, rows, None)

    def _spend(self, level: Level, cost: float, now: float, charge: bool) -> Row:
        window = self.calendar.at(level.limit.period, now)
        number, spent = budgets.used(self._budgets.get(level.name), window)
        left, wait = window.end - now, 0.0
        if spent >= level.amount or spent + cost > level.amount:
            wait = math.inf if cost > level.amount else left
        elif charge and cost:
            self._keep(level.name, (number, spent + cost))
        return level, spent, wait, number, left

    def _take_back(self, rows: Sequence[Row]) -> None:
        """Undo the charges of a decision that one of its later levels refused: nothing else ran in between."""
        for level, used, wait, number, _ in rows:
            if wait:
                continue
            if level.calendar:
                self._keep(level.name, (number, used))
            elif state := self._buckets.get(level.name):
                state[0] = int(used)

    def _bucket(self, level: Level, micros: int) -> buckets.State:
        """A bucket's state that is not in the young half; a new one is kept, since idle ones are forgotten anyway."""
        state = self._buckets.fetch(level.name)
        if state is None:
            state = [0, micros, level.amount]
            self._buckets.put(level.name, state)
        return state

    async def settle(
        self, levels: Sequence[Level], corrections: Sequence[float], windows: Sequence[int], now: float
    ) -> None:
        micros = int(now * 1_000_000)
        for level, correction, number in zip(levels, corrections, windows, strict=True):
            if level.calendar:
                state = self._budgets.get(level.name)
                # What was reserved in a period that has ended was counted there and is no debt of the new one.
                if state is None or state[0] <= number:
                    before = state[1] if state and state[0] == number else 0
                    self._keep(level.name, (number, max(0, before + correction)))
                continue
            bucket = self._buckets.get(level.name) or self._bucket(level, micros)
            used = drained(bucket, level.amount, level.period, micros)
            bucket[0] = max(0, used + ceil(correction * level.period))
            bucket[2] = level.amount

    async def look(self, levels: Sequence[Level], now: float) -> Verdict:
        return self.decide(levels, (0,) * len(levels), now, charge=False)

    async def lease(self, holder: str, bounds: Sequence[tuple[str, int]]) -> bool:
        return True

    async def free(self, holder: str, bounds: Sequence[tuple[str, int]]) -> None:
        return None

    def load(self, kept: Iterable[tuple[str, int, float]]) -> None:
        """Take up budgets as they were written: (name, number of the period, used)."""
        for name, number, spent in kept:
            self._budgets.put(name, (number, int(spent) if spent == int(spent) else spent))

    def take_changed(self) -> Mapping[str, budgets.State]:
        """The budgets that changed since the last call."""
        names, self.changed = self.changed, set()
        return {name: state for name in names if (state := self._budgets.get(name)) is not None}

    def __len__(self) -> int:
        return len(self._buckets) + len(self._budgets)

    def _keep(self, name: str, state: budgets.State) -> None:
        self._budgets.put(name, state)
        self.changed.add(name)

    def _sweep(self, now: float, micros: int) -> None:
        self._micros, self._now = micros, now
        self._buckets.sweep(now, self._drained)
        self._budgets.sweep(now, self._over)

    def _drained(self, name: str, state: buckets.State) -> bool:
        return buckets.idle(state, self._micros)

    def _over(self, name: str, state: budgets.State) -> bool:
        return state[0] < self.calendar.at(name.rpartition("/")[2].rstrip("?"), self._now).number - 1

"""A fair queue: who waits for scarce hardware, and who is next.

Each caller has a line of its own, and a tag: the virtual time at which its next job would start. Who has the smallest
tag is next, and its tag moves on by what the job costs, divided by its weight: start-time fair queueing (Goyal, Vin and
Cheng, 1996), with the cost corrected when the job has ended and is known. A caller who was away starts at the present
virtual time, so that nobody saves up turns. Interactive callers go before batch ones, which still get every ninth turn.

Entering, leaving and the next turn take O(log n) comparisons; what leaves is gone at once.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Final, Generic, TypeVar

from attrs import define, field

Item = TypeVar("Item", bound=Hashable)

PATIENCE: Final = 8
"""Interactive turns that pass while batch jobs wait, before one of those has its turn."""
FIRST_COST: Final = 1.0
"""What a job is taken to cost before any has ended, seconds."""
SHARE: Final = 0.2
"""How much the latest job counts in the moving average of costs."""


@define(eq=False, repr=False)
class Line(Generic[Item]):
    """One caller's waiting items, oldest first, each with its hint of a cost or None."""

    caller: str
    weight: float
    tag: float
    number: int
    items: OrderedDict[Item, tuple[int, float | None]] = field(factory=OrderedDict)
    entered: int = 0
    running: int = 0
    debtor: bool = False

    @property
    def rank(self) -> tuple[float, int]:
        """Where it stands in a list that is sorted so that the next one is last."""
        return -self.tag, -self.number


@define(eq=False, repr=False)
class Lane(Generic[Item]):
    """Callers of one sort, interactive or batch."""

    now: float = 0.0
    """The virtual time: the tag of what was served last."""
    waiting: int = 0
    running: int = 0
    _lines: dict[str, Line[Item]] = field(factory=dict)
    _order: list[tuple[tuple[float, int], Line[Item]]] = field(factory=list)
    _debtors: list[tuple[float, int, str]] = field(factory=list)
    _numbers: int = 0

    def line(self, caller: str, weight: float) -> Line[Item]:
        """A caller's line; one that nobody waits in does not lag behind the others."""
        line = self._lines.get(caller)
        if line is None:
            self._numbers += 1
            line = self._lines[caller] = Line(caller, weight, self.now, self._numbers)
            return line
        line.weight = weight
        if not line.items and line.tag < self.now:
            line.tag = self.now
        return line

    def enter(self, item: Item, caller: str, weight: float, hint: float | None) -> Line[Item]:
        line = self.line(caller, weight)
        if not line.items:
            insort(self._order, (line.rank, line))
        line.items[item] = (line.entered, hint)
        line.entered += 1
        self.waiting += 1
        return line

    def leave(self, item: Item, line: Line[Item]) -> None:
        del line.items[item]
        self.waiting -= 1
        if not line.items:
            self._withdraw(line)
            self._forget(line)

    def next(self, average: float) -> tuple[Item, Line[Item], float]:
        """The item whose turn it is, its line and what the line was charged."""
        _, line = self._order.pop()
        item, (_, hint) = line.items.popitem(last=False)
        self.waiting -= 1
        cost = average if hint is None else hint
        self.charge(line, cost)
        if line.items:
            insort(self._order, (line.rank, line))
        return item, line, cost

    def charge(self, line: Line[Item], cost: float) -> None:
        """An item of a line has its turn."""
        if line.tag > self.now:
            self.now = line.tag
        line.tag += cost / line.weight
        line.running += 1
        self.running += 1
        if self._debtors:
            self._collect()

    def done(self, line: Line[Item], correction: float) -> None:
        """A job of a line has ended; it cost more (or less) than was charged."""
        line.running -= 1
        self.running -= 1
        if line.items:
            self._withdraw(line)
        line.tag += correction / line.weight
        if line.items:
            insort(self._order, (line.rank, line))
        self._forget(line)

    def ahead(self, item: Item, line: Line[Item]) -> int:
        """How many of this lane have their turn before an item, at the most: exact for a caller's first one, as long
        as jobs cost alike."""
        first = next(iter(line.items.values()))[0]
        index = line.items[item][0] - first
        callers = len(self._order)
        rank = callers - 1 - bisect_left(self._order, line.rank, key=lambda entry: entry[0])
        return index + min(self.waiting - len(line.items), rank + index * (callers - 1))

    def _withdraw(self, line: Line[Item]) -> None:
        del self._order[bisect_left(self._order, line.rank, key=lambda entry: entry[0])]

    def _forget(self, line: Line[Item]) -> None:
        """Drop a line that is owed nothing and owes nothing; one that had more than its share is remembered until
        the others have caught up."""
        if line.items or line.running:
            return
        if not self.waiting and not self.running:
            self._lines.clear()
            self._debtors.clear()
        elif line.tag <= self.now:
            if not line.debtor:
                self._lines.pop(line.caller, None)
        elif not line.debtor:
            line.debtor = True
            heappush(self._debtors, (line.tag, line.number, line.caller))

    def _collect(self) -> None:
        while self._debtors and self._debtors[0][0] <= self.now:
            line = self._lines.get(heappop(self._debtors)[2])
            if line is not None:
                line.debtor = False
                self._forget(line)


@define(eq=False, repr=False)
class FairQueue(Generic[Item]):
    """Items that wait for places, by caller. Items are hashable and enter once each.

    `average` is the moving average of what jobs cost, in seconds; None before any has ended.
    """

    average: float | None = None
    _interactive: Lane[Item] = field(factory=Lane)
    _batch: Lane[Item] = field(factory=Lane)
    _where: dict[Item, tuple[Lane[Item], Line[Item]]] = field(factory=dict)
    _running: dict[Item, tuple[Lane[Item], Line[Item], float]] = field(factory=dict)
    _passed_over: int = 0

    def enter(
        self, item: Item, caller: str, weight: float = 1.0, batch: bool = False, hint: float | None = None
    ) -> None:
        """Wait in the caller's line; `weight` is its share beside other callers, `hint` the seconds it may take."""
        if item in self._where or item in self._running:
            raise ValueError("an item enters once")
        lane = self._batch if batch else self._interactive
        self._where[item] = (lane, lane.enter(item, caller, max(weight, 1e-3), hint))

    def enter_free(
        self, item: Item, caller: str, weight: float = 1.0, batch: bool = False, hint: float | None = None
    ) -> None:
        """`enter` and `next` in one, for an item that finds a free place and nobody who waits for it."""
        if item in self._running:
            raise ValueError("an item enters once")
        lane = self._interactive
        if batch:
            lane = self._batch
            self._passed_over = 0
        line = lane.line(caller, max(weight, 1e-3))
        cost = hint if hint is not None else FIRST_COST if self.average is None else self.average
        lane.charge(line, cost)
        self._running[item] = (lane, line, cost)

    def leave(self, item: Item) -> bool:
        """Wait no longer; whether it did."""
        found = self._where.pop(item, None)
        if found is not None:
            found[0].leave(item, found[1])
        return found is not None

    def next(self) -> Item | None:
        """The item whose turn it is, which counts as running until it is `done`; None where nobody waits."""
        lane = self._interactive
        if self._batch.waiting:
            if not lane.waiting or self._passed_over >= PATIENCE:
                lane = self._batch
                self._passed_over = 0
            else:
                self._passed_over += 1
        if not lane.waiting:
            return None
        item, line, cost = lane.next(FIRST_COST if self.average is None else self.average)
        del self._where[item]
        self._running[item] = (lane, line, cost)
        return item

    def done(self, item: Item, seconds: float | None) -> None:
        """A running item has ended after so many seconds; None where nothing was done, which costs nothing."""
        found = self._running.pop(item, None)
        if found is None:
            return
        lane, line, cost = found
        lane.done(line, (seconds or 0.0) - cost)
        if seconds is not None:
            self.average = seconds if self.average is None else self.average + SHARE * (seconds - self.average)

    def position(self, item: Item) -> int:
        """1 for who is next; 0 for who does not wait. An estimate from above, told without walking the queue."""
        found = self._where.get(item)
        if found is None:
            return 0
        lane, line = found
        return 1 + lane.ahead(item, line) + (self._interactive.waiting if lane is self._batch else 0)

    def __len__(self) -> int:
        return len(self._where)

"""Counters of limits that several gates share, in a Redis or Valkey server: one atomic script per decision."""

import math
import secrets
from collections import deque
from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Final, Literal

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from edge.core import buckets, budgets
from edge.core.levels import Level, Verdict
from edge.errors import StoreError
from edge.interfaces import ILimitEngine
from edge.stores.counters_memory import MemoryCounters
from edge.stores.redis_link import RedisLink, UnansweredError

log = Logger(namespace="aigate.redis")

HERE: Final = Path(__file__).parent
LATER: Final = 10_000
"""Settlements that are kept while the server is away; the oldest go first, and what they reserved stays charged."""
REPLAY: Final = 16
"""Settlements told again after one decision, once the server is back."""
AFTER: Final = 172_800_000
"""Milliseconds that a budget is kept after its period has ended, so that a clock set back finds it, and the mark of a
charge or a settlement of which nobody knows whether it was made."""
FORGET: Final = 8
"""Marks of what was answered that are deleted with the next command."""


def _script(name: str) -> str:
    return (HERE / f"redis_{name}.lua").read_text()


@implementer(ILimitEngine)
class RedisCounters:
    """Limits counted in one place for several gates.

    While the server is away, `closed` lets nobody pass and `local` counts on alone, from nothing. `lease` is in seconds.
    """

    shared = True

    def __init__(
        self,
        link: RedisLink,
        zone: tzinfo,
        prefix: str = "aigate:",
        failure: Literal["closed", "local"] = "closed",
        lease: float = 30.0,
    ) -> None:
        self.link = link
        self.calendar = budgets.Calendar(zone)
        # The braces put every key into one slot of a cluster, as a script that touches several needs.
        self.prefix = f"{prefix}{{limits}}:"
        self.local = MemoryCounters(zone) if failure == "local" else None
        self.lease_ms = math.ceil(lease * 1000)
        self._self, self._told = secrets.token_hex(8), 0
        self.later: deque[tuple[list[str], list[str]]] = deque(maxlen=LATER)
        self._answered: deque[str] = deque(maxlen=LATER)
        link.greeting = _script("greeting"), [f"{self.prefix}greeting"]
        link.back = self._catch_up
        link.said = "counting alone until it is back" if self.local is not None else "nobody passes until it is back"
        self._take, self._settle = _script("levels") + _script("take"), _script("levels") + _script("settle")
        self._lease, self._free = _script("lease"), _script("free")

    decide = None

    async def take(self, levels: Sequence[Level], costs: Sequence[float], now: float) -> Verdict:
        return await self._ask(levels, costs, now, True)

    async def look(self, levels: Sequence[Level], now: float) -> Verdict:
        return await self._ask(levels, (0,) * len(levels), now, False)

    async def settle(
        self, levels: Sequence[Level], corrections: Sequence[float], windows: Sequence[int], now: float
    ) -> None:
        if self.local is not None and any(window < 0 for window in windows):
            await self.local.settle(levels, corrections, [-1 - window for window in windows], now)
            return
        once = self._mark("settled")
        self.later.append(self._corrections(once, levels, corrections, windows, now))
        await self._replay()

    async def lease(self, holder: str, bounds: Sequence[tuple[str, int]]) -> bool:
        keys = [f"{self.prefix}lease:{name}" for name, _ in bounds]
        args = [holder, str(self.lease_ms), *(str(size) for _, size in bounds)]
        try:
            return await self.link.run(self._lease, keys, args) == "1"
        except StoreError:
            if self.local is not None:
                return True
            raise

    async def free(self, holder: str, bounds: Sequence[tuple[str, int]]) -> None:
        try:
            await self.link.run(self._free, [f"{self.prefix}lease:{name}" for name, _ in bounds], [holder])
        except StoreError:
            # The link has said that the server is away; the lease ends by itself.
            return

    async def _ask(self, levels: Sequence[Level], costs: Sequence[float], now: float, charge: bool) -> Verdict:
        args = [str(buckets.micros(now)), "1" if charge else "0", str(AFTER)]
        mark = self._mark("taken")
        lefts, numbers = [], []
        for level, cost in zip(levels, costs, strict=True):
            shadow = "1" if level.shadow else "0"
            if level.calendar:
                window = self.calendar.at(level.limit.period, now)
                lefts.append(window.end - now)
                numbers.append(window.number)
                args += ["c", str(level.amount), str(window.number), repr(cost), self._keep(lefts[-1]), shadow]
            else:
                lefts.append(0.0)
                numbers.append(0)
                scaled = str(math.ceil(cost * level.period))
                args += ["b", str(level.amount), str(level.period), scaled, str(level.period // 1000 + 60_000), shadow]
        try:
            told = (await self.link.run(self._take, self._keys(mark, levels), args)).split()
        except StoreError as error:
            if charge and isinstance(error, UnansweredError):
                refund = [-cost for cost in costs]
                self.later.append(self._corrections(mark, levels, refund, numbers, now, refund=True))
            if self.local is None:
                raise
            return self._alone(self.local.decide(levels, costs, now, charge))
        rows = []
        for i, (level, cost, left) in enumerate(zip(levels, costs, lefts, strict=True)):
            used, short, number = float(told[1 + 3 * i]), told[2 + 3 * i] == "1", int(told[3 + 3 * i])
            rows.append((level, used, _wait(level, used, cost, left) if short else 0.0, number, left))
        passed = told[0] == "1"
        if passed and charge:
            self._answered.append(mark)
        if self.later:
            await self._replay()
        return Verdict(passed, rows, costs if passed and charge else None)

    def _alone(self, verdict: Verdict) -> Verdict:
        """A verdict of this process alone, marked by its window numbers, so that its settlement comes back here."""
        rows = [(level, used, wait, -1 - number, left) for level, used, wait, number, left in verdict.rows]
        return Verdict(verdict.passed, rows, verdict.costs)

    async def _replay(self) -> None:
        for _ in range(min(REPLAY, len(self.later))):
            keys, args = self.later.popleft()
            try:
                await self.link.run(self._settle, keys, args)
            except StoreError:
                # Kept for when the server is back; the link has said that it is away.
                self.later.appendleft((keys, args))
                return
            if args[1] == "0":
                # The mark of a refund stays: the charge may still be on its way.
                self._answered.append(keys[0])

    def _catch_up(self) -> None:
        told = Deferred.fromCoroutine(self._replay())
        told.addErrback(lambda failure: log.failure("what was left to settle could not be settled", failure))

    def _corrections(
        self,
        mark: str,
        levels: Sequence[Level],
        corrections: Sequence[float],
        numbers: Sequence[int],
        now: float,
        refund: bool = False,
    ) -> tuple[list[str], list[str]]:
        """The keys and arguments of a settlement, or of the refund of a charge that nobody knows to have been made."""
        args = [str(buckets.micros(now)), "1" if refund else "0", str(AFTER)]
        for level, correction, number in zip(levels, corrections, numbers, strict=True):
            if level.calendar:
                left = self.calendar.at(level.limit.period, now).end - now
                args += ["c", str(level.amount), str(number), repr(correction), self._keep(left)]
            else:
                scaled = math.ceil(correction * level.period)
                keep = str(level.period // 1000 + 60_000)
                args += ["b", str(level.amount), str(level.period), str(scaled), keep]
        return self._keys(mark, levels), args

    def _mark(self, kind: str) -> str:
        self._told += 1
        return f"{self.prefix}{kind}:{self._self}:{self._told}"

    def _keys(self, mark: str, levels: Sequence[Level]) -> list[str]:
        answered = self._answered
        forgotten = [answered.popleft() for _ in range(min(FORGET, len(answered)))]
        return [mark, *(self.prefix + level.name for level in levels), *forgotten]

    def _keep(self, left: float) -> str:
        return str(math.ceil(max(0.0, left) * 1000) + AFTER)


def _wait(level: Level, used: float, cost: float, left: float) -> float:
    """Seconds that a refused cost has to wait, infinite where it is larger than the limit."""
    if level.calendar:
        return math.inf if cost > level.amount else left
    ticks = buckets.wait(int(used), math.ceil(cost * level.period), level.amount, level.period)
    return math.inf if ticks < 0 else max(1, ticks) / 1_000_000

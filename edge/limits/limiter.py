"""Rates and budgets of one request: taken on its head, reserved on its judged body, settled when its answer has ended.

Nothing here decides: which limits stand before a request is `core.levels`, whether they let it pass is the engine's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, field
from twisted.logger import Logger

from edge.core.exchange import Exchange
from edge.core.keys import Key
from edge.core.levels import Ladder, Ladders, Level, Limits, Standing, Verdict
from edge.core.ratelimits import refusal, standing
from edge.core.refusal import Refusal
from edge.core.tokens import Worst
from edge.errors import StoreError
from edge.interfaces import ILimitEngine

log = Logger(namespace="aigate.limits")

TOLD_EVERY: Final = 60.0
"""Seconds between two log lines about one limit in shadow."""
TOLD_MOST: Final = 1024
"""Limits in shadow whose last line is remembered."""
AGAIN: Final = 1.0
"""Seconds after which a client may ask again when the counters cannot be reached."""


_NOBODY: Final[tuple[None, str, Ladder]] = (None, "", Ladder((), (), ()))
_NONE: Final[frozenset[str]] = frozenset()


@define
class Reservation:
    """What a request has been charged in advance; settled once."""

    levels: tuple[Level, ...] = ()
    amounts: tuple[float, ...] = ()
    windows: tuple[int, ...] = ()
    told: bytes = b""
    """Where the caller stands, as lines for the head of the answer."""
    settled: bool = False


@define
class Limiter:
    """The limits of the gate, counted by `engine`."""

    limits: Limits
    engine: ILimitEngine
    would_refuse: Counter[str] = field(factory=Counter)
    """What limits in shadow would have refused, by "scope limit", `key 60/minute`: for the metrics."""
    _ladders: Ladders = field(init=False)
    _ones: list[tuple[int, ...]] = field(init=False)
    _told: dict[str, float] = field(factory=dict, init=False)
    _asked: "tuple[Key | None, str, Ladder]" = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ladders = Ladders(self.limits)
        self._asked = _NOBODY
        self._ones = [(1,) * length for length in range(32)]

    def change(self, limits: Limits) -> None:
        """Other limits from the next request on; what was used stays used."""
        self.limits = limits
        self._ladders = Ladders(limits)
        self._asked = _NOBODY

    async def take(self, exchange: Exchange, now: float, dialect: str = "openai") -> bytes | Refusal:
        """Charge one request to every rate and budget of requests that stands before it: to all of them or to none.

        Returns where the caller stands, as lines for the head of the answer; b"" where there is no limit. `now` is in
        Unix seconds. Needs a route and a caller; without them nobody passes.
        """
        levels = self._ladder(exchange).requests
        if not levels:
            return b""
        verdict = await self._charge(levels, self._ones[len(levels)], now, dialect)
        return verdict if isinstance(verdict, Refusal) else standing(verdict, dialect, now)

    def take_now(self, exchange: Exchange, now: float, dialect: str = "openai") -> bytes | Refusal | None:
        """`take` where nothing need be waited for; None where something must, and nothing has been charged."""
        levels = self._ladder(exchange).requests
        if not levels:
            return b""
        decide = self.engine.decide
        if decide is None:
            return None
        verdict = decide(levels, self._ones[len(levels)], now)
        if verdict.waited or not verdict.passed:
            judged = self._judged(verdict, now, dialect)
            if isinstance(judged, Refusal):
                return judged
        return standing(verdict, dialect, now)

    def metered(self, exchange: Exchange) -> frozenset[str]:
        """The units that limits count for this caller; a body is judged only where there are any but bytes."""
        units = self._ladder(exchange).units
        return frozenset(level.unit for level in units) if units else _NONE

    def holds(self, exchange: Exchange) -> bool:
        """Whether a limit that refuses stands on this caller's tokens or the like: nothing may pass that cannot be counted."""
        return any(level.unit != "bytes" and not level.shadow for level in self._ladder(exchange).units)

    def bounds(self, exchange: Exchange) -> tuple[tuple[str, int], ...]:
        """(name, size) of what may be open at once for this caller, the narrowest subject first."""
        return self._ladder(exchange).bounds

    async def reserve(
        self, exchange: Exchange, worst: Worst, now: float, dialect: str = "openai"
    ) -> Reservation | Refusal:
        """Charge the worst case to every limit of units that it can cost, to all or to none; settle it when the truth is
        known."""
        levels = [level for level in self._ladder(exchange).units if worst.counts(level.unit)]
        if not levels:
            return Reservation(settled=True)
        amounts = [worst.of(level.unit, level.amount) for level in levels]
        decide = self.engine.decide
        if decide is None:
            verdict = await self._charge(levels, amounts, now, dialect)
        else:
            verdict = self._judged(decide(levels, amounts, now), now, dialect)
        if isinstance(verdict, Refusal):
            return verdict
        told = standing(verdict, dialect, now)
        paid = [
            (level, amount, window)
            for (level, _, wait, window, _), amount in zip(verdict.rows, amounts, strict=True)
            if not wait
        ]
        if not paid:
            return Reservation(told=told, settled=True)
        charged, charges, windows = zip(*paid, strict=True)
        return Reservation(charged, charges, windows, told)

    async def settle(self, reservation: Reservation, truth: Mapping[str, float], now: float) -> None:
        """Correct a reservation to what it truly cost, by unit; nothing, for an answer that cost nothing. Once: a
        second call changes nothing."""
        if reservation.settled:
            return
        reservation.settled = True
        corrections = [
            truth.get(level.unit, 0) - amount
            for level, amount in zip(reservation.levels, reservation.amounts, strict=True)
        ]
        await self.engine.settle(reservation.levels, corrections, reservation.windows, now)

    async def standings(self, key: Key, service: str, now: float) -> Sequence[Standing]:
        """How a key's limits stand at a service, charging nothing: for `/status`. Raises StoreError."""
        ladder = self._ladders.of(service, key)
        return [
            one
            for one in (await self.engine.look(ladder.requests + ladder.units, now)).standings
            if not one.level.shadow
        ]

    def _ladder(self, exchange: Exchange) -> Ladder:
        caller, route = exchange.caller, exchange.route
        if caller is None or route is None:
            raise ValueError("limits need a caller and a route")
        key, service = caller.key, route.service
        # Several questions are asked about one request.
        asked, of, ladder = self._asked
        if asked is key and of == service:
            return ladder
        found = self._ladders.of(service, key)
        self._asked = (key, service, found)
        return found

    async def _charge(
        self, levels: Sequence[Level], costs: Sequence[float], now: float, dialect: str
    ) -> Verdict | Refusal:
        try:
            verdict = await self.engine.take(levels, costs, now)
        except StoreError:
            # The engine has logged it, once for an outage rather than once for a request.
            return Refusal("store-unavailable", "The limits cannot be counted just now.", retry_after=AGAIN)
        return self._judged(verdict, now, dialect)

    def _judged(self, verdict: Verdict, now: float, dialect: str) -> Verdict | Refusal:
        for level, _, wait, _, _ in verdict.rows:
            if wait and level.shadow:
                self._tell(level, now)
        return verdict if verdict.passed else refusal(verdict, dialect, now)

    def _tell(self, level: Level, now: float) -> None:
        self.would_refuse[f"{level.scope} {level.limit}"] += 1
        if abs(now - self._told.get(level.name, -TOLD_EVERY)) < TOLD_EVERY:
            return
        if len(self._told) >= TOLD_MOST:
            self._told.clear()
        self._told[level.name] = now
        log.info("shadow: {limit} would refuse ({name})", limit=str(level.limit), name=level.name.rstrip("?"))

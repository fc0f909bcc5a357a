"""Adds up who uses what, in memory, and keeps the newest requests; a thread puts both on record every second."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from attrs import define, field
from twisted.logger import Logger

from edge.core.busy import Busy
from edge.core.exchange import Outcome
from edge.core.folding import Fold
from edge.core.use import NAMES, QUARTER, UNITS, Hardware
from edge.errors import StoreError
from edge.observe.quoting import scrubbed, units_text

HELD: Final = 20_000
"""Sums that wait for a disk that cannot be written; further ones join those of `other`."""
WAITING: Final = 20_000
"""Requests that wait to be listed one by one while the disk cannot be written; the oldest go first."""
MODELS: Final = 500
"""Models with sums of their own, since the start."""
REST: Final = 300.0
"""Seconds between two notes of how long the gate stood ready while nobody asked."""
_FIRST_UNIT: Final = NAMES.index("tokens")
_UNITS: Final = {unit: _FIRST_UNIT + place for place, unit in enumerate(UNITS)}
Mark = tuple[int, str, str, str, str]


class Store(Protocol):
    """Where the sums go: `edge.stores.usage.UsageStore`. Raises StoreError."""

    def add(self, batch: Any) -> None: ...


@define(eq=False)
class Using:
    """A sink of outcomes; `flush` belongs to a thread of its own. Requests that nobody was let in for are not use."""

    store: Store
    batch: Callable[
        [Mapping[Mark, tuple[float, ...]], Mapping[str, Hardware], Mapping[str, float], Sequence[tuple[Any, ...]]],
        object,
    ]
    services: Iterable[str] = ()
    each: bool = True
    """Whether requests are kept one by one too."""
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    problem: str = ""
    lost: int = 0
    """Requests whose names were given up since too many waited; their sums are under `other`."""
    unlisted: int = 0
    """Requests that are not on record by themselves since too many waited."""
    log: Logger = field(factory=lambda: Logger(namespace="aigate.usage"), repr=False)
    _sums: dict[Mark, list[float]] = field(factory=dict, init=False, repr=False)
    _rows: deque[tuple[Any, ...]] = field(factory=lambda: deque(maxlen=WAITING), init=False, repr=False)
    _last: dict[str, float] = field(factory=dict, init=False, repr=False)
    _busy: dict[str, Busy] = field(factory=dict, init=False, repr=False)
    """By service."""
    _models: Fold = field(factory=lambda: Fold(MODELS), init=False, repr=False)
    _guard: threading.Lock = field(factory=threading.Lock, init=False, repr=False)
    _ready: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ready = self.monotonic()

    def __call__(self, outcomes: Iterable[Outcome]) -> None:
        """Add requests."""
        rows: list[tuple[Any, ...]] = []
        with self._guard:
            try:
                self._add(outcomes, rows)
            finally:
                self.unlisted += max(0, len(self._rows) + len(rows) - WAITING)
                self._rows.extend(rows)

    def _add(self, outcomes: Iterable[Outcome], rows: list[tuple[Any, ...]]) -> None:
        """Within the lock."""
        all_sums, last, busy, models, each = self._sums, self._last, self._busy, self._models, self.each
        for outcome in outcomes:
            exchange = outcome.exchange
            caller, route = exchange.caller, exchange.route
            if caller is None or route is None:
                continue
            arrival, key, service, model = exchange.arrival, caller.key, route.service, exchange.model
            key_id, user, status, ended = key.id, key.user, outcome.status, outcome.ended
            sent, received, units = outcome.sent, outcome.received, outcome.units
            seconds, queued = outcome.seconds, outcome.queued
            at = arrival.at + seconds
            if not model:
                model = ""
            elif model not in models.known:
                model = models.name(scrubbed(model), status < 300)
            mark = (int(at) // QUARTER, key_id, user, service, model)
            sums = all_sums.get(mark) or self._begin(mark)
            sums[0] += 1
            if status >= 400 or ended != "complete":
                sums[1] += 1
            sums[2] += sent
            sums[3] += received
            if exchange.upstream is not None and arrival.upgrade is None and outcome.overhead is not None:
                # What was switched to another protocol may idle for a day; its work is not known from here.
                sums[4] += seconds - queued
                sums[5] += queued
                started = arrival.started
                work = busy.get(service)
                if work is None:
                    work = busy[service] = Busy()
                work.add(started + queued, started + seconds)
            if units:
                for unit, amount in units.items():
                    place = _UNITS.get(unit)
                    if place is not None:
                        sums[place] += amount
            last[key_id] = at
            if each:
                request = arrival.id
                rows.append(
                    (
                        at, request if "_" not in request else scrubbed(request), key_id, user, service, model, status,
                        outcome.reason, ended, sent, received, seconds, queued, units_text(units) if units else "",
                    )
                )  # fmt: skip

    def _begin(self, mark: Mark) -> list[float]:
        if len(self._sums) >= HELD:
            self.lost += 1
            mark = (mark[0], "other", "other", mark[3], "other")
            if mark in self._sums:
                return self._sums[mark]
        sums = self._sums[mark] = [0.0] * len(NAMES)
        return sums

    def flush(self, last: bool = False) -> None:
        """Put the sums on record. Never raises: what cannot be written waits, and is added to."""
        ready = self.monotonic() - self._ready
        with self._guard:
            if not self._sums and ready < REST and not last:
                return
            sums, self._sums = self._sums, {}
            seen, self._last = self._last, {}
            worked = {service: busy.fresh for service, busy in self._busy.items() if busy.fresh}
            for busy in self._busy.values():
                busy.fresh = 0.0
            rows, self._rows = self._rows, deque(maxlen=WAITING)
        self._ready += ready
        hardware = {name: Hardware(worked.get(name, 0.0), ready) for name in {*self.services, *worked}}
        try:
            self.store.add(self.batch({mark: tuple(each) for mark, each in sums.items()}, hardware, seen, tuple(rows)))
        except StoreError as error:
            if not self.problem:
                self.log.error("{error}", error=error)
            self.problem = str(error)
            self._ready -= ready
            self._put_back(sums, seen, worked, rows)
        else:
            if self.problem:
                self.log.info("the record of use can be written again")
            self.problem = ""

    def _put_back(
        self,
        sums: dict[Mark, list[float]],
        seen: dict[str, float],
        worked: dict[str, float],
        rows: deque[tuple[Any, ...]],
    ) -> None:
        with self._guard:
            self.unlisted += max(0, len(rows) + len(self._rows) - WAITING)
            rows.extend(self._rows)
            self._rows = rows
            for mark, each in sums.items():
                into = self._sums.get(mark) or self._begin(mark)
                for place, amount in enumerate(each):
                    into[place] += amount
            self._last = {**seen, **self._last}
            for service, seconds in worked.items():
                self._busy[service].fresh += seconds

    def finish(self) -> None:
        """Write what is left."""
        self.flush(last=True)

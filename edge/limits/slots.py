"""Places at the hardware: who may go up now, who waits, and for how long.

A request passes a row of stages, the narrowest subject first: its key's `concurrent=2`, its person's, the gate's, and
last the service's own. Each has so many places and a fair queue before them. A place is given back exactly once.
"""

from collections import Counter
from collections.abc import Sequence
from math import ceil
from secrets import token_hex
from typing import Final

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from edge.core.exchange import Exchange
from edge.core.fairness import FairQueue
from edge.core.refusal import Refusal
from edge.errors import StoreError
from edge.interfaces import ILimitEngine

log = Logger(namespace="aigate.limits")

POLL: Final = (0.05, 1.0)
"""The first and the longest pause, in seconds, between two tries for a lease that other gates hold."""
RETRY: Final = (1.0, 60.0)
"""The shortest and the longest `Retry-After` of a full queue, seconds."""


@frozen
class Place:
    """What a request wants a place at: a service, or one of its upstreams. `size` None means as many as come."""

    name: str
    size: int | None = None
    length: int = 100
    wait: float = 300.0
    """The longest that a request waits, seconds."""


@define(eq=False, repr=False)
class Stage:
    name: str
    size: int
    held: int = 0
    users: int = 0
    """Requests that hold it, wait for it, or will."""
    queue: "FairQueue[Waiting]" = field(factory=FairQueue)
    pulling: bool = False
    """Whether its places are being given away just now."""


@define(eq=False, repr=False)
class Ticket:
    """A place, or several; give it back with `release`, as often as you like."""

    queued: float = 0.0
    """Seconds that it took to get."""
    _waiting: "Waiting | None" = None

    def release(self, worked: bool = True) -> None:
        """Give the place back. `worked` False: nothing reached the hardware, so nothing is charged to the caller."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.slots._release(waiting, worked)


@define(eq=False, repr=False)
class Waiting:
    """A request on its way to a place. Await `ready` once; `leave` at any time."""

    slots: "Slots"
    place: Place
    stages: list[Stage]
    caller: str
    weight: float
    batch: bool
    hint: float | None
    since: float
    number: int
    at: int = 0
    """How many stages it has passed."""
    started: float | None = None
    gone: bool = False
    refusal: Refusal | None = None
    _fired: Deferred[None] | None = None

    @property
    def holder(self) -> str:
        """Its name among all gates that share an engine."""
        return f"{self.slots.name}:{self.number}"

    @property
    def position(self) -> int:
        """1 for who is next, 0 for who waits no longer; an estimate from above."""
        if self.gone or self.at >= len(self.stages):
            return 0
        return self.stages[self.at].queue.position(self) + sum(len(one.queue) for one in self.stages[self.at + 1 :])

    @property
    def expected(self) -> float | None:
        """Seconds until its turn, by the moving average of what jobs take; None before any has ended."""
        stage = self.stages[-1]
        average = stage.queue.average
        return None if average is None else ceil(self.position / max(1, stage.size)) * average

    async def ready(self) -> Ticket | Refusal:
        """The place, or why there is none: waited too long, pushed out of a full queue, shutting down. Cancelling
        the Deferred that this awaits leaves the queue."""
        if self.at < len(self.stages) and not self.gone:
            self._fired = Deferred()
            timeout = self.slots.clock.callLater(self.place.wait, self.slots._turn_away, self, "waited too long")
            try:
                await self._fired
            except CancelledError:
                self.leave()
                raise
            finally:
                self._fired = None
                if timeout.active():
                    timeout.cancel()
        if self.refusal is None and self.slots.engine.shared:
            await self._lease()
        if self.gone and self.refusal is None:
            self.refusal = self.slots._full(self.place, "it was left")
        return self.refusal or self._ticket()

    def leave(self) -> None:
        """Wait no longer, or give back what was not yet taken; the place is free at once."""
        self.slots._withdraw(self)

    def _ticket(self) -> Ticket:
        self.started = self.slots.clock.seconds()
        return Ticket(self.started - self.since, self)

    async def _lease(self) -> None:
        """Wait for a lease on every stage beside the other gates; our own turn is already kept."""
        pause, longest = POLL
        deadline = self.since + self.place.wait
        bounds = [(stage.name, stage.size) for stage in self.stages]
        try:
            while not await self.slots.engine.lease(self.holder, bounds):
                if self.slots.clock.seconds() >= deadline:
                    self.slots._turn_away(self, "waited too long")
                    return
                await deferLater(self.slots.clock, pause)
                if self.gone:
                    return
                pause = min(2 * pause, longest)
        except StoreError:
            self.refusal = Refusal("store-unavailable", "The limits cannot be counted just now.", retry_after=RETRY[0])
            self.leave()
        except CancelledError:
            self.leave()
            raise
        else:
            if self.gone:
                self.slots._free_lease(self)
            else:
                self.slots._leased[self.holder] = self


@define(eq=False, repr=False)
class Slots:
    """Every place of the gate. `name` tells this gate from others that share its engine, and this run of it from the one
    before; `lease` is in seconds."""

    clock: IReactorTime
    engine: ILimitEngine
    name: str = field(factory=lambda: token_hex(8))
    lease: float = 30.0
    _stages: dict[str, Stage] = field(factory=dict)
    _lines: dict[str, dict[tuple[str, bool], dict[Waiting, None]]] = field(factory=dict)
    _counts: Counter[str] = field(factory=Counter)
    _leased: dict[str, Waiting] = field(factory=dict)
    _numbers: int = 0
    open: bool = True
    """False once nobody gets a place any more: the gate ends."""

    def ask(
        self, exchange: Exchange, place: Place, bounds: Sequence[tuple[str, int]] = (), hint: float | None = None
    ) -> Ticket | Waiting | Refusal:
        """A place now, a Waiting for one, or why not. `bounds` are (name, size) from `Limiter.bounds`; `hint` is what
        the job may take, in seconds, where it is known."""
        if not self.open:
            return Refusal("shutting-down", "The server is shutting down.", retry_after=RETRY[0])
        if exchange.caller is None:
            raise ValueError("a place needs a caller")
        key = exchange.caller.key
        stages = self._row(place, bounds, exchange.route.service if exchange.route else "")
        if not stages:
            return Ticket()
        self._numbers += 1
        now = self.clock.seconds()
        waiting = Waiting(self, place, stages, key.user, key.weight, key.batch, hint, now, self._numbers)
        for stage in stages:
            stage.users += 1
        if not self._walk(waiting):
            self._list(waiting)
            self._advance(waiting)
        if waiting.at == len(stages):
            return waiting if self.engine.shared else waiting._ticket()
        if self._counts[place.name] > place.length:
            self._turn_away(self._longest(waiting), "the queue is full")
        return waiting.refusal or waiting

    async def enter(
        self, exchange: Exchange, place: Place, bounds: Sequence[tuple[str, int]] = (), hint: float | None = None
    ) -> Ticket | Refusal:
        """A place, however long it takes (at most `place.wait`), or why there is none."""
        told = self.ask(exchange, place, bounds, hint)
        return await told.ready() if isinstance(told, Waiting) else told

    def load(self, name: str) -> tuple[int, int]:
        """(held, waiting) of a place."""
        stage = self._stages.get(name)
        return (stage.held if stage else 0), self._counts[name]

    def waiting(self, user: str) -> list[Waiting]:
        """What a person's keys wait for: for `/status`."""
        return [
            one for lines in self._lines.values() for batch in (False, True) for one in lines.get((user, batch), ())
        ]

    async def renew(self) -> None:
        """Renew every lease that is held; call it a few times within `lease` where the engine is shared."""
        for holder, waiting in list(self._leased.items()):
            if holder not in self._leased:
                # Given back while the ones before it were renewed.
                continue
            try:
                await self.engine.lease(holder, [(stage.name, stage.size) for stage in waiting.stages])
            except StoreError:
                log.warn("leases could not be renewed; other gates may go beyond the limits until they are")
                return

    def close(self) -> None:
        """Turn everyone away who still waits: the gate ends."""
        self.open = False
        for lines in list(self._lines.values()):
            for line in list(lines.values()):
                for waiting in list(line):
                    self._turn_away(waiting, "shutting down", "shutting-down")

    def _row(self, place: Place, bounds: Sequence[tuple[str, int]], service: str) -> list[Stage]:
        size = place.size
        stages = []
        for name, most in bounds:
            if name == f"service:{service}":
                # Its places are the service's own: two queues for one thing would only blur whose turn it is.
                size = most if size is None else min(size, most)
            else:
                stages.append(self._stage(name, most))
        if size is not None:
            stages.append(self._stage(place.name, size))
        return stages

    def _stage(self, name: str, size: int) -> Stage:
        stage = self._stages.get(name)
        if stage is None:
            stage = self._stages[name] = Stage(name, size)
        stage.size = size
        return stage

    def _longest(self, newest: Waiting) -> Waiting:
        """Who leaves a queue that is too long: the newest of the longest line, where that is longer than the line of
        who came last; one greedy script cannot fill a queue."""
        lines = self._lines[newest.place.name]
        own = len(lines[newest.caller, newest.batch])
        if own > newest.place.length // len(lines):
            return newest
        longest = max(lines.values(), key=len)
        return next(reversed(longest)) if len(longest) > own else newest

    def _full(self, place: Place, why: str) -> Refusal:
        stage = self._stages.get(place.name)
        average = stage.queue.average if stage else None
        least, most = RETRY
        after = min(max(least, average or least), most)
        return Refusal("queue-full", f"Too many requests wait for {place.name}: {why}.", retry_after=after)

    def _walk(self, waiting: Waiting) -> bool:
        """Through all stages that have a free place which nobody waits for; whether these were all."""
        for stage in waiting.stages:
            if stage.held >= stage.size or len(stage.queue):
                return False
            stage.queue.enter_free(waiting, waiting.caller, waiting.weight, waiting.batch, waiting.hint)
            stage.held += 1
            waiting.at += 1
        return True

    def _advance(self, waiting: Waiting) -> None:
        """Into the queue of its next stage, and on from there if it is its turn."""
        stage = waiting.stages[waiting.at]
        stage.queue.enter(waiting, waiting.caller, waiting.weight, waiting.batch, waiting.hint)
        self._pull(stage)

    def _pull(self, stage: Stage) -> None:
        if stage.pulling:
            # Who got a place gave it back within its turn; a turn within a turn, hundreds deep, would break off.
            return
        stage.pulling = True
        try:
            while stage.held < stage.size and (waiting := stage.queue.next()) is not None:
                stage.held += 1
                waiting.at += 1
                if waiting.at < len(waiting.stages):
                    self._advance(waiting)
                    continue
                self._unlist(waiting)
                if waiting._fired is not None:
                    waiting._fired.callback(None)
        finally:
            stage.pulling = False

    def _turn_away(self, waiting: Waiting, why: str, reason: str = "queue-full") -> None:
        if waiting.gone or waiting.started is not None:
            return
        waiting.refusal = (
            self._full(waiting.place, why)
            if reason == "queue-full"
            else Refusal(reason, f"The server is {why}.", retry_after=RETRY[0])
        )
        self._withdraw(waiting)

    def _withdraw(self, waiting: Waiting) -> None:
        if waiting.gone or waiting.started is not None:
            return
        if waiting.at < len(waiting.stages):
            waiting.stages[waiting.at].queue.leave(waiting)
            self._unlist(waiting)
        self._release(waiting, worked=False)
        if waiting._fired is not None and not waiting._fired.called:
            waiting._fired.callback(None)

    def _release(self, waiting: Waiting, worked: bool) -> None:
        """Give back every stage that was passed, and let the next ones in."""
        if waiting.gone:
            return
        waiting.gone = True
        seconds = self.clock.seconds() - waiting.started if worked and waiting.started is not None else None
        passed = waiting.stages[: waiting.at]
        for stage in passed:
            stage.held -= 1
            stage.queue.done(waiting, seconds)
        if self.engine.shared:
            held = self._leased.pop(waiting.holder, None)
            if held is not None or passed:
                self._free_lease(waiting)
        for stage in reversed(waiting.stages):
            stage.users -= 1
            if len(stage.queue):
                self._pull(stage)
            if not stage.users and stage.name != waiting.place.name:
                self._stages.pop(stage.name, None)

    def _free_lease(self, waiting: Waiting) -> None:
        bounds = [(stage.name, stage.size) for stage in waiting.stages]
        freed = Deferred.fromCoroutine(self.engine.free(waiting.holder, bounds))
        freed.addErrback(lambda failure: log.failure("a lease was not given back", failure))

    def _list(self, waiting: Waiting) -> None:
        name = waiting.place.name
        self._lines.setdefault(name, {}).setdefault((waiting.caller, waiting.batch), {})[waiting] = None
        self._counts[name] += 1

    def _unlist(self, waiting: Waiting) -> None:
        name, who = waiting.place.name, (waiting.caller, waiting.batch)
        line = self._lines[name][who]
        del line[waiting]
        self._counts[name] -= 1
        if not line:
            del self._lines[name][who]

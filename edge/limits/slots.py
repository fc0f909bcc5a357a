"""Places at the hardware: who may go up now, who waits, and for how long.

A request passes a row of stages, the narrowest subject first: its key's `concurrent=2`, its person's, the gate's, and
last the service's own. Each has so many places and a fair queue before them. A place is given back exactly once.
Beside other gates each place needs a lease as well, which is had before the next stage is entered: nobody waits for
another gate at a place that others of this one could use, and since all go the same way, no two wait for each other.
"""

from collections import Counter
from collections.abc import Sequence
from secrets import token_hex

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from edge.core.exchange import Exchange
from edge.core.refusal import Refusal
from edge.errors import StoreError
from edge.interfaces import ILimitEngine
from edge.limits.waiting import RETRY, Place, Stage, Ticket, Waiting

log = Logger(namespace="aigate.limits")


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
        self._go_on(waiting)
        if waiting.at == len(stages) and not self.engine.shared:
            return waiting._ticket()
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
                held = waiting.stages[: waiting.leased]
                await self.engine.lease(holder, [(stage.name, stage.size) for stage in held])
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

    def _go_on(self, waiting: Waiting) -> None:
        """To its next stages, as far as it may: it waits at the first one where it cannot have a place at once."""
        if self._walk(waiting):
            return
        if not waiting.listed:
            self._list(waiting)
        self._advance(waiting)
        if waiting.listed and self._counts[waiting.place.name] > waiting.place.length:
            self._turn_away(self._longest(waiting), "the queue is full")

    def _walk(self, waiting: Waiting) -> bool:
        """Through all stages that have a free place which nobody waits for, up to a lease; whether it need not wait."""
        for stage in waiting.stages[waiting.at : waiting.at + 1 if self.engine.shared else None]:
            if stage.held >= stage.size or len(stage.queue):
                return False
            stage.queue.enter_free(waiting, waiting.caller, waiting.weight, waiting.batch, waiting.hint)
            stage.held += 1
            waiting.at += 1
        if waiting.listed and waiting.at == len(waiting.stages):
            self._unlist(waiting)
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
                if waiting.at == len(waiting.stages):
                    self._unlist(waiting)
                elif not self.engine.shared:
                    self._advance(waiting)
                    continue
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
        if waiting.listed:
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
        name, waiting.listed = waiting.place.name, True
        self._lines.setdefault(name, {}).setdefault((waiting.caller, waiting.batch), {})[waiting] = None
        self._counts[name] += 1

    def _unlist(self, waiting: Waiting) -> None:
        name, who, waiting.listed = waiting.place.name, (waiting.caller, waiting.batch), False
        line = self._lines[name][who]
        del line[waiting]
        self._counts[name] -= 1
        if not line:
            del self._lines[name][who]

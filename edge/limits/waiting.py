"""Requests on their way to a place: what they want, what they wait for, and what they get."""

from math import ceil
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from edge.core.fairness import FairQueue
from edge.core.refusal import Refusal
from edge.errors import StoreError

if TYPE_CHECKING:
    from edge.limits.slots import Slots

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
    leased: int = 0
    """For how many of them it has the lease."""
    listed: bool = False
    """Whether it counts among those who wait."""
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
        shared = self.slots.engine.shared
        if not self.gone and (shared or self.at < len(self.stages)):
            timeout = self.slots.clock.callLater(self.place.wait, self.slots._turn_away, self, "waited too long")
            try:
                if shared:
                    await self._leases()
                else:
                    await self._turn()
            except CancelledError:
                self.leave()
                raise
            finally:
                if timeout.active():
                    timeout.cancel()
        if self.gone and self.refusal is None:
            self.refusal = self.slots._full(self.place, "it was left")
        return self.refusal or self._ticket()

    def leave(self) -> None:
        """Wait no longer, or give back what was not yet taken; the place is free at once."""
        self.slots._withdraw(self)

    def _ticket(self) -> Ticket:
        self.started = self.slots.clock.seconds()
        return Ticket(self.started - self.since, self)

    async def _turn(self) -> None:
        """Wait for its turn at the stage that it has queued at, or for the end of its waiting."""
        self._fired = Deferred()
        try:
            await self._fired
        finally:
            self._fired = None

    async def _leases(self) -> None:
        """A turn and a lease for every stage, one after the other."""
        try:
            while True:
                if self.at == self.leased and not self.gone:
                    await self._turn()
                if self.gone or not await self._lease(self.stages[self.leased]):
                    return
                self.leased += 1
                if self.leased == len(self.stages):
                    return
                self.slots._go_on(self)
        except StoreError:
            self.refusal = Refusal("store-unavailable", "The limits cannot be counted just now.", retry_after=RETRY[0])
            self.leave()

    async def _lease(self, stage: Stage) -> bool:
        """Wait for a lease beside the other gates; our own turn is kept meanwhile. False where it is not wanted any more."""
        slots, (pause, longest) = self.slots, POLL
        while not await slots.engine.lease(self.holder, [(stage.name, stage.size)]):
            if not self.gone:
                await deferLater(slots.clock, pause)
            if self.gone:
                return False
            pause = min(2 * pause, longest)
        if self.gone:
            slots._free_lease(self)
            return False
        slots._leased[self.holder] = self
        return True

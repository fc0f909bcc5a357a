import random

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from edge.core.exchange import Arrival, Caller, Exchange, Route
from edge.core.headers import fields
from edge.core.keys import Key
from edge.core.refusal import Refusal
from edge.errors import StoreError
from edge.limits.slots import Slots
from edge.limits.waiting import Place, Ticket

GPU = Place("image", size=1, length=4, wait=60.0)


def exchange(user="alice"):
    arrival = Arrival(
        "r1", "POST", "h", b"/", b"/", None, fields([]), "1.2.3.4", "1.2.3.4", True, "HTTP/1.1", "https", 0.0, 0.0
    )
    key = Key(id=user, user=user, services=frozenset({"*"}))
    return Exchange(arrival, Route("image", b"/image/api", frozenset({"POST"})), Caller(key))


@pytest.fixture
def clock():
    return Clock()


def ready(waiting):
    """(the Deferred, the list that its result lands in)."""
    told = []
    deferred = Deferred.fromCoroutine(waiting.ready())
    deferred.addBoth(told.append)
    return deferred, told


def entered(slots, user, place, bounds=()):
    """The list that the result lands in of somebody who enters."""
    told = []
    Deferred.fromCoroutine(slots.enter(exchange(user), place, bounds)).addBoth(told.append)
    return told


class Shared:
    """An engine that other gates count in as well; it lends a place when told so."""

    shared = True

    def __init__(self):
        self.lends, self.calls, self.freed = False, 0, []

    async def lease(self, holder, bounds):
        self.calls += 1
        if self.lends is None:
            raise StoreError("gone")
        return self.lends

    async def free(self, holder, bounds):
        self.freed.append(holder)


def test_a_shared_place_waits_for_its_lease_and_gives_it_back(clock):
    engine = Shared()
    slots = Slots(clock, engine, "gate1")
    _, result = ready(slots.ask(exchange(), GPU))
    clock.pump([0.1] * 20)
    assert not result and 3 < engine.calls < 12
    engine.lends = True
    clock.advance(1)
    assert isinstance(result[0], Ticket)
    calls = engine.calls
    Deferred.fromCoroutine(slots.renew())
    assert engine.calls == calls + 1
    result[0].release()
    assert engine.freed == ["gate1:1"] and not slots._leased and slots.load("image") == (0, 0)


def test_a_place_given_back_while_others_are_renewed_is_not_taken_again(clock):
    engine = Shared()
    engine.lends = True
    slots = Slots(clock, engine)
    first, second = (ready(slots.ask(exchange(), Place("image", size=2)))[1][0] for _ in range(2))
    paused = Deferred()

    async def lease(holder, bounds):
        engine.calls += 1
        return await paused

    engine.lease, engine.calls = lease, 0
    Deferred.fromCoroutine(slots.renew())
    second.release()
    paused.callback(True)
    assert engine.calls == 1 and len(slots._leased) == 1
    first.release()


def test_two_gates_never_hold_their_leases_under_one_name(clock):
    assert len({Slots(clock, Shared()).name for _ in range(10)}) == 10


def test_a_lease_that_never_comes_ends_with_the_wait(clock):
    slots = Slots(clock, Shared())
    _, result = ready(slots.ask(exchange(), GPU))
    clock.pump([0.5] * 130)
    assert result[0].reason == "queue-full" and slots.load("image") == (0, 0)


def test_leaving_while_a_lease_is_asked_for_gives_everything_back(clock):
    engine = Shared()
    slots = Slots(clock, engine)
    deferred, result = ready(slots.ask(exchange(), GPU))
    deferred.cancel()
    assert result[0].check(CancelledError) and engine.freed and slots.load("image") == (0, 0)


def test_without_counters_there_is_no_place(clock):
    engine = Shared()
    engine.lends = None
    slots = Slots(clock, engine)
    assert ready(slots.ask(exchange(), GPU))[1][0].reason == "store-unavailable"
    assert slots.load("image") == (0, 0)


class Leases:
    """An engine that two gates share: places by name, each lent to so many holders."""

    shared = True

    def __init__(self):
        self.held = {}

    async def lease(self, holder, bounds):
        if any(holder not in (lent := self.held.get(name, set())) and len(lent) >= size for name, size in bounds):
            return False
        for name, _ in bounds:
            self.held.setdefault(name, set()).add(holder)
        return True

    async def free(self, holder, bounds):
        for name, _ in bounds:
            self.held.get(name, set()).discard(holder)


def test_who_waits_for_a_bound_of_their_own_at_another_gate_keeps_nobody_from_an_idle_service(clock):
    engine = Leases()
    here, there = Slots(clock, engine), Slots(clock, engine)
    bound = [("user:mallory", 1)]
    (elsewhere,) = entered(there, "mallory", Place("other", size=5), bound)
    mallory = entered(here, "mallory", GPU, bound)
    (alice,) = entered(here, "alice", GPU)
    assert isinstance(alice, Ticket) and not mallory and here.load("image") == (1, 0)
    elsewhere.release()
    clock.advance(1)
    assert not mallory and here.load("image") == (1, 1)
    alice.release()
    assert isinstance(mallory[0], Ticket)
    mallory[0].release()
    assert not any(engine.held.values()) and here.load("image") == (0, 0) and not clock.getDelayedCalls()


def test_who_finds_the_queue_full_behind_a_bound_is_told_at_once_and_holds_nothing(clock):
    engine = Leases()
    slots, place = Slots(clock, engine), Place("image", size=1, length=0)
    (first,) = entered(slots, "alice", place, [("user:alice", 2)])
    (second,) = entered(slots, "alice", place, [("user:alice", 2)])
    assert isinstance(second, Refusal) and second.reason == "queue-full" and len(engine.held["user:alice"]) == 1
    first.release()
    assert not any(engine.held.values()) and not slots._stages.keys() - {"image"}


def test_leases_of_what_was_passed_are_renewed_while_the_next_stage_is_waited_for(clock):
    engine = Leases()
    slots, asked = Slots(clock, engine), []
    entered(slots, "alice", GPU)
    waiting = entered(slots, "bob", GPU, [("user:bob", 1)])
    lease = engine.lease

    async def noted(holder, bounds):
        asked.append([name for name, _ in bounds])
        return await lease(holder, bounds)

    engine.lease = noted
    Deferred.fromCoroutine(slots.renew())
    assert not waiting and asked == [["image"], ["user:bob"]]


@pytest.mark.parametrize("seed", range(20))
def test_gates_never_wait_for_each_other_for_ever_and_exceed_no_bound(clock, seed):
    rng = random.Random(seed)
    engine = Leases()
    gates = [Slots(clock, engine) for _ in range(3)]
    places = [Place("chat", 2, 1000, 1e9), Place("image", 1, 1000, 1e9)]
    sizes = {"chat": 2, "image": 1, "user:a": 1, "user:b": 2, "gate:": 2}
    results = []
    for _ in range(40):
        user = rng.choice("abc")
        bounds = [(name, sizes[name]) for name in (f"user:{user}", "gate:") if name in sizes]
        results.append(entered(rng.choice(gates), user, rng.choice(places), bounds))
    for _ in range(3000):
        clock.advance(0.25)
        assert all(len(lent) <= sizes[name] for name, lent in engine.held.items())
        tickets = [one[0] for one in results if one and one[0]._waiting is not None]
        if tickets and rng.random() < 0.5:
            rng.choice(tickets).release()
        if all(results) and not tickets:
            break
    assert all(results) and not any(engine.held.values()) and not clock.getDelayedCalls()

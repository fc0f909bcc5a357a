import random
import time
from collections import Counter
from zoneinfo import ZoneInfo

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from edge.core.exchange import Arrival, Caller, Exchange, Route
from edge.core.headers import fields
from edge.core.keys import Key
from edge.core.refusal import Refusal
from edge.limits.slots import Slots
from edge.limits.waiting import Place, Ticket, Waiting
from edge.stores.counters_memory import MemoryCounters

GPU = Place("image", size=1, length=4, wait=60.0)


def exchange(user="alice", id=None, batch=False, weight=1.0):
    arrival = Arrival(
        "r1", "POST", "h", b"/", b"/", None, fields([]), "1.2.3.4", "1.2.3.4", True, "HTTP/1.1", "https", 0.0, 0.0
    )
    key = Key(id=id or user, user=user, services=frozenset({"*"}), batch=batch, weight=weight)
    return Exchange(arrival, Route("image", b"/image/api", frozenset({"POST"})), Caller(key))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def slots(clock):
    return Slots(clock, MemoryCounters(ZoneInfo("UTC")))


def ready(waiting):
    """(the Deferred, the list that its result lands in)."""
    told = []
    deferred = Deferred.fromCoroutine(waiting.ready())
    deferred.addBoth(told.append)
    return deferred, told


def test_without_a_bound_a_place_is_given_at_once(slots):
    assert isinstance(slots.ask(exchange(), Place("chat")), Ticket)


def test_a_free_place_is_given_without_waiting(slots):
    with pytest.raises(StopIteration) as ended:
        slots.enter(exchange(), GPU).send(None)
    assert isinstance(ended.value.value, Ticket)
    assert slots.load("image") == (1, 0)


def test_the_next_one_goes_up_when_a_place_is_given_back_exactly_once(slots, clock):
    first = slots.ask(exchange(), GPU)
    waits = [slots.ask(exchange(user), GPU) for user in ("bob", "carl")]
    results = [ready(wait)[1] for wait in waits]
    clock.advance(3)
    first.release()
    first.release()
    assert isinstance(results[0][0], Ticket) and results[0][0].queued == 3
    assert results[1] == [] and slots.load("image") == (1, 1)
    results[0][0].release()
    results[1][0].release()
    assert slots.load("image") == (0, 0)


def test_position_and_expected_wait_are_told(slots, clock):
    held = slots.ask(exchange(), GPU)
    waits = [slots.ask(exchange(user), GPU) for user in ("bob", "carl")]
    assert [(wait.position, wait.expected) for wait in waits] == [(1, None), (2, None)]
    assert slots.waiting("carl") == [waits[1]]
    clock.advance(10)
    results = [ready(wait)[1] for wait in waits]
    held.release()
    assert results[0] and (waits[1].position, waits[1].expected) == (1, 10)
    assert waits[0].position == 0


def test_who_leaves_frees_its_place_in_the_queue_at_once(slots):
    held = slots.ask(exchange(), GPU)
    bob, carl = slots.ask(exchange("bob"), GPU), slots.ask(exchange("carl"), GPU)
    cancelled, result = ready(bob)
    cancelled.cancel()
    assert result[0].check(CancelledError) and carl.position == 1 and slots.load("image") == (1, 1)
    carl.leave()
    held.release()
    assert slots.load("image") == (0, 0)
    assert isinstance(slots.ask(exchange(), GPU), Ticket)


def test_leaving_ends_the_wait_as_well(slots, clock):
    slots.ask(exchange(), GPU)
    bob = slots.ask(exchange("bob"), GPU)
    _, result = ready(bob)
    bob.leave()
    bob.leave()
    assert result[0].reason == "queue-full" and not clock.getDelayedCalls()


def test_who_was_let_in_and_left_gives_the_place_on(slots):
    held = slots.ask(exchange(), GPU)
    bob, carl = slots.ask(exchange("bob"), GPU), slots.ask(exchange("carl"), GPU)
    held.release()
    assert bob.position == 0
    bob.leave()
    assert isinstance(ready(carl)[1][0], Ticket)


def test_nobody_waits_longer_than_the_place_allows(slots, clock):
    slots.ask(exchange(), GPU)
    _, result = ready(slots.ask(exchange("bob"), GPU))
    clock.advance(59)
    assert not result
    clock.advance(1)
    assert (result[0].reason, result[0].status) == ("queue-full", 503) and result[0].retry_after >= 1
    assert slots.load("image") == (1, 0) and not clock.getDelayedCalls()


def test_a_full_queue_refuses_and_says_when_to_come_back(slots):
    slots.ask(exchange(), GPU)
    for _ in range(4):
        assert isinstance(slots.ask(exchange(), GPU), Waiting)
    told = slots.ask(exchange(), GPU)
    assert isinstance(told, Refusal) and told.reason == "queue-full" and 1 <= told.retry_after <= 60
    assert slots.load("image") == (1, 4)


def test_a_greedy_script_cannot_keep_others_out_of_a_full_queue(slots):
    slots.ask(exchange(), GPU)
    flood = [slots.ask(exchange(), GPU) for _ in range(4)]
    _, newest = ready(flood[-1])
    bob = slots.ask(exchange("bob"), GPU)
    assert isinstance(bob, Waiting) and newest[0].reason == "queue-full"
    assert slots.load("image") == (1, 4)
    assert isinstance(slots.ask(exchange(), GPU), Refusal)


def test_callers_take_turns_and_interactive_goes_before_batch(slots):
    held = slots.ask(exchange("night", batch=True), GPU)
    order = []
    for user, batch in (("night", True), ("night", True), ("alice", False), ("bob", False)):
        waiting = slots.ask(exchange(user, batch=batch), GPU)
        Deferred.fromCoroutine(waiting.ready()).addCallback(lambda ticket, user=user: order.append((user, ticket)))
    held.release()
    for turn in range(3):
        order[turn][1].release()
    assert [user for user, _ in order] == ["alice", "bob", "night", "night"]


def test_a_key_with_a_bound_waits_for_itself_and_not_before_the_hardware(slots):
    place = Place("chat", size=2, length=10)
    bound = (("key:alice", 1),)
    first = slots.ask(exchange(), place, bound)
    second = slots.ask(exchange(), place, bound)
    assert isinstance(first, Ticket) and isinstance(second, Waiting)
    assert isinstance(slots.ask(exchange("bob"), place), Ticket)
    first.release()
    assert isinstance(ready(second)[1][0], Ticket)


def test_a_bound_holds_over_requests_that_came_at_different_times(slots):
    place, bounds = Place("chat", size=8, length=50), (("key:a", 2), ("user:alice", 3))
    tickets, most = [], 0
    held = [slots.ask(exchange(id="a"), place, bounds) for _ in range(5)]
    for waiting in held:
        if isinstance(waiting, Ticket):
            tickets.append(waiting)
        else:
            Deferred.fromCoroutine(waiting.ready()).addCallback(tickets.append)
    others = [slots.ask(exchange(id="b"), place, (("key:b", 2), ("user:alice", 3))) for _ in range(5)]
    for waiting in others:
        if isinstance(waiting, Ticket):
            tickets.append(waiting)
        else:
            Deferred.fromCoroutine(waiting.ready()).addCallback(tickets.append)
    while tickets:
        most = max(most, slots.load("chat")[0])
        tickets.pop(0).release()
    assert most == 3
    assert slots.load("chat") == (0, 0) and set(slots._stages) == {"chat"}


def test_a_bound_that_somebody_is_on_the_way_to_is_the_same_for_all(slots):
    place, person = Place("chat", size=8), ("user:alice", 1)
    blocker = slots.ask(exchange(id="a"), place, (("key:a", 1),))
    on_the_way = slots.ask(exchange(id="a"), place, (("key:a", 1), person))
    slots.ask(exchange(id="b"), place, (person,)).release()
    other = slots.ask(exchange(id="c"), place, (person,))
    _, result = ready(on_the_way)
    blocker.release()
    assert isinstance(other, Ticket) and not result
    other.release()
    assert isinstance(result[0], Ticket)


def test_the_bounded_queue_counts_those_who_wait_for_their_own_key(slots):
    place = Place("chat", size=5, length=3)
    told = [slots.ask(exchange(), place, (("key:alice", 1),)) for _ in range(20)]
    assert [type(one) for one in told[:5]] == [Ticket, Waiting, Waiting, Waiting, Refusal]
    assert all(isinstance(one, Refusal) for one in told[4:])


def test_a_services_own_bound_narrows_its_places(slots):
    slots.ask(exchange(), Place("image", size=4), (("service:image", 1),))
    assert isinstance(slots.ask(exchange("bob"), Place("image", size=4), (("service:image", 1),)), Waiting)


def test_a_changed_size_counts_from_the_next_request_on(slots):
    slots.ask(exchange(), GPU)
    waiting = slots.ask(exchange(), GPU)
    wider = Place("image", size=3)
    assert isinstance(slots.ask(exchange("bob"), wider), Ticket)
    assert isinstance(ready(waiting)[1][0], Ticket)


def test_closing_turns_everyone_away(slots):
    slots.ask(exchange(), GPU)
    _, result = ready(slots.ask(exchange("bob"), GPU))
    slots.close()
    assert result[0].reason == "shutting-down"
    assert slots.ask(exchange(), GPU).reason == "shutting-down"


def test_work_that_never_reached_the_hardware_is_not_charged(slots, clock):
    ticket = slots.ask(exchange(), GPU)
    clock.advance(50)
    ticket.release(worked=False)
    assert slots._stages["image"].queue.average is None


def test_ten_thousand_waiting_cost_little_each(clock, slots):
    place = Place("image", size=1, length=20_000)
    for number in range(10_000):
        slots.ask(exchange(f"user{number % 3000}"), place)
    started = time.process_time()
    for number in range(300):
        waiting = slots.ask(exchange(f"new{number}"), place)
        assert waiting.position >= 1
        waiting.leave()
    assert (time.process_time() - started) / 300 < 1e-3


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_no_bound_is_exceeded_and_no_place_stays_empty(seed):
    chance, clock = random.Random(seed), Clock()
    slots = Slots(clock, MemoryCounters(ZoneInfo("UTC")))
    place, tickets, waiting, refused = Place("chat", size=4, length=12, wait=30.0), [], {}, 0

    def landed(result, mark):
        waiting.pop(mark, None)
        if isinstance(result, Ticket):
            tickets.append((mark, result))

    for step in range(600):
        what = chance.choice("aaaarrlt")
        if what == "a":
            user, key = f"u{chance.randrange(4)}", f"k{chance.randrange(2)}"
            bounds = ((f"key:{user}{key}", 2), (f"user:{user}", 3))
            asked = exchange(user, id=user + key, batch=chance.random() < 0.3, weight=chance.choice((1.0, 3.0)))
            told, mark = slots.ask(asked, place, bounds), (user, key, step)
            if isinstance(told, Ticket):
                tickets.append((mark, told))
            elif isinstance(told, Waiting):
                waiting[mark] = told
                Deferred.fromCoroutine(told.ready()).addCallback(landed, mark)
            else:
                refused += 1
        elif what == "r" and tickets:
            tickets.pop(chance.randrange(len(tickets)))[1].release()
        elif what == "l" and waiting:
            mark = chance.choice(list(waiting))
            waiting.pop(mark).leave()
        else:
            clock.advance(chance.random() * 5)
        by_key, by_user = Counter((m[0], m[1]) for m, _ in tickets), Counter(m[0] for m, _ in tickets)
        assert len(tickets) <= 4 and max(by_key.values(), default=0) <= 2 and max(by_user.values(), default=0) <= 3
        assert slots.load("chat") == (len(tickets), len(waiting)) and len(waiting) <= 12
        for stage in slots._stages.values():
            assert stage.held >= stage.size or not len(stage.queue)
    while tickets:
        tickets.pop()[1].release()
    for one in list(waiting.values()):
        one.leave()
    assert refused and slots.load("chat") == (0, 0) and set(slots._stages) <= {"chat"}


def test_hundreds_that_give_their_place_back_within_their_turn_are_all_served(slots):
    place = Place("image", size=1, length=2000)
    first = slots.ask(exchange(), place)
    served = []

    async def one(number):
        ticket = await slots.enter(exchange(), place)
        served.append(number)
        ticket.release()

    for number in range(1000):
        Deferred.fromCoroutine(one(number))
    first.release()
    assert served == list(range(1000)) and slots.load("image") == (0, 0)

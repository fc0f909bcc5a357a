import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.fairness import FLOOD, LONGEST_JOB, ZEAL, FirstCome, jain, simulate
from edge.core.fairness import PATIENCE, FairQueue


def drain(queue, seconds=lambda item: 1.0):
    """Items in the order of their turns, one place, each done before the next."""
    order = []
    while (item := queue.next()) is not None:
        order.append(item)
        queue.done(item, seconds(item))
    return order


def flood(queue, caller, count, **more):
    for number in range(count):
        queue.enter((caller, number), caller, **more)


def test_one_caller_is_served_in_order():
    queue = FairQueue()
    flood(queue, "a", 5)
    assert drain(queue) == [("a", number) for number in range(5)]
    assert queue.next() is None


def test_a_greedy_caller_does_not_delay_a_modest_one():
    queue = FairQueue()
    flood(queue, "greedy", 100)
    first = queue.next()
    queue.enter("modest", "modest")
    queue.done(first, 1.0)
    assert queue.next() == "modest"


def test_callers_get_turns_by_their_weight():
    queue = FairQueue()
    flood(queue, "a", 300, weight=3.0)
    flood(queue, "b", 300, weight=1.0)
    shares = Counter(caller for caller, _ in drain(queue)[:200])
    assert shares == {"a": 150, "b": 50}


def test_what_counts_is_the_time_on_the_hardware_and_not_the_number_of_jobs():
    queue = FairQueue()
    flood(queue, "long", 500)
    flood(queue, "short", 500)
    spent = Counter()
    while spent.total() < 400:
        item = queue.next()
        seconds = 10.0 if item[0] == "long" else 1.0
        spent[item[0]] += seconds
        queue.done(item, seconds)
    assert abs(spent["long"] - spent["short"]) <= 20


def test_interactive_goes_before_batch_and_batch_does_not_starve():
    queue = FairQueue()
    flood(queue, "night", 10, batch=True)
    flood(queue, "person", 40)
    turns = [caller for caller, _ in drain(queue)]
    assert turns[:PATIENCE] == ["person"] * PATIENCE
    assert turns[PATIENCE] == "night"
    assert turns[: 2 * (PATIENCE + 1)].count("night") == 2


def test_beside_a_batch_flood_a_person_waits_for_one_job_at_the_most():
    queue = FairQueue()
    flood(queue, "night", 1000, batch=True)
    for turn in range(50):
        running = queue.next()
        queue.enter(("person", turn), "person")
        queue.done(running, 1.0)
        served = queue.next()
        assert served == ("person", turn)
        queue.done(served, 1.0)


def test_who_was_away_has_saved_up_nothing():
    queue = FairQueue()
    flood(queue, "a", 200)
    flood(queue, "b", 1)
    for _ in range(100):
        queue.done(queue.next(), 1.0)
    flood(queue, "b", 100)
    flood(queue, "c", 100)
    turns = Counter()
    for _ in range(60):
        item = queue.next()
        turns[item[0]] += 1
        queue.done(item, 1.0)
    assert max(turns.values()) - min(turns.values()) <= 2


def test_leaving_frees_the_place_at_once_and_only_once():
    queue = FairQueue()
    flood(queue, "a", 3)
    assert queue.leave(("a", 0)) and not queue.leave(("a", 0))
    assert len(queue) == 2
    assert drain(queue) == [("a", 1), ("a", 2)]


def test_positions_tell_who_is_next():
    queue = FairQueue()
    flood(queue, "a", 3)
    flood(queue, "b", 1)
    flood(queue, "n", 1, batch=True)
    assert queue.position(("a", 0)) == 1
    assert queue.position(("b", 0)) == 2
    assert queue.position(("a", 1)) == 3
    assert queue.position(("a", 2)) == 4
    assert queue.position(("n", 0)) == 5
    assert queue.position("nobody") == 0


def test_what_did_nothing_costs_nothing_and_is_no_job_of_the_average():
    queue = FairQueue()
    queue.enter("x", "a")
    queue.done(queue.next(), None)
    queue.done("x", 1.0)
    assert queue.average is None
    queue.enter("x", "a")
    with pytest.raises(ValueError, match="once"):
        queue.enter("x", "a")


def test_nothing_is_remembered_of_an_idle_queue():
    queue = FairQueue()
    for number in range(1000):
        queue.enter(number, f"caller{number}")
    drain(queue)
    assert not queue._interactive._lines and not queue._interactive._order and not queue._interactive._debtors
    assert not queue._where and not queue._running


def test_callers_come_and_go_without_being_remembered():
    queue = FairQueue()
    flood(queue, "busy", 5000)
    for number in range(2000):
        queue.enter(number, f"caller{number}")
        for _ in range(2):
            queue.done(queue.next(), 1.0)
    remembered = len(queue._interactive._lines)
    assert remembered < 10
    for number in range(2000):
        queue.enter(number, f"other{number}")
        queue.leave(number)
    remembered = len(queue._interactive._lines)
    assert remembered < 10


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("eeeelnd"), st.integers(0, 4), st.booleans(), st.floats(0.1, 9)), max_size=200)
)
def test_whatever_happens_everyone_who_waits_is_served_once(steps):
    queue, waiting, running, number = FairQueue(), {}, [], 0
    for what, caller, batch, seconds in steps:
        if what == "e":
            number += 1
            queue.enter(number, str(caller), 1.0 + caller, batch)
            waiting[number] = caller
        elif what == "l" and waiting:
            assert queue.leave(next(iter(waiting)))
            del waiting[next(iter(waiting))]
        elif what == "n":
            item = queue.next()
            assert (item is None) == (not waiting)
            if item is not None:
                del waiting[item]
                running.append(item)
        elif what == "d" and running:
            queue.done(running.pop(), seconds)
        assert len(queue) == len(waiting)
        for item in waiting:
            assert 1 <= queue.position(item) <= len(waiting)
    assert sorted(drain(queue)) == sorted(waiting)


def test_ten_thousand_waiting_cost_little_each():
    queue = FairQueue()
    for number in range(10_000):
        queue.enter(number, f"caller{number % 5000}")
    started = time.process_time()
    for number in range(2000):
        queue.enter(-number - 1, f"new{number}")
        queue.position(-number - 1)
        queue.leave(-number - 1)
        queue.done(queue.next(), 1.0)
    # About 25 µs on the machine it was written on.
    assert (time.process_time() - started) / 2000 < 500e-6


def test_equal_callers_with_unequal_demand_get_the_same():
    got, _ = simulate(FairQueue(), ZEAL, 3000)
    assert jain([got[caller] for caller in ZEAL]) >= 0.99
    first_come, _ = simulate(FirstCome(), ZEAL, 3000)
    assert jain([first_come[caller] for caller in ZEAL]) < 0.6


@pytest.mark.parametrize("places", [1, 3])
def test_a_person_beside_a_batch_flood_waits_for_one_job_at_the_most(places):
    _, waits = simulate(FairQueue(), FLOOD, 3000, places)
    mine = [wait for caller, wait, _ in waits if caller == "person"]
    assert len(mine) > 100 and max(mine) <= LONGEST_JOB


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.booleans(), st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from([None, 4.0])
        ),
        max_size=30,
    ),
    st.lists(st.floats(0, 20), min_size=30, max_size=30),
)
def test_who_finds_a_free_place_is_charged_as_if_it_had_waited_for_no_time(entries, seconds):
    waited, free = FairQueue(), FairQueue()
    for number, (caller, batch, weight, hint) in enumerate(entries):
        waited.enter(number, caller, weight, batch, hint)
        assert waited.next() == number
        free.enter_free(number, caller, weight, batch, hint)
        if number % 3:
            for queue in (waited, free):
                queue.done(number - 1, seconds[number])
    for queue in (waited, free):
        flood(queue, "a", 4)
        flood(queue, "b", 4, weight=2.0)
        flood(queue, "c", 4, batch=True)
    assert waited.average == free.average
    assert drain(waited) == drain(free)

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from edge.core.buckets import NEVER, drained, idle, wait

SECOND = 1_000_000
PERIODS = st.sampled_from([SECOND, 60 * SECOND, 3600 * SECOND])


def run(amount, period, steps):
    """[(at, cost, passed)] of asking a bucket at each step's time."""
    state, told, now = [0, 0, amount], [], 0
    for step, cost in steps:
        now += step
        used = drained(state, amount, period, now)
        passed = wait(used, cost * period, amount, period) == 0
        if passed:
            state[0] = used + cost * period
        told.append((now, cost, passed))
    return told


@given(st.integers(1, 50), PERIODS, st.lists(st.tuples(st.integers(0, 90 * SECOND), st.integers(1, 5)), max_size=60))
def test_a_bucket_answers_exactly_as_a_bucket_of_fractions_does(amount, period, steps):
    level, last = Fraction(amount), 0
    for at, cost, passed in run(amount, period, steps):
        level = min(Fraction(amount), level + Fraction((at - last) * amount, period))
        last = at
        assert passed == (level >= cost)
        if passed:
            level -= cost


@given(st.integers(1, 20), PERIODS, st.lists(st.integers(0, 10 * SECOND), min_size=1, max_size=80))
def test_over_any_span_no_more_pass_than_the_bucket_and_its_refill(amount, period, steps):
    passed = [at for at, _, ok in run(amount, period, [(step, 1) for step in steps]) if ok]
    for i, first in enumerate(passed):
        for count, last in enumerate(passed[i:], 1):
            assert count <= amount * (1 + Fraction(last - first, period))


@given(st.integers(1, 1000), PERIODS)
def test_at_one_instant_exactly_n_pass(amount, period):
    assert sum(ok for _, _, ok in run(amount, period, [(0, 1)] * (amount + 7))) == amount


@given(st.integers(1, 20), st.lists(st.integers(-SECOND, SECOND), min_size=1, max_size=80))
def test_a_clock_that_goes_back_grants_nothing_twice(amount, steps):
    state, now, furthest, passed = [0, 100 * SECOND, amount], 100 * SECOND, 100 * SECOND, 0
    for step in steps:
        now = max(now + step, furthest - 60 * SECOND)
        furthest = max(furthest, now)
        used = drained(state, amount, 60 * SECOND, now)
        if wait(used, 60 * SECOND, amount, 60 * SECOND) == 0:
            state[0] = used + 60 * SECOND
            passed += 1
    assert passed <= amount * (1 + Fraction(furthest - 100 * SECOND, 60 * SECOND))


def test_a_clock_that_was_years_ahead_does_not_lock_anybody_out():
    state = [60 * SECOND, 10**9 * SECOND, 1]
    assert drained(state, 1, 60 * SECOND, 10**8 * SECOND) == 60 * SECOND
    assert drained(state, 1, 60 * SECOND, 10**8 * SECOND + 60 * SECOND) == 0


@given(st.integers(1, 50), PERIODS, st.integers(0, 200), st.integers(1, 60))
def test_after_the_wait_it_passes_and_a_microsecond_earlier_it_does_not(amount, period, used, cost):
    waiting = wait(used * period, cost * period, amount, period)
    if cost > amount:
        assert waiting == NEVER or used + cost <= amount
        return
    for more, expected in ((0, True), (-1, False)):
        if waiting + more >= 0 and (waiting or more == 0):
            left = drained([used * period, 0, amount], amount, period, waiting + more)
            assert (wait(left, cost * period, amount, period) == 0) == expected


def test_a_changed_amount_keeps_what_was_used():
    state = [30 * 60 * SECOND, 0, 60]
    assert wait(drained(state, 100, 60 * SECOND, 0), 70 * 60 * SECOND, 100, 60 * SECOND) == 0
    assert wait(drained(state, 100, 60 * SECOND, 0), 71 * 60 * SECOND, 100, 60 * SECOND) > 0
    assert wait(drained(state, 20, 60 * SECOND, 0), 60 * SECOND, 20, 60 * SECOND) == 33 * SECOND


def test_a_cost_of_nothing_needs_something_left():
    assert wait(60 * SECOND - 1, 0, 1, 60 * SECOND) == 0
    assert wait(60 * SECOND, 0, 1, 60 * SECOND) == 1


def test_idle_means_drained():
    assert not idle([60 * SECOND, 0, 1], 59 * SECOND)
    assert idle([60 * SECOND, 0, 1], 60 * SECOND)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.busy import REMEMBERED, Busy
from edge.core.use import Hardware, Price, Use, report


def test_prices_are_those_that_were_set():
    price = Price(
        per_1000_prompt_tokens=1.0, per_1000_completion_tokens=10.0, per_1000_characters=2.0, per_audio_minute=6.0, per_image=0.5,
        per_step=0.01, per_hour=36.0,
    )  # fmt: skip
    assert price.of(Use(prompt_tokens=500, completion_tokens=100)) == pytest.approx(0.5 + 1.0)
    assert price.of(Use(characters=1500, audio_seconds=30)) == pytest.approx(3.0 + 3.0)
    assert price.of(Use(images=2, steps=50, seconds=100)) == pytest.approx(1.0 + 0.5 + 1.0)


def test_electricity_is_shared_by_time_and_idle_stands_apart():
    rows = [("alice", "chat", Use(requests=3, seconds=3000)), ("bob", "chat", Use(requests=1, seconds=1000))]
    made = report(rows, {"chat": Hardware(busy=3600, up=7200)}, {"*": Price(watts=300, idle_watts=50)}, kwh=0.4)
    alice, bob = made.lines
    assert (alice.name, alice.kwh, alice.cost) == ("alice", pytest.approx(0.225), pytest.approx(0.09))
    assert (bob.kwh, bob.cost) == (pytest.approx(0.075), pytest.approx(0.03))
    assert made.total.kwh == pytest.approx(0.3)
    assert (made.idle_kwh, made.idle_cost) == (pytest.approx(0.05), pytest.approx(0.02))


def test_a_service_has_its_own_price_before_the_common_one():
    rows = [("a", "chat", Use(images=1)), ("a", "image", Use(images=1))]
    (line,) = report(rows, {}, {"image": Price(per_image=1.0), "*": Price(per_image=0.1)}, 0.0).lines
    assert line.cost == pytest.approx(1.1) and line.use.images == 2


def test_nothing_is_no_fault():
    made = report([], {}, {}, 0.3)
    assert made.total.use == Use() and made.idle_kwh == 0


jobs = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 30)), max_size=40)


@given(jobs)
def test_overlapping_jobs_count_once(made):
    ended = sorted((begin, begin + length) for begin, length in made)
    ended.sort(key=lambda job: job[1])
    busy = Busy()
    told = sum(busy.add(begin, end) for begin, end in ended)
    assert told == len({second for begin, end in ended for second in range(begin, end)})


def test_what_is_remembered_of_them_is_bounded():
    busy = Busy()
    for at in range(10_000):
        busy.add(at * 2.0, at * 2.0 + 1)
    assert len(busy._stretches) == REMEMBERED


def test_nobody_bears_more_work_than_was_done_for_them():
    rows = [("bob", "chat", Use(requests=1, seconds=36))]
    (bob,) = report(rows, {"chat": Hardware(busy=3600, up=3600)}, {"*": Price(watts=1000)}, 0.0).lines
    assert bob.kwh == pytest.approx(0.01)

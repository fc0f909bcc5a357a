"""Who takes the next request."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from edge.core.balance import Load, choose, choose_home

LOADS = st.lists(st.builds(Load, st.integers(0, 5), st.booleans()), max_size=6)


def test_nobody_is_chosen_from_nothing():
    assert choose([], 0) is None


def test_the_least_in_hand_is_chosen():
    assert choose([Load(3), Load(1), Load(2)], 7) == 1


def test_equals_take_turns():
    loads = [Load(1), Load(0), Load(0), Load(0)]
    assert Counter(choose(loads, turn) for turn in range(9)) == {1: 3, 2: 3, 3: 3}


def test_who_is_down_is_left_out():
    assert {choose([Load(0, well=False), Load(9)], turn) for turn in range(4)} == {1}


def test_where_all_are_down_one_is_tried():
    assert {choose([Load(0, well=False), Load(0, well=False)], turn) for turn in range(4)} == {0, 1}


@given(LOADS, st.integers(0, 1000))
def test_nobody_well_has_less_in_hand_than_who_is_chosen(loads, turn):
    chosen = choose(loads, turn)
    if not loads:
        assert chosen is None
        return
    well = [load for load in loads if load.well] or loads
    assert loads[chosen] in well
    assert loads[chosen].open == min(load.open for load in well)


NAMES = ["http://a", "http://b", "http://c"]
ALL = [Load(0)] * 3


def test_a_caller_has_one_home_whatever_it_has_in_hand():
    assert len({choose_home(NAMES, [Load(open), Load(0), Load(9 - open)], "key") for open in range(9)}) == 1
    assert choose_home([], [], "key") is None


def test_callers_are_spread_over_all():
    homes = Counter(choose_home(NAMES, ALL, f"key{number}") for number in range(300))
    assert set(homes) == {0, 1, 2} and min(homes.values()) > 60


@given(st.text(), st.integers(0, 2))
def test_who_is_down_loses_its_own_callers_only_and_gets_them_back(caller, down):
    home = choose_home(NAMES, ALL, caller)
    now = choose_home(NAMES, [Load(0, well=index != down) for index in range(3)], caller)
    assert now != down and (now == home or home == down)
    assert choose_home(NAMES, [Load(0, well=False)] * 3, caller) == home, "where all are down home is tried"

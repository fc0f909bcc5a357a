"""When a leaf is made anew, and how long it lives."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from edge.core.expiry import BACKDATE, DAY, LEAF_DAYS, Leaf, Life, leaf_life, why_renew

NOW = 1_800_000_000.0
NAMES = frozenset({"box", "box.local"})
ADDRESSES = frozenset({"192.168.1.2"})
CA = Life(NOW - 900 * DAY, NOW + 2700 * DAY)
LEAF = Leaf(Life(NOW, NOW + 90 * DAY), NAMES, ADDRESSES, b"ca")


def why(leaf: Leaf | None = LEAF, names=NAMES, addresses=ADDRESSES, issuer: bytes = b"ca", now: float = NOW) -> str:
    return why_renew(leaf, names, addresses, issuer, CA, now)


def test_a_leaf_that_fits_stays() -> None:
    assert why() == ""


def test_a_missing_leaf_and_a_new_ca_are_reasons() -> None:
    assert "none yet" in why(None)
    assert "another CA" in why(issuer=b"other")


def test_it_is_renewed_when_a_third_is_left_and_not_before() -> None:
    assert why(now=NOW + 59 * DAY) == ""
    assert "third" in why(now=NOW + 60 * DAY)
    assert "ended" in why(now=NOW + 90 * DAY)


def test_a_leaf_from_the_future_is_renewed() -> None:
    assert "clock" in why(now=NOW - 1)


def test_a_clock_from_before_the_ca_was_made_is_no_reason_and_a_leaf_made_then_stays_too() -> None:
    for never_set in (0.0, CA.begin - 3000 * DAY, CA.begin - 1):
        assert why(now=never_set) == ""
        made = leaf_life(never_set, CA)
        assert (made.begin, made.end) == (CA.begin, CA.begin + LEAF_DAYS * DAY)
        assert why(evolve(LEAF, life=made), now=never_set + 60) == ""
        assert "ended" in why(evolve(LEAF, life=made))


def test_new_and_lost_names_and_new_addresses_are_reasons_but_lost_addresses_are_not() -> None:
    assert "new.lan" in why(names=NAMES | {"new.lan"})
    assert "box.local" in why(names=frozenset({"box"}))
    assert "10.0.0.1" in why(addresses=ADDRESSES | {"10.0.0.1"})
    assert why(addresses=frozenset()) == ""


# A certificate's life is in whole seconds (RFC 5280 4.1.2.5), and fractions would not add up to the last digit.
@given(now=st.integers(10**9, 4 * 10**9), begin=st.integers(0, 4 * 10**9), days=st.floats(1, 4000))
def test_a_leaf_lives_within_its_ca_covers_now_and_needs_no_renewal_at_once(now: int, begin: int, days: float) -> None:
    ca = Life(begin, begin + days * DAY)
    if ca.end <= now:
        with pytest.raises(ValueError, match="ended"):
            leaf_life(now, ca)
        return
    life = leaf_life(now, ca)
    assert ca.begin <= life.begin
    assert now < life.end <= ca.end
    assert life.end - life.begin <= LEAF_DAYS * DAY
    if ca.begin <= now - BACKDATE and ca.end - now > DAY:
        assert why_renew(evolve(LEAF, life=life), NAMES, ADDRESSES, b"ca", ca, now) == ""

"""Keys and their successors."""

import pytest

from edge.core.rotation import GRACE, WEEK, ends_soon, may_rotate, opens, succession
from edge.testing import key

DAY = 86_400.0
NOW = 1_000_000_000.0


def test_a_key_may_fetch_its_successor_in_its_last_week() -> None:
    made = key(rotate_every=90 * DAY, expires=NOW + 90 * DAY)
    assert may_rotate(made, NOW) is not None
    assert may_rotate(made, NOW + 83 * DAY - 1) is not None
    assert may_rotate(made, NOW + 83 * DAY) is None


def test_of_a_short_life_it_is_the_last_half() -> None:
    assert opens(key(rotate_every=DAY, expires=NOW + DAY)) == NOW + DAY / 2


def test_a_key_that_was_not_made_for_it_never_may() -> None:
    refusal = may_rotate(key(expires=NOW + 1), NOW)
    assert refusal is not None
    assert refusal.status == 403
    assert may_rotate(key(rotate_every=DAY), NOW) is None


def test_the_successor_has_the_rules_and_another_period_and_the_old_one_a_grace() -> None:
    old = key(rotate_every=90 * DAY, expires=NOW + 5 * DAY, models=("gemma*",), not_before=NOW - DAY)
    new, ending = succession(old, "00000002", NOW)
    assert (new.id, new.user, new.models, new.expires, new.not_before) == (
        "00000002",
        "alice",
        ("gemma*",),
        NOW + 90 * DAY,
        None,
    )
    assert ending.expires == NOW + GRACE
    assert ending.id == old.id


def test_a_key_that_is_still_to_begin_has_a_successor_that_begins_then_too() -> None:
    begins = NOW + 30 * DAY
    new, _ = succession(key(not_before=begins), "00000002", NOW)
    assert (new.not_before, new.expires) == (begins, None)
    new, _ = succession(key(not_before=begins, rotate_every=DAY, expires=begins + 9 * DAY), "00000002", NOW)
    assert (new.not_before, new.expires) == (begins, begins + DAY)
    new, _ = succession(key(not_before=NOW), "00000002", NOW)
    assert new.not_before is None


def test_the_old_one_never_lives_longer_than_it_would_have() -> None:
    _, ending = succession(key(expires=NOW + 60), "00000002", NOW, grace=DAY)
    assert ending.expires == NOW + 60
    new, ending = succession(key(expires=NOW + 9 * DAY), "00000002", NOW, grace=-5)
    assert (new.expires, ending.expires) == (NOW + 9 * DAY, NOW)


def test_a_key_that_is_off_or_over_has_no_successor() -> None:
    with pytest.raises(ValueError, match="switched off"):
        succession(key(disabled=True), "00000002", NOW)
    with pytest.raises(ValueError, match="expired"):
        succession(key(expires=NOW), "00000002", NOW)


def test_the_last_seven_days_are_told() -> None:
    assert ends_soon(key(), NOW) == b""
    assert ends_soon(key(expires=NOW + WEEK + 1), NOW) == b""
    assert ends_soon(key(expires=NOW + WEEK), NOW) == b"x-aigate-key-expires: 2001-09-16T01:46:40Z\r\n"

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from edge.core.budgets import Calendar, used, window

BERLIN = ZoneInfo("Europe/Berlin")


def at(text, zone=BERLIN):
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def test_a_day_begins_and_ends_at_midnight_of_its_zone():
    day = window("day", at("2026-11-22T13:00"), BERLIN)
    assert (day.start, day.end) == (at("2026-11-22T00:00"), at("2026-11-23T00:00"))
    assert window("day", at("2026-11-22T23:59:59"), BERLIN) == day
    assert window("day", at("2026-11-23T00:00"), BERLIN).number == day.number + 1


def test_a_day_has_as_many_hours_as_the_clocks_give_it():
    spring, autumn = window("day", at("2026-03-29T12:00"), BERLIN), window("day", at("2026-10-25T12:00"), BERLIN)
    assert spring.end - spring.start == 23 * 3600
    assert autumn.end - autumn.start == 25 * 3600


def test_a_month_ends_where_the_next_begins_also_in_december():
    december = window("month", at("2026-12-31T23:00"), BERLIN)
    assert (december.start, december.end) == (at("2026-12-01T00:00"), at("2027-01-01T00:00"))
    assert window("month", december.end, BERLIN).number == december.number + 1


@given(
    st.floats(0, 4e9), st.sampled_from(["day", "month"]), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"])
)
def test_every_moment_lies_in_its_window(now, period, zone):
    found = window(period, now, ZoneInfo(zone))
    assert found.start <= now < found.end
    assert Calendar(ZoneInfo(zone)).at(period, now) == found


def test_a_calendar_looks_again_when_a_period_ends_or_the_clock_goes_back():
    calendar = Calendar(BERLIN)
    today = calendar.at("day", at("2026-11-22T12:00"))
    assert calendar.at("day", at("2026-11-22T23:00")) is today
    assert calendar.at("day", at("2026-11-23T00:00")).number == today.number + 1
    assert calendar.at("day", at("2026-11-21T00:00")).number == today.number - 1


def test_a_new_period_starts_at_nothing_and_an_earlier_one_keeps_what_was_used():
    today, yesterday = window("day", 1e9, UTC), window("day", 1e9 - 86400, UTC)
    long_ago = window("day", 1e9 - 10 * 86400, UTC)
    assert used(None, today) == (today.number, 0)
    assert used((today.number, 7), today) == (today.number, 7)
    assert used((yesterday.number, 7), today) == (today.number, 0)
    assert used((today.number, 7), yesterday) == (today.number, 7)
    assert used((today.number, 7), long_ago) == (long_ago.number, 7)

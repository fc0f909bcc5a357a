"""Hours of the week, on the clocks of a time zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.hours import DAYS, hours

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN) -> float:
    """Unix seconds of a wall time, or of an instant where the text has an offset."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        # 2025-06-02 is a Monday.
        ("mon-fri 15:00-20:00", ["02T15:00:00", "06T19:59:59"], ["02T14:59:59", "06T20:00:00", "07T16:00", "08T16:00"]),
        ("sat 10:00-22:00", ["07T10:00", "07T21:59"], ["06T10:00", "08T10:00", "07T22:00"]),
        ("fri-mon 12:00-13:00", ["06T12:00", "07T12:00", "08T12:00", "09T12:00"], ["05T12:00", "10T12:00"]),
        ("08:00-09:00", [f"{day:02}T08:30" for day in range(2, 9)], ["02T09:00", "08T07:59"]),
        ("00:00-24:00", ["02T00:00", "02T23:59:59", "08T12:00"], []),
        (
            "fri 22:00-02:00",
            ["06T22:00", "06T23:59:59", "07T00:00", "07T01:59:59"],
            ["06T01:00", "07T02:00", "07T22:00"],
        ),
        ("sun 23:00-01:00", ["08T23:30", "09T00:30", "02T00:30"], ["02T23:30"]),
        ("tue 20:00-00:00", ["03T23:59:59"], ["04T00:00"]),
        (
            "mon 08:00-09:00, mon 10:00-11:00, Tue 12:00-13:00",
            ["02T08:00", "02T10:59", "03T12:00"],
            ["02T09:00", "03T08:00"],
        ),
    ],
)
def test_spans_begin_with_their_first_second_and_end_before_their_last(text, inside, outside):
    made = hours(text, BERLIN)
    assert all(made.covers(at(f"2025-06-{moment}")) for moment in inside)
    assert not any(made.covers(at(f"2025-06-{moment}")) for moment in outside)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a span"),
        ("mon", "is not a span"),
        ("mon-fri", "is not a span"),
        ("15:00", "is not a span"),
        ("15-20", "is not a span"),
        ("mon 5:00-6:00", "is not a span"),
        ("mon  05:00-06:00", "is not a span"),
        ("mon 05:00-06:00,", "is not a span"),
        ("mo 05:00-06:00", "is not a span"),
        ("mon-xyz 05:00-06:00", "the days are mon, tue"),
        ("abc 05:00-06:00", "the days are mon, tue"),
        ("mon 24:00-24:00", "from 00:00 to 24:00"),
        ("mon 23:00-24:01", "from 00:00 to 24:00"),
        ("mon 05:60-06:00", "from 00:00 to 24:00"),
        ("mon 05:00-06:99", "from 00:00 to 24:00"),
        ("mon 05:00-05:00", "an empty span; a whole day is 00:00-24:00"),
    ],
)
def test_what_is_no_span_is_told(text, said):
    with pytest.raises(ValueError, match=r"span|days|hours") as caught:
        hours(text, BERLIN)
    assert said in str(caught.value)


@pytest.mark.parametrize("zone", ["", "Mars", "Europe", "../../etc/passwd", "/etc/passwd", "a\x00b", "x" * 5000])
def test_what_is_no_zone_is_told(zone):
    with pytest.raises(ValueError, match="is not a time zone; write it like Europe/Berlin"):
        hours("00:00-24:00", zone)


def test_the_hour_that_comes_twice_counts_twice():
    # On 2025-10-26 the clocks of Berlin go from 03:00 back to 02:00, at 01:00 UTC.
    made = hours("sun 02:00-03:00", BERLIN)
    begin = at("2025-10-26T00:00:00+00:00")
    assert [made.covers(begin + minute * 60) for minute in (-1, 0, 59, 60, 119, 120)] == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]


def test_the_hour_that_never_comes_covers_nothing():
    # On 2025-03-30 they go from 02:00 on to 03:00, at 01:00 UTC.
    made = hours("sun 02:00-03:00", BERLIN)
    begin = int(at("2025-03-30T00:00:00+01:00"))
    assert not any(made.covers(begin + second) for second in range(0, 23 * 3600, 60))
    around = hours("sun 01:30-03:30", BERLIN)
    covered = [second for second in range(0, 23 * 3600, 60) if around.covers(begin + second)]
    assert len(covered) == 60
    assert (covered[0], covered[-1]) == (90 * 60, 149 * 60)


def test_a_span_over_midnight_into_a_short_day_ends_on_the_clock():
    made = hours("sat 23:00-04:00", BERLIN)
    begin = at("2025-03-29T23:00")
    assert made.covers(begin + 4 * 3600 - 1)
    assert not made.covers(begin + 4 * 3600)


SPANS = st.builds(
    lambda first, last, begin, end: (first, last, begin, end),
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(0, 1439),
    st.integers(1, 1440),
).filter(lambda span: span[2] != span[3])
ZONES = st.sampled_from(["UTC", BERLIN, "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"])
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))


@given(st.lists(SPANS, min_size=1, max_size=4), ZONES, MOMENTS)
def test_every_moment_is_judged_by_the_wall_clock_of_the_zone(spans, zone, moment):
    text = ", ".join(
        f"{DAYS[first]}-{DAYS[last]} {begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
        for first, last, begin, end in spans
    )
    wall = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)

    def covered(first: int, last: int, begin: int, end: int) -> bool:
        # A span belongs to the day on which it begins: today, or yesterday when it runs past midnight.
        days = {(first + step) % 7 for step in range((last - first) % 7 + 1)}
        minute = wall.hour * 60 + wall.minute
        if begin < end:
            return wall.weekday() in days and begin <= minute < end
        yesterday = (wall - timedelta(days=1)).weekday()
        return (wall.weekday() in days and minute >= begin) or (yesterday in days and minute < end)

    assert hours(text, zone).covers(moment.timestamp()) == any(covered(*span) for span in spans)

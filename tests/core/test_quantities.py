"""Durations, sizes and limits as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.quantities import BYTES, LONGEST, PERIODS, SECONDS, UNITS, Limit, duration, limit, size

AMOUNTS = st.integers(1, 10**15 - 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("5s", 5),
        ("10m", 600),
        ("24h", 86400),
        ("30d", 2592000),
        ("1.5h", 5400),
        ("0s", 0),
        (" 5s ", 5),
    ],
)
def test_durations(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 s", "-5s", "+5s", "5S", "5min", "1e3s", ".5s", "5.s", "\u0665s", "5s5s", "5s\n5s", "∞s"]
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match=r"is not a duration; write it like 250ms, 5s, 10m, 24h or 30d"):
        duration(text)


@given(st.integers(0, 10**9), st.sampled_from(sorted(SECONDS)))
def test_a_duration_is_its_number_of_units_up_to_a_hundred_years(number, unit):
    if number * SECONDS[unit] > LONGEST:
        with pytest.raises(ValueError, match="at most 36525d"):
            duration(f"{number}{unit}")
    else:
        assert duration(f"{number}{unit}") == number * SECONDS[unit]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("500", 500),
        ("500B", 500),
        ("500 KB", 500_000),
        ("64 KiB", 65536),
        ("64KiB", 65536),
        ("2 GiB", 2**31),
        ("1 TiB", 2**40),
    ],
)
def test_sizes(text, count):
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "KiB", "1.5 GiB", "-1", "1 kb", "1 K", "1  KiB", "1 KIB", "0x10", "1_000", "²"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match=r"is not a size; write it like"):
        size(text)


@given(AMOUNTS, st.sampled_from(sorted(BYTES)), st.booleans())
def test_a_size_is_its_number_of_units(number, unit, space):
    assert size(f"{number}{' ' if space else ''}{unit}") == number * BYTES[unit]


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("60/minute", Limit(60, "requests", "minute")),
        ("60 / minute", Limit(60, "requests", "minute")),
        ("60 requests/minute", Limit(60, "requests", "minute")),
        ("100000 tokens/day", Limit(100000, "tokens", "day")),
        ("concurrent=2", Limit(2, "concurrent", "")),
        ("concurrent = 2", Limit(2, "concurrent", "")),
    ],
)
def test_limits(text, made):
    assert limit(text) == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a limit; write it like"),
        ("60", "is not a limit"),
        ("60/", "is not a limit"),
        ("/minute", "is not a limit"),
        ("-1/minute", "is not a limit"),
        ("1.5/minute", "is not a limit"),
        ("60/Minute", "is not a limit"),
        ("60 per minute", "is not a limit"),
        ("60tokens/minute", "is not a limit"),
        ("60/minutes", "'minutes' is not a period; the periods are second, minute, hour, day, month"),
        ("60/year", "'year' is not a period"),
        ("60 cows/minute", "'cows' is not a unit; the units are requests, tokens"),
        ("60 concurrent/minute", "'concurrent' is not a unit"),
        ("0/minute", "a limit is at least 1"),
        ("concurrent=0", "a limit is at least 1"),
        ("concurrent=-1", "is not a limit"),
    ],
)
def test_what_is_no_limit(text, said):
    with pytest.raises(ValueError, match=r"is not|at least") as caught:
        limit(text)
    assert said in str(caught.value)


@given(AMOUNTS, st.sampled_from(UNITS), st.sampled_from(sorted(PERIODS)))
def test_a_limit_reads_back_as_it_is_shown(amount, unit, period):
    made = Limit(amount, unit, period)
    assert limit(str(made)) == made
    assert made.calendar == (period in ("day", "month"))


@given(st.integers(1, 999_999))
def test_a_limit_of_what_is_open_at_once_reads_back_too(amount):
    made = Limit(amount, "concurrent", "")
    assert limit(str(made)) == made
    assert not made.calendar


@given(st.text(max_size=20))
def test_any_other_text_is_a_value_error_and_nothing_else(text):
    for parse in (duration, size, limit):
        try:
            parse(text)
        except ValueError as error:
            assert repr(text.strip()) in str(error) or repr(text) in str(error)

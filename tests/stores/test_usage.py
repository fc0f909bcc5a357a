import sqlite3
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from edge.core.use import NAMES, QUARTER, Hardware, Price, Use, report
from edge.errors import StoreError
from edge.stores.usage import FILE, HOURS, Batch, UsageStore

HOUR = 3600.0
DAY = 24 * HOUR
NOW = 1_790_000_000.0


@pytest.fixture
def store(tmp_path):
    made = UsageStore(tmp_path, ZoneInfo("Europe/Berlin"), keep=100 * DAY, now=lambda: NOW)
    yield made
    made.close()


def batch(at=NOW, user="alice", key="1a2b3c4d", model="gemma3", **sums):
    row = tuple(float({"requests": 1, **sums}.get(name, 0)) for name in NAMES)
    return Batch({(int(at // QUARTER), key, user, "chat", model): row}, {"chat": Hardware(1.0, 2.0)}, {key: at})


def test_sums_grow_and_are_told_by_whatever_one_asks(store):
    store.add(batch(tokens=10, seconds=1.5))
    store.add(batch(tokens=5))
    store.add(batch(user="bob", key="5e6f7a8b", model=""))
    assert store.sums("user", NOW - DAY) == [("alice", "chat", Use(2, seconds=1.5, tokens=15)), ("bob", "chat", Use(1))]
    assert [name for name, _, _ in store.sums("key", NOW - DAY)] == ["1a2b3c4d", "5e6f7a8b"]
    assert [name for name, _, _ in store.sums("model", NOW - DAY)] == ["", "gemma3"]
    assert store.sums("service", NOW - DAY)[0][2].requests == 3
    assert store.hardware(NOW - DAY) == {"chat": Hardware(3.0, 6.0)}
    assert store.last_used() == {"1a2b3c4d": NOW, "5e6f7a8b": NOW}


def test_spans_begin_and_end_where_one_says(store):
    for hours in (0, 5, 30, 24 * 60):
        store.add(batch(NOW - hours * HOUR))
    assert store.sums("user", NOW - HOUR)[0][2].requests == 1
    assert store.sums("user", NOW - 6 * HOUR)[0][2].requests == 2
    assert store.sums("user", NOW - 40 * HOUR)[0][2].requests == 3
    assert store.sums("user", NOW - 90 * DAY)[0][2].requests == 4
    assert store.sums("user", NOW - 40 * HOUR, NOW - 10 * HOUR)[0][2].requests == 1
    assert [name for name, _, _ in store.sums("hour", NOW - 6 * HOUR)] == ["2026-09-21T09:00Z", "2026-09-21T14:00Z"]


def local(zone, day, clock="00:00"):
    return datetime.fromisoformat(f"2026-09-{day:02} {clock}").replace(tzinfo=zone).timestamp()


def asked(store, by, since, until=None):
    return sum(use.requests for _, _, use in store.sums(by, since, until))


@pytest.mark.parametrize(
    "zone", [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu")]
)
@pytest.mark.parametrize("now", [NOW, NOW + 60 * DAY])
def test_the_end_of_a_span_is_not_in_it_so_that_days_side_by_side_add_up(tmp_path, zone, now):
    store = UsageStore(tmp_path, zone, now=lambda: now)
    for day in (14, 15, 16):
        for clock in ("00:00", "00:10", "10:30", "23:50"):
            store.add(batch(local(zone, day, clock)))
    for by in ("day", "user"):
        for day in (14, 15, 16):
            assert asked(store, by, local(zone, day), local(zone, day + 1)) == 4
        assert asked(store, by, local(zone, 14), local(zone, 17)) == asked(store, by, local(zone, 14)) == 12
        assert asked(store, by, local(zone, 14), local(zone, 14)) == 0
    assert [name for name, _, _ in store.sums("day", local(zone, 14), local(zone, 16))] == ["2026-09-14", "2026-09-15"]
    store.close()


def test_hours_that_a_span_touches_count_whole(store):
    zone = store.zone
    for clock in ("10:00", "10:50", "11:10"):
        store.add(batch(local(zone, 20, clock)))
    for since, until, found in (
        ("10:00", "11:00", 2),
        ("10:30", "10:40", 2),
        ("10:30", "11:30", 3),
        ("11:00", "12:00", 1),
    ):
        assert asked(store, "user", local(zone, 20, since), local(zone, 20, until)) == found
        assert asked(store, "hour", local(zone, 20, since), local(zone, 20, until)) == found


def test_what_was_asked_soon_after_midnight_counts_for_that_day_in_zones_of_half_and_quarter_hours(tmp_path):
    for name in ("Asia/Kolkata", "Asia/Kathmandu", "Australia/Eucla"):
        (tmp_path / name[-5:]).mkdir()
        store = UsageStore(tmp_path / name[-5:], ZoneInfo(name), now=lambda: NOW)
        store.add(batch(local(store.zone, 15, "00:10")))
        assert [day for day, _, _ in store.sums("day", NOW - 30 * DAY)] == ["2026-09-15"]
        store.close()


def test_electricity_is_that_of_the_hours_that_are_asked_about(tmp_path):
    now = [NOW - 8 * HOUR]
    store = UsageStore(tmp_path, ZoneInfo("Europe/Berlin"), now=lambda: now[0])
    prices = {"chat": Price(watts=1000, idle_watts=100)}
    for user, seconds in (("alice", 1800.0), ("bob", 360.0)):
        made = batch(now[0], user, seconds=seconds)
        store.add(Batch(made.rows, {"chat": Hardware(seconds, 3600.0)}, made.last))
        now[0] += 7 * HOUR
    now[0] = NOW
    (bob,) = (made := report(store.sums("user", NOW - 2 * HOUR), store.hardware(NOW - 2 * HOUR), prices, 0.0)).lines
    assert (bob.name, bob.kwh, made.idle_kwh) == ("bob", pytest.approx(0.1), pytest.approx(0.09))
    for by in ("user", "day"):
        made = report(store.sums(by, NOW - DAY), store.hardware(NOW - DAY, None, by), prices, 0.0)
        assert (made.total.kwh, made.idle_kwh) == (pytest.approx(0.6), pytest.approx(0.14))
    store.close()


def test_a_record_of_before_keeps_its_hardware_by_day(store):
    for hours in (50, 0):
        store.now = lambda hours=hours: NOW - hours * HOUR
        store.add(batch())
    store.close()
    old = sqlite3.connect(store.folder / FILE)
    old.executescript("DROP TABLE hardware_hours; PRAGMA user_version = 2;")
    old.close()
    assert store.hardware(NOW - 10 * DAY) == {"chat": Hardware(2.0, 4.0)}
    assert store.hardware(NOW - 30 * HOUR) == store.hardware(NOW - HOUR, None, "day") == {"chat": Hardware(1.0, 2.0)}


def test_days_begin_at_midnight_of_the_configured_zone(store):
    assert store.day(1_790_031_000.0) == "2026-09-22"
    assert UsageStore(store.folder, ZoneInfo("UTC")).day(1_790_031_000.0) == "2026-09-21"


def test_what_is_older_than_it_is_kept_goes(store):
    store.add(batch(NOW - (HOURS + 2) * HOUR))
    store.add(batch(NOW - 101 * DAY))
    store.add(batch())
    store._pruned = 0
    store.add(batch())
    (hours,) = store._open().execute("SELECT count(*) FROM hours").fetchone()
    (days,) = store._open().execute("SELECT count(*) FROM days").fetchone()
    assert (hours, days) == (1, 2)


def test_nothing_is_kept_longer_than_one_says(tmp_path):
    store = UsageStore(tmp_path, ZoneInfo("UTC"), keep=5 * DAY, now=lambda: NOW)
    for days in (20, 4):
        store.now = lambda days=days: NOW - days * DAY
        store.add(batch(NOW - days * DAY))
    store.now = lambda: NOW
    store.add(batch())
    for table in ("hours", "days", "hardware", "hardware_hours"):
        assert store._open().execute(f"SELECT count(*) FROM {table}").fetchone() == (2,)
    store.close()


def test_a_batch_is_added_whole_or_not_at_all(store):
    store.add(batch())
    broken = batch()
    with pytest.raises(StoreError):
        store.add(Batch(broken.rows, {"chat": Hardware("x" * 3, None)}, broken.last))  # type: ignore[arg-type]
    assert store.sums("user", NOW - DAY)[0][2].requests == 1


def test_a_file_that_is_none_is_told(tmp_path):
    (tmp_path / FILE).write_bytes(b"not a database at all, whatever it is called" * 100)
    with pytest.raises(StoreError, match=r"usage\.sqlite"):
        UsageStore(tmp_path, ZoneInfo("UTC")).add(batch())

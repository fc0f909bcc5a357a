from zoneinfo import ZoneInfo

import pytest

from edge.core.use import NAMES, Hardware, Use
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
    return Batch({(int(at // HOUR), key, user, "chat", model): row}, {"chat": Hardware(1.0, 2.0)}, {key: at})


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

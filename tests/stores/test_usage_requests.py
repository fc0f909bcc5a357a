import sqlite3
from zoneinfo import ZoneInfo

import pytest

from edge.stores.usage import FILE, Batch, UsageStore
from edge.stores.usage_requests import AT_ONCE, NAMES

DAY = 86_400.0
NOW = 1_790_000_000.0


@pytest.fixture
def store(tmp_path):
    made = UsageStore(tmp_path, ZoneInfo("UTC"), requests=1000, keep_requests=10 * DAY, now=lambda: NOW)
    yield made
    made.close()


def row(number=0, at=NOW, user="alice", **about):
    plain = {
        "at": at, "request": f"r{number:08d}", "key": "1a2b3c4d", "user": user, "service": "chat", "model": "gemma3",
        "status": 200, "reason": "", "ended": "complete", "sent": 5, "received": 4, "seconds": 2.5, "waited": 0.1, "units": "",
    }  # fmt: skip
    return tuple({**plain, **about}[name] for name in NAMES)


def add(store, *rows):
    store.add(Batch({}, {}, {}, rows))


def count(store):
    return store._open().execute("SELECT count(*) FROM requests").fetchone()[0]


def test_requests_come_back_as_they_were_newest_first(store):
    add(store, row(1), row(2, at=NOW + 1, units='{"tokens":150,"images":1.5}', status=502, reason="upstream-broken"))
    second, first = store.newest(NOW - DAY)
    assert (second.request, second.status, second.reason) == ("r00000002", 502, "upstream-broken")
    assert second.units == {"tokens": 150, "images": 1.5} and first.units == {}
    assert (first.at, first.user, first.seconds, first.waited, first.sent, first.received) == (
        NOW,
        "alice",
        2.5,
        0.1,
        5,
        4,
    )


def test_a_listing_is_narrowed_by_time_and_by_who(store):
    add(store, row(1, at=NOW - 2 * DAY), row(2, user="bob"), row(3, service="tts"), row(4, key="5e6f7a8b"))
    assert [one.request[-1] for one in store.newest(NOW - DAY)] == ["4", "3", "2"]
    assert [one.request[-1] for one in store.newest(0, NOW - DAY)] == ["1"]
    assert [one.request[-1] for one in store.newest(0, None, 1)] == ["4"]
    assert [one.request[-1] for one in store.newest(0, NOW)] == ["1"], "the end is not included"
    for only, found in (({"user": "bob"}, "2"), ({"service": "tts"}, "3"), ({"key": "5e6f7a8b", "user": "alice"}, "4")):
        assert [one.request[-1] for one in store.newest(0, only=only)] == [found]
    assert store.newest(0, only={"user": "bob' OR '1'='1"}) == []


@pytest.mark.parametrize("size", [1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE + 7])
def test_batches_of_every_size_keep_their_order(store, size):
    add(store, *(row(number) for number in range(size)))
    assert [one.request for one in reversed(store.newest(0, limit=1000))] == [
        f"r{number:08d}" for number in range(size)
    ]


def test_never_more_than_so_many_are_kept(store):
    for start in range(0, 5000, 250):
        add(store, *(row(start + number) for number in range(250)))
        assert count(store) <= 1000
    assert store.newest(0)[0].request == "r00004999" and count(store) == 1000
    add(store, *(row(number) for number in range(3000)))
    assert count(store) == 1000


def test_none_are_kept_where_none_are_wanted(tmp_path):
    store = UsageStore(tmp_path, ZoneInfo("UTC"), requests=0, now=lambda: NOW)
    add(store, row())
    assert store.newest(0) == []
    store.close()


def test_what_is_older_than_it_is_kept_goes(store):
    add(store, *(row(number, at=NOW - (20 - number) * DAY) for number in range(20)))
    store._pruned = 0
    add(store)
    assert [one.at for one in store.newest(0)][-1] == NOW - 10 * DAY and count(store) == 10
    add(store, row(21, at=NOW - 30 * DAY))
    store.now = lambda: NOW + 30 * DAY
    add(store)
    assert count(store) == 0


def test_a_smaller_number_counts_for_what_is_there_already(tmp_path, store):
    add(store, *(row(number) for number in range(500)))
    store.close()
    fewer = UsageStore(tmp_path, ZoneInfo("UTC"), requests=20, now=lambda: NOW)
    add(fewer)
    assert count(fewer) == 20 and fewer.newest(0)[0].request == "r00000499"
    fewer.close()


def test_a_record_of_before_is_upgraded_with_a_copy_and_loses_nothing(tmp_path, store):
    store.add(Batch({(1, "k", "alice", "chat", ""): (1.0,) * 13}, {}, {"k": NOW}))
    store.close()
    old = sqlite3.connect(tmp_path / FILE)
    old.executescript("DROP TABLE requests; DROP TABLE hardware_hours; PRAGMA user_version = 1;")
    old.close()
    add(store, row())
    assert len(store.newest(0)) == 1 and store.last_used() == {"k": NOW}
    assert (tmp_path / f"{FILE}.v1.bak").stat().st_mode & 0o777 == 0o600

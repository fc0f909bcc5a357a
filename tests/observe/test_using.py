import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge.core.use import NAMES, QUARTER
from edge.errors import StoreError
from edge.observe.using import HELD, WAITING, Using
from edge.stores.usage import Batch
from tests.observe.made import AT, arrival, by, outcome, refused


class Store:
    def __init__(self):
        self.batches: list[Batch] = []
        self.fails = False

    def add(self, batch):
        if self.fails:
            raise StoreError("the disk is full")
        self.batches.append(batch)

    def sums(self):
        return {
            mark: dict(zip(NAMES, sums, strict=True)) for batch in self.batches for mark, sums in batch.rows.items()
        }


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def using(store, clock):
    return Using(store, Batch, ("chat",), now=lambda: AT, monotonic=lambda: clock[0])


def test_requests_are_summed_by_quarter_of_an_hour_key_user_service_and_model(using, store):
    using([outcome(), outcome(), outcome(status=502, ended="upstream-broken")])
    using.flush()
    ((mark, sums),) = store.sums().items()
    assert mark == (int(AT) // QUARTER, "1a2b3c4d", "alice", "chat", "gemma3:4b")
    assert (sums["requests"], sums["errors"], sums["tokens"], sums["completion_tokens"]) == (3, 1, 450, 300)
    assert sums["seconds"] == pytest.approx(3 * 2.4) and sums["waited"] == pytest.approx(0.3)
    assert store.batches[0].last == {"1a2b3c4d": AT + 2.5}


def test_hardware_that_serves_two_at_once_is_busy_once(using, store, clock):
    clock[0] = 60.0
    using([outcome(arrival(started=100.0), queued=0.0, seconds=10.0)])
    using([outcome(arrival(started=105.0), queued=0.0, seconds=10.0)])
    using.flush()
    assert store.batches[0].hardware["chat"].busy == pytest.approx(15.0)
    assert store.batches[0].hardware["chat"].up == pytest.approx(60.0)


def test_a_tunnel_that_idles_all_day_is_no_work(using, store):
    using([outcome(arrival(upgrade=b"websocket"), seconds=86_400.0)])
    using.flush()
    (sums,) = store.sums().values()
    assert sums["requests"] == 1 and sums["seconds"] == 0 and store.batches[0].hardware["chat"].busy == 0


def test_strangers_use_nothing(using, store):
    using([refused()])
    using.flush()
    assert store.batches == []


def test_what_cannot_be_written_waits_and_is_added_to(using, store):
    store.fails = True
    using([outcome()])
    using.flush()
    assert using.problem
    using([outcome()])
    store.fails = False
    using.flush()
    (sums,) = store.sums().values()
    assert sums["requests"] == 2 and not using.problem


def test_what_waits_is_bounded_and_no_sum_is_lost(using, store):
    for number in range(HELD + 500):
        using([by(outcome(), id=f"{number:08x}")])
    using.flush()
    assert len(store.batches[0].rows) <= HELD + 1
    assert sum(sums["requests"] for sums in store.sums().values()) == HELD + 500
    assert using.lost == 500


def test_the_time_that_it_stood_ready_is_noted_now_and_then(using, store, clock):
    clock[0] = 100.0
    using.flush()
    assert store.batches == []
    clock[0] = 301.0
    using.flush()
    assert store.batches[0].hardware["chat"].up == pytest.approx(301.0)
    clock[0] = 310.0
    using.finish()
    assert store.batches[1].hardware["chat"].up == pytest.approx(9.0)


def test_a_process_that_is_killed_loses_no_more_than_the_last_second(tmp_path):
    script = f"""
import time
from pathlib import Path
from zoneinfo import ZoneInfo
from edge.observe.using import Using
from edge.observe.worker import Worker
from edge.stores.usage import Batch, UsageStore
from tests.observe.made import outcome
store = UsageStore(Path({str(tmp_path)!r}), ZoneInfo("UTC"))
using = Using(store, Batch)
Worker("usage", using.flush, 0.9).start()
for number in range(100000):
    using([outcome()])
    print(number + 1, time.monotonic(), flush=True)
    time.sleep(0.02)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    )
    told = [process.stdout.readline().split() for _ in range(150)]
    os.kill(process.pid, signal.SIGKILL)
    told += [line.split() for line in process.stdout.read().splitlines() if len(line.split()) == 2]
    process.wait(10)
    from zoneinfo import ZoneInfo

    from edge.stores.usage import UsageStore

    store = UsageStore(tmp_path, ZoneInfo("UTC"), now=lambda: AT)
    ((_, _, use),) = store.sums("user", AT - 86_400)
    store.close()
    end = float(told[-1][1])
    # A round of 0.9 s, and what writing it took on a machine that does other things too.
    must = [int(count) for count, at in told if float(at) < end - 2.0]
    assert use.requests >= must[-1]


def rows(store):
    return [row for batch in store.batches for row in batch.requests]


def test_each_request_that_was_let_in_is_on_record_by_itself(using, store):
    broken = outcome(status=502, reason="upstream-broken", ended="upstream-broken", units={}, model=None)
    using([outcome(), refused(), broken])
    using.flush()
    first, second = rows(store)
    assert first[:10] == (
        AT + 2.5, "d41e0200000001", "1a2b3c4d", "alice", "chat", "gemma3:4b", 200, "", "complete", 5120,
    )  # fmt: skip
    assert first[10:] == (412, 2.5, 0.1, '{"tokens":150,"prompt_tokens":50,"completion_tokens":100}')
    assert second[5:9] == ("", 502, "upstream-broken", "upstream-broken") and second[-1] == ""


def test_one_that_cannot_be_added_takes_none_of_the_others_with_it(using, store):
    told = iter([outcome(sent=1), outcome(units={"tokens": "many"}), outcome(sent=2)])
    with pytest.raises(TypeError):
        using(told)
    using(told)
    using.flush()
    (sums,) = store.sums().values()
    assert sums["requests"] == 3 and [row[9] for row in rows(store)] == [1, 2]


def test_none_is_by_itself_where_nobody_wants_it(store):
    using = Using(store, Batch, ("chat",), each=False, now=lambda: AT)
    using([outcome()])
    using.flush()
    assert rows(store) == [] and len(store.sums()) == 1


def test_requests_wait_in_their_order_for_a_disk_that_cannot_be_written_and_not_without_end(using, store):
    store.fails = True
    for number in range(3):
        using([outcome(sent=number)])
        using.flush()
    store.fails = False
    using.flush()
    assert [row[9] for row in rows(store)] == [0, 1, 2] and using.unlisted == 0
    store.batches.clear()
    store.fails = True
    for number in range(WAITING + 5):
        using([outcome(sent=number)])
    using.flush()
    using([outcome(sent=-1)])
    assert using.unlisted == 6
    store.fails = False
    using.flush()
    assert len(rows(store)) == WAITING and rows(store)[-1][9] == -1

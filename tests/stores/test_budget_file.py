from zoneinfo import ZoneInfo

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from edge.core.levels import Level
from edge.core.quantities import limit
from edge.errors import StoreError
from edge.stores.budget_file import EVERY, BudgetFile
from edge.stores.counters_memory import MemoryCounters

NOON = 1_795_345_200.0


def level(text, name="key:a"):
    made = limit(text)
    return Level(f"{name}:{made.unit}/{made.period}", made, "key")


DAY = [level("1000 tokens/day"), level("50 audio_seconds/month")]


class Gate:
    """Counters and their file, as one run of the gate has them."""

    def __init__(self, path, now=NOON, in_thread=maybeDeferred):
        self.clock, self.counters = Clock(), MemoryCounters(ZoneInfo("Europe/Berlin"))
        self.now = now
        self.file = BudgetFile(path / "limits.sqlite", self.counters, self.clock, in_thread, lambda: self.now)
        self.file.startService()

    def spend(self, tokens, seconds=0):
        return self.counters.decide(DAY, [tokens, seconds], self.now).passed

    def left(self):
        return [one.remaining for one in self.counters.decide(DAY, (0, 0), self.now, charge=False).standings]


def test_a_restart_gives_nobody_a_second_budget(tmp_path):
    first = Gate(tmp_path)
    assert first.spend(900, 12.5)
    first.file.stopService()
    second = Gate(tmp_path)
    assert second.left() == [100, 37.5] and not second.spend(200)
    second.file.stopService()


def test_a_crash_loses_less_than_a_second(tmp_path):
    first = Gate(tmp_path)
    first.spend(400)
    first.clock.advance(EVERY)
    first.spend(100)
    # No stop: the process is gone.
    second = Gate(tmp_path)
    assert EVERY < 1 and second.left()[0] == 600
    second.file.stopService()
    first.file.stopService()


def test_periods_that_have_ended_are_forgotten_on_disk_as_well(tmp_path):
    first = Gate(tmp_path)
    first.spend(900, 12.5)
    first.file.stopService()
    later = Gate(tmp_path, NOON + 3 * 86400)
    assert later.left() == [1000, 37.5]
    assert later.file._connection.execute("SELECT name FROM budgets").fetchall() == [("key:a:audio_seconds/month",)]
    later.file.stopService()


def test_writing_happens_off_the_reactor_and_what_fails_is_written_again(tmp_path):
    asked = []

    def in_thread(function, *args):
        asked.append((Deferred(), function, args))
        return asked[-1][0]

    gate = Gate(tmp_path, in_thread=in_thread)
    gate.spend(10)
    gate.clock.advance(EVERY)
    assert len(asked) == 1
    gate.spend(20)
    asked[0][0].errback(OSError("disk full"))
    assert gate.file.failing
    gate.clock.advance(EVERY)
    done, function, args = asked[1]
    function(*args)
    done.callback(None)
    assert not gate.file.failing
    again = Gate(tmp_path)
    assert again.left()[0] == 970
    again.file.stopService()
    gate.file.stopService()


def test_nothing_is_written_where_nothing_changed(tmp_path):
    asked = []
    gate = Gate(tmp_path, in_thread=lambda *args: asked.append(args))
    gate.clock.advance(EVERY)
    assert not asked
    gate.file.stopService()


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path):
    (tmp_path / "limits.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError):
        Gate(tmp_path)

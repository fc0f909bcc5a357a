from zoneinfo import ZoneInfo

from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from edge.limits.service import LimitService
from edge.limits.slots import Slots
from edge.stores.counters_memory import MemoryCounters


class Link:
    def __init__(self):
        self.calls = []

    def start(self):
        self.calls.append("start")

    def stop(self):
        self.calls.append("stop")
        return succeed(None)


class Counted(Slots):
    renewed = 0

    async def renew(self):
        Counted.renewed += 1


def test_leases_are_renewed_three_times_within_their_time_while_it_runs():
    clock, link = Clock(), Link()
    service = LimitService(Counted(clock, MemoryCounters(ZoneInfo("UTC")), lease=30.0), link)
    service.startService()
    clock.pump([10] * 3)
    assert Counted.renewed == 3 and link.calls == ["start"]
    service.stopService()
    clock.pump([10] * 3)
    assert Counted.renewed == 3 and link.calls == ["start", "stop"]
    assert not clock.getDelayedCalls()


def test_in_memory_nothing_runs():
    clock = Clock()
    service = LimitService(Slots(clock, MemoryCounters(ZoneInfo("UTC"))))
    service.startService()
    assert not clock.getDelayedCalls()
    service.stopService()

import json
from zoneinfo import ZoneInfo

import pytest
from twisted.internet.task import Clock

from edge.core.exchange import Arrival, Caller, Exchange, Route
from edge.core.headers import fields
from edge.core.jobs import Jobs
from edge.core.keys import Key
from edge.limits.held import EVERY, HeldJobs
from edge.limits.slots import Slots
from edge.limits.waiting import Place, Waiting
from edge.stores.counters_memory import MemoryCounters

GPU = Place("image", size=1)


def exchange(user="alice", id=None, batch=False, weight=1.0):
    arrival = Arrival(
        "r1", "POST", "h", b"/", b"/", None, fields([]), "1.2.3.4", "1.2.3.4", True, "HTTP/1.1", "https", 0.0, 0.0
    )
    key = Key(id=id or user, user=user, services=frozenset({"*"}), batch=batch, weight=weight)
    return Exchange(arrival, Route("image", b"/image/api", frozenset({"POST"})), Caller(key))


class Server:
    """What a ComfyUI answers to GET /queue; None: it does not."""

    def __init__(self):
        self.running, self.asked = [], 0

    async def queue(self):
        self.asked += 1
        if self.running is None:
            raise ConnectionError("gone")
        return json.dumps({"queue_running": [[0, job] for job in self.running], "queue_pending": []}).encode()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def slots(clock):
    return Slots(clock, MemoryCounters(ZoneInfo("UTC")))


@pytest.fixture
def held(clock, server):
    return HeldJobs(clock, server.queue, Jobs(longest=60.0))


def test_the_hardware_is_taken_until_the_queue_forgets_the_job(slots, clock, server, held):
    held.hold("a", slots.ask(exchange(), GPU))
    server.running = ["a"]
    clock.pump([EVERY] * 5)
    assert isinstance(slots.ask(exchange("bob"), GPU), Waiting) and slots.load("image")[0] == 1
    server.running = []
    clock.advance(EVERY)
    assert slots.load("image") == (1, 0) and not held
    assert slots._stages["image"].queue.average == 6 * EVERY


def test_a_server_that_does_not_answer_holds_a_place_no_longer_than_a_job_may_last(slots, clock, server, held):
    held.hold("a", slots.ask(exchange(), GPU))
    server.running = None
    clock.pump([EVERY] * 59)
    assert slots.load("image")[0] == 1
    clock.advance(EVERY)
    assert slots.load("image")[0] == 0


def test_nothing_is_asked_while_nothing_is_held(slots, clock, server, held):
    held.hold("a", slots.ask(exchange(), GPU))
    clock.advance(EVERY)
    clock.pump([EVERY] * 10)
    assert server.asked == 1 and not clock.getDelayedCalls()
    held.hold("b", slots.ask(exchange(), GPU))
    clock.advance(EVERY)
    assert server.asked == 2


def test_an_id_that_a_client_gives_to_every_job_holds_a_place_for_each(slots, clock, server, held):
    place = Place("image", size=2)
    for _ in range(2):
        held.hold("a", slots.ask(exchange(), place))
    server.running = ["a", "a"]
    clock.advance(EVERY)
    assert isinstance(slots.ask(exchange(), place), Waiting) and slots.load("image") == (2, 1) and len(held) == 2
    server.running = ["a"]
    clock.advance(EVERY)
    assert slots.load("image") == (2, 0) and len(held) == 1

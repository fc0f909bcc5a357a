"""What is known of the work that a server still has in hand, as it falls silent and comes back."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from edge.backends.queued import Queued
from edge.backends.upstreams import DOWN, HEALTHY, Upstreams
from edge.core.jobs import FORGOTTEN, Jobs

BASE = "http://127.0.0.1:1"


class Server:
    """One that tells `queue`, b"" for nothing, and is `well` or not."""

    def __init__(self):
        self.queue, self.well = b"[]", True

    async def tell(self):
        return self.queue

    async def answer(self, base):
        return self.well


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queued(server, clock):
    servers = Upstreams.of("image", (BASE,), server.answer, clock)
    return Queued(servers, servers.servers[0], server.tell)


def now(queued):
    found = []
    Deferred.fromCoroutine(queued()).addCallback(found.append)
    return found[0]


def test_what_the_server_tells_is_its_queue(queued):
    assert now(queued) == b"[]"


def test_a_server_that_is_silent_but_well_has_forgotten_nothing(queued, server, clock):
    server.queue = b""
    assert [now(queued) for _ in range(3)] == [b""] * 3
    assert queued.server.state == HEALTHY and not clock.getDelayedCalls()


def test_a_server_that_is_down_has_forgotten_its_queue(queued, server):
    server.queue, server.well = b"", False
    assert now(queued) == b"" and queued.server.state == DOWN, "it may come back before it is asked anew"
    assert now(queued) == FORGOTTEN
    jobs = Jobs()
    jobs.begin("a", 1.0)
    assert jobs.queue(FORGOTTEN, 2.0) == ["a"]


def test_a_server_that_tells_its_queue_is_believed_though_it_was_down(queued, server):
    server.queue, server.well = b"", False
    now(queued)
    server.queue = b"[]"
    assert now(queued) == b"[]"


def test_a_server_that_came_back_meanwhile_is_asked_once_more(queued, server):
    server.queue, server.well = b"", False
    now(queued)
    server.well = True

    async def back():
        queued.servers.worked(queued.server)
        return b""

    assert now(Queued(queued.servers, queued.server, back)) == b""

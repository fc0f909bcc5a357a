"""What is known of the servers behind a service, and who takes the next request."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from edge.backends.upstreams import ASLEEP, DOWN, HEALTHY, SOONEST, Upstreams

ONE, TWO = "http://127.0.0.1:1", "http://127.0.0.1:2"


class Servers:
    """Stands for the servers' answers to the question: each base is well, ill, silent (a Deferred) or raises."""

    def __init__(self):
        self.answers = {ONE: True, TWO: True}
        self.asked = []

    async def __call__(self, base):
        self.asked.append(base)
        answer = self.answers[base]
        if isinstance(answer, Exception):
            raise answer
        return await answer if isinstance(answer, Deferred) else answer


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def servers():
    return Servers()


@pytest.fixture
def pair(clock, servers):
    return Upstreams.of("chat", (ONE, TWO), servers, clock, slowest=10.0)


def states(upstreams):
    return [server.state for server in upstreams]


def test_requests_are_shared_by_what_is_in_hand(pair):
    first, second, third = pair.take(), pair.take(), pair.take()
    assert first is not second
    pair.give(second)
    if third is second:
        pair.give(third)
    assert pair.take() is second
    assert sum(server.open for server in pair) == (3 if third is not second else 2)


def test_who_was_tried_is_avoided(pair):
    first = pair.take()
    second = pair.take(avoid=frozenset({first}))
    assert second is not first
    assert pair.take(avoid=frozenset({first, second})) is None


def test_a_callers_requests_all_go_to_one_server_while_it_is_well(pair):
    home = pair.take(caller="key")
    assert {pair.take(caller="key") for _ in range(8)} == {home} and home.open == 9
    assert pair.take(avoid=frozenset({home}), caller="key") not in (home, None)
    pair.failed(home, "refused")
    assert pair.take(caller="key") is not home
    pair.worked(home)
    assert pair.take(caller="key") is home


def test_a_healthy_idle_server_is_never_asked(pair, clock, servers):
    pair.give(pair.take())
    clock.advance(100_000)
    assert servers.asked == []
    assert not clock.getDelayedCalls()


def test_a_server_that_failed_is_out_until_it_answers_the_question(pair, clock, servers):
    first, second = pair
    servers.answers[ONE] = False
    pair.failed(first, "connection refused")
    assert states(pair) == [DOWN, HEALTHY]
    assert {pair.take() for _ in range(3)} == {second}
    clock.advance(SOONEST)
    assert servers.asked == [ONE]
    assert states(pair) == [DOWN, HEALTHY]
    servers.answers[ONE] = True
    clock.advance(SOONEST * 2)
    assert states(pair) == [HEALTHY, HEALTHY]
    assert first.failures == 0
    assert not clock.getDelayedCalls()


def test_questions_grow_rarer_up_to_the_slowest(pair, clock, servers):
    servers.answers[ONE] = False
    pair.failed(pair.servers[0], "refused")
    times = []
    for second in range(1, 61):
        clock.advance(1)
        if len(servers.asked) > len(times):
            times.append(second)
    assert times == [1, 3, 7, 15, 25, 35, 45, 55]


def test_many_failures_make_one_question(pair, clock, servers):
    servers.answers[ONE] = False
    for _ in range(500):
        pair.failed(pair.servers[0], "refused")
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(SOONEST)
    assert servers.asked == [ONE]
    assert pair.servers[0].failures == 501


def test_a_single_server_that_is_down_is_still_tried_and_well_once_it_works(clock, servers):
    alone = Upstreams.of("chat", (ONE,), servers, clock)
    (server,) = alone
    alone.failed(server, "refused")
    assert alone.take() is server
    alone.worked(server)
    assert alone.state() == HEALTHY
    assert not clock.getDelayedCalls()


def test_a_request_that_works_ends_a_question_that_hangs(pair, servers, clock):
    left = []
    servers.answers[ONE] = Deferred(left.append)
    pair.failed(pair.servers[0], "refused")
    clock.advance(SOONEST)
    pair.worked(pair.servers[0])
    assert len(left) == 1
    assert states(pair) == [HEALTHY, HEALTHY]
    assert not clock.getDelayedCalls()


def test_an_answer_that_comes_too_late_is_not_believed(pair, servers, clock):
    late = Deferred(lambda _: None)
    servers.answers[ONE] = late
    pair.failed(pair.servers[0], "refused")
    clock.advance(SOONEST)
    pair.worked(pair.servers[0])
    assert states(pair) == [HEALTHY, HEALTHY]
    assert not clock.getDelayedCalls()


def test_a_question_that_cannot_be_asked_is_a_no(pair, servers, clock):
    servers.answers[ONE] = ValueError("no such question")
    pair.failed(pair.servers[0], "refused")
    clock.advance(SOONEST)
    assert states(pair) == [DOWN, HEALTHY]
    assert len(clock.getDelayedCalls()) == 1


def test_a_sleeping_server_is_not_asked_and_not_down(clock, servers):
    alone = Upstreams.of("image", (ONE,), servers, clock)
    (server,) = alone
    alone.failed(server, "refused")
    alone.sleeps(server)
    alone.failed(server, "refused")
    alone.look()
    clock.advance(1000)
    assert servers.asked == []
    assert alone.state() == ASLEEP
    alone.worked(server)
    assert alone.state() == HEALTHY


def test_the_look_at_the_start_finds_who_is_down(pair, clock, servers):
    servers.answers[TWO] = False
    pair.look()
    assert servers.asked == [ONE, TWO]
    assert states(pair) == [HEALTHY, DOWN]
    servers.answers[TWO] = True
    clock.advance(SOONEST)
    assert states(pair) == [HEALTHY, HEALTHY]


def test_a_service_is_as_well_as_its_best_server(pair):
    first, second = pair
    assert pair.state() == HEALTHY
    pair.failed(first, "refused")
    assert pair.state() == HEALTHY
    pair.failed(second, "refused")
    assert pair.state() == DOWN
    pair.sleeps(second)
    assert pair.state() == ASLEEP


def test_after_the_stop_nobody_is_asked(pair, clock, servers):
    pair.failed(pair.servers[0], "refused")
    pair.stop()
    pair.failed(pair.servers[1], "refused")
    clock.advance(1000)
    assert servers.asked == []
    assert not clock.getDelayedCalls()

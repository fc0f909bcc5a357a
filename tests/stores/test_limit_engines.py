"""One contract for every engine that counts limits: in memory, and in a Redis that the tests start."""

import math
from zoneinfo import ZoneInfo

import pytest
import pytest_twisted
from twisted.internet import defer
from twisted.internet.endpoints import UNIXClientEndpoint
from zope.interface.verify import verifyObject

from edge.core.levels import Level
from edge.core.quantities import limit
from edge.interfaces import ILimitEngine
from edge.stores.counters_memory import MemoryCounters
from edge.stores.counters_redis import RedisCounters
from edge.stores.redis_link import RedisLink

NOON = 1_795_345_200.0
"""2026-11-22 12:00 in Berlin's winter time."""
BERLIN = ZoneInfo("Europe/Berlin")


def level(text, name="key:a", shadow=False):
    made = limit(text)
    return Level(f"{name}:{made.unit}/{made.period}", made, name.partition(":")[0], shadow)


@pytest.fixture(params=["memory", "redis"])
def engine(request):
    if request.param == "memory":
        yield MemoryCounters(BERLIN)
        return
    from twisted.internet import reactor

    server = request.getfixturevalue("redis")()
    link = RedisLink("test", UNIXClientEndpoint(reactor, server.path), reactor, timeout=5.0)
    link.start()
    yield RedisCounters(link, BERLIN)
    pytest_twisted.blockon(link.stop())


def run(coroutine):
    return defer.Deferred.fromCoroutine(coroutine)


async def passes(engine, levels, costs, now, times):
    """How many of `times` charges at one instant pass."""
    verdicts = await defer.gatherResults([run(engine.take(levels, costs, now)) for _ in range(times)])
    return sum(verdict.passed for verdict in verdicts)


@pytest_twisted.ensureDeferred
async def test_it_provides_the_interface(engine):
    verifyObject(ILimitEngine, engine)


@pytest_twisted.ensureDeferred
async def test_of_a_thousand_at_one_instant_exactly_the_limit_passes(engine):
    assert await passes(engine, [level("100/minute")], [1], NOON, 1000) == 100
    assert await passes(engine, [level("100/minute")], [1], NOON + 6, 1000) == 10


@pytest_twisted.ensureDeferred
async def test_where_one_level_refuses_none_is_charged(engine):
    wide, narrow, budget = level("50/minute"), level("3/minute", "user:b"), level("40/day", "gate:")
    assert await passes(engine, [wide, narrow, budget], [1, 1, 1], NOON, 10) == 3
    assert await passes(engine, [budget, wide, narrow], [1, 1, 1], NOON, 10) == 0
    told = (await engine.look([wide, narrow, budget], NOON)).standings
    assert [standing.remaining for standing in told] == [47, 0, 37]


@pytest_twisted.ensureDeferred
async def test_a_refusal_says_how_long_to_wait_and_then_it_passes(engine):
    narrow = [level("2/minute")]
    await passes(engine, narrow, [1], NOON, 2)
    verdict = await engine.take(narrow, [1], NOON + 1)
    assert not verdict.passed
    assert verdict.standings[0].wait == pytest.approx(29)
    assert (await engine.take(narrow, [1], NOON + 1 + verdict.standings[0].wait + 1e-6)).passed


@pytest_twisted.ensureDeferred
async def test_a_budget_lasts_until_its_period_ends(engine):
    day = [level("1000 tokens/day")]
    assert (await engine.take(day, [1000], NOON)).passed
    spent = await engine.take(day, [1], NOON + 3600)
    assert not spent.passed
    assert spent.standings[0].wait == spent.standings[0].reset == 11 * 3600
    assert (await engine.take(day, [1], NOON + 12 * 3600)).passed


@pytest_twisted.ensureDeferred
async def test_a_cost_larger_than_the_whole_limit_never_passes(engine):
    for text in ("100 tokens/minute", "100 tokens/day"):
        assert math.isinf((await engine.take([level(text)], [101], NOON)).standings[0].wait)


@pytest_twisted.ensureDeferred
async def test_what_was_reserved_too_much_comes_back(engine):
    for text in ("1000 tokens/minute", "1000 tokens/month"):
        levels = [level(text)]
        verdict = await engine.take(levels, [800], NOON)
        assert not (await engine.take(levels, [800], NOON)).passed
        await engine.settle(levels, [100 - 800], [verdict.standings[0].window], NOON)
        assert (await engine.look(levels, NOON)).standings[0].remaining == 900
        assert (await engine.take(levels, [800], NOON)).passed


@pytest_twisted.ensureDeferred
async def test_what_was_reserved_too_little_is_owed(engine):
    levels = [level("1000 bytes/minute"), level("1000 bytes/day")]
    verdict = await engine.take(levels, [0, 0], NOON)
    await engine.settle(levels, [1500, 1500], [row.window for row in verdict.standings], NOON)
    told = (await engine.take(levels, [0, 0], NOON)).standings
    assert [standing.remaining for standing in told] == [0, 0]
    assert told[0].wait == pytest.approx(30, abs=0.001)
    assert not (await engine.take(levels[:1], [0], NOON + 29.9)).passed
    assert (await engine.take(levels[:1], [0], NOON + 30.1)).passed


@pytest_twisted.ensureDeferred
async def test_settling_after_the_period_has_ended_leaves_the_new_one_alone(engine):
    levels = [level("1000 tokens/day")]
    window = (await engine.take(levels, [800], NOON)).standings[0].window
    tomorrow = NOON + 86400
    assert (await engine.take(levels, [300], tomorrow)).passed
    await engine.settle(levels, [-700], [window], tomorrow)
    assert (await engine.look(levels, tomorrow)).standings[0].remaining == 700


@pytest_twisted.ensureDeferred
async def test_a_changed_limit_counts_at_once_and_keeps_what_was_used(engine):
    await passes(engine, [level("60/minute")], [1], NOON, 30)
    assert await passes(engine, [level("100/minute")], [1], NOON, 100) == 70
    assert await passes(engine, [level("20/minute")], [1], NOON, 5) == 0
    await engine.take([level("100 tokens/day")], [60], NOON)
    assert (await engine.look([level("200 tokens/day")], NOON)).standings[0].remaining == 140
    assert not (await engine.take([level("50 tokens/day")], [1], NOON)).passed


@pytest_twisted.ensureDeferred
async def test_a_clock_that_goes_back_grants_nothing(engine):
    levels = [level("10/minute"), level("15/day")]
    assert await passes(engine, levels, [1, 1], NOON, 20) == 10
    assert await passes(engine, levels, [1, 1], NOON - 30, 20) == 0
    assert await passes(engine, levels, [1, 1], NOON + 60, 20) == 5
    assert await passes(engine, [levels[1]], [1], NOON - 86400, 20) == 0


@pytest_twisted.ensureDeferred
async def test_a_shadow_refuses_nothing_and_tells_what_it_would_refuse(engine):
    levels = [level("100/minute"), level("2/minute", "key:a?", shadow=True), level("3/day", "user:b?", shadow=True)]
    verdicts = [await engine.take(levels, [1, 1, 1], NOON) for _ in range(5)]
    assert all(verdict.passed for verdict in verdicts)
    assert [bool(verdict.standings[1].wait) for verdict in verdicts] == [False, False, True, True, True]
    assert [bool(verdict.standings[2].wait) for verdict in verdicts] == [False, False, False, True, True]


@pytest_twisted.ensureDeferred
async def test_parts_of_a_unit_are_counted(engine):
    levels = [level("10 audio_seconds/minute"), level("10 audio_seconds/day")]
    assert await passes(engine, levels, [2.5, 2.5], NOON, 10) == 4


@pytest_twisted.ensureDeferred
async def test_looking_charges_nothing(engine):
    for _ in range(3):
        assert (await engine.look([level("5/minute"), level("5/day")], NOON)).passed
    assert await passes(engine, [level("5/minute"), level("5/day")], [1, 1], NOON, 9) == 5

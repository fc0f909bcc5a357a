from zoneinfo import ZoneInfo

import pytest

from edge.core.batch import split
from edge.core.exchange import Arrival, Caller, Exchange, Route
from edge.core.headers import fields
from edge.core.keys import Key
from edge.core.levels import Limits, Scope
from edge.core.quantities import limit
from edge.core.refusal import Refusal
from edge.core.tokens import Worst
from edge.errors import StoreError
from edge.limits.limiter import TOLD_MOST, Limiter, Reservation
from edge.stores.counters_memory import MemoryCounters

NOON = 1_795_345_200.0


def now_of(coroutine):
    """What a coroutine returns that never waits."""
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    return ended.value.value


def scope(*texts, shadow=()):
    return Scope(limits=tuple(map(limit, texts)), shadow=tuple(map(limit, shadow)))


def exchange(*limits, id="k1", user="alice", service="chat"):
    arrival = Arrival(
        "r1", "POST", "h", b"/", b"/", None, fields([]), "1.2.3.4", "1.2.3.4", True, "HTTP/1.1", "https", NOON, 0.0
    )
    key = Key(id=id, user=user, services=frozenset({"*"}), limits=tuple(map(limit, limits)))
    return Exchange(arrival, Route(service, b"/chat/api", frozenset({"POST"})), Caller(key))


def limiter(**limits):
    return Limiter(Limits(**limits), MemoryCounters(ZoneInfo("Europe/Berlin")))


def test_without_limits_everything_passes_and_says_nothing():
    granted = now_of(limiter().take(exchange(), NOON))
    assert granted == b""


def test_a_granted_request_tells_where_its_caller_stands():
    limits = limiter(key=scope("60/minute"), gate=scope("600/minute"))
    assert dict(split(now_of(limits.take(exchange(), NOON))))[b"x-ratelimit-remaining-requests"] == b"59"
    told = dict(split(now_of(limits.take(exchange(), NOON, "anthropic"))))
    assert told[b"anthropic-ratelimit-requests-remaining"] == b"58"


def test_the_one_too_many_is_refused_in_its_dialect():
    limits = limiter(key=scope("1/minute"))
    now_of(limits.take(exchange(), NOON))
    told = now_of(limits.take(exchange(), NOON, "anthropic"))
    assert isinstance(told, Refusal) and told.reason == "rate-limited" and told.retry_after == 60
    assert (b"anthropic-ratelimit-requests-remaining", b"0") in told.extra


def test_all_keys_of_a_person_share_the_persons_limit():
    limits = limiter(users={"alice": scope("2/day")})
    told = [now_of(limits.take(exchange(id=f"k{number}"), NOON)) for number in range(3)]
    assert [isinstance(one, bytes) for one in told] == [True, True, False]
    assert told[2].reason == "budget-spent"
    assert isinstance(now_of(limits.take(exchange(user="bob"), NOON)), bytes)


def test_parallel_requests_cannot_overspend_a_budget():
    limits = limiter(key=scope("1000 tokens/day"))
    worst = Worst({"tokens": 300}, {"tokens": 100})
    reserved = [now_of(limits.reserve(exchange(), worst, NOON)) for _ in range(5)]
    assert [isinstance(one, Reservation) for one in reserved] == [True, True, False, False, False]
    now_of(limits.settle(reserved[0], {"tokens": 50}, NOON))
    now_of(limits.settle(reserved[0], {"tokens": 50}, NOON))
    assert now_of(limits.standings(exchange().caller.key, "chat", NOON))[0].remaining == 550
    assert isinstance(now_of(limits.reserve(exchange(), worst, NOON)), Reservation)


def test_a_refused_reservation_says_that_trying_again_is_pointless():
    limits = limiter(key=scope("100 tokens/day"))
    told = now_of(limits.reserve(exchange(), Worst({"tokens": 101}), NOON))
    assert told.reason == "budget-spent" and not told.retry


def test_a_spent_budget_of_one_unit_is_no_reason_to_refuse_what_costs_none_of_it():
    limits = limiter(key=scope("100 tokens/day", "5 images/day"))
    now_of(limits.reserve(exchange(), Worst({"tokens": 100}), NOON))
    assert isinstance(now_of(limits.reserve(exchange(), Worst({"bytes": 9}), NOON)), Reservation)
    assert isinstance(now_of(limits.reserve(exchange(), Worst({"images": 1}), NOON)), Reservation)
    assert isinstance(now_of(limits.reserve(exchange(), Worst({}, {"tokens": 1}), NOON)), Refusal)


def test_an_answer_that_failed_gives_everything_back():
    limits = limiter(key=scope("100 tokens/minute", "100 tokens/day"))
    reservation = now_of(limits.reserve(exchange(), Worst({"tokens": 100}), NOON))
    now_of(limits.settle(reservation, {}, NOON))
    assert [one.remaining for one in now_of(limits.standings(exchange().caller.key, "chat", NOON))] == [100, 100]


def test_metered_says_which_units_are_counted():
    limits = limiter(services={"chat": scope("5 images/day", "9/minute")})
    assert limits.metered(exchange("9 tokens/day")) == {"images", "tokens"}
    assert limits.metered(exchange(service="tts")) == frozenset()
    assert limits.bounds(exchange("concurrent=2")) == (("key:k1", 2),)


def test_what_cannot_be_counted_is_held_by_limits_that_refuse_and_by_no_others():
    for held in (
        limiter(key=scope("9 tokens/day")), limiter(users={"alice": scope("9 images/day")}),
        limiter(services={"chat": scope("9 audio_seconds/hour")}), limiter(gate=scope("9 tokens/month")),
    ):  # fmt: skip
        assert held.holds(exchange())
    assert limiter().holds(exchange("9 tokens/day"))
    free = limiter(key=scope("9/day", "9 bytes/day", "concurrent=1", shadow=("9 tokens/day",)))
    assert not free.holds(exchange()) and free.metered(exchange()) == {"bytes", "tokens"}
    assert not limiter(shadow=True).holds(exchange("9 tokens/day"))


def test_changed_limits_count_from_the_next_request_and_keep_what_was_used():
    limits = limiter(key=scope("10/minute"))
    for _ in range(5):
        now_of(limits.take(exchange(), NOON))
    limits.change(Limits(key=scope("6/minute")))
    assert isinstance(now_of(limits.take(exchange(), NOON)), bytes)
    assert isinstance(now_of(limits.take(exchange(), NOON)), Refusal)


def test_a_shadow_refuses_nothing_and_is_counted():
    limits = limiter(key=scope("60/minute", "5 tokens/day", shadow=["1/minute", "3 tokens/day"]))
    assert all(isinstance(now_of(limits.take(exchange(), NOON)), bytes) for _ in range(4))
    reservation = now_of(limits.reserve(exchange(), Worst({"tokens": 4}), NOON))
    now_of(limits.settle(reservation, {"tokens": 4}, NOON))
    assert limits.would_refuse == {"key 1/minute": 3, "key 3 tokens/day": 1}
    for number in range(TOLD_MOST + 10):
        limits._tell(limits._ladders.of("chat", exchange(id=str(number)).caller.key).requests[1], NOON)
    assert len(limits._told) <= TOLD_MOST


def test_without_counters_nobody_passes():
    class Broken:
        decide = None

        async def take(self, levels, costs, now):
            raise StoreError("gone")

    limits = Limiter(Limits(key=scope("1/minute", "1 tokens/day")), Broken())
    for told in (now_of(limits.take(exchange(), NOON)), now_of(limits.reserve(exchange(), Worst({"tokens": 1}), NOON))):
        assert (told.reason, told.status, told.retry_after) == ("store-unavailable", 503, 1.0)


def test_without_a_caller_nobody_passes():
    nobody = Exchange(exchange().arrival)
    with pytest.raises(ValueError, match="caller"):
        limiter().take(nobody, NOON).send(None)

from edge.core.keys import Key
from edge.core.levels import Ladders, Limits, Scope, Verdict, ladder
from edge.core.quantities import limit


def scope(*texts, shadow=()):
    return Scope(limits=tuple(map(limit, texts)), shadow=tuple(map(limit, shadow)))


def key(*limits, id="k1", user="alice"):
    return Key(id=id, user=user, services=frozenset({"*"}), limits=tuple(map(limit, limits)))


def names(levels):
    return {(level.name, str(level.limit)) for level in levels}


LIMITS = Limits(
    gate=scope("6000/minute"),
    services={"chat": scope("600/minute", "concurrent=4")},
    users={"alice": scope("2000/day", "500000 tokens/month")},
    key=scope("60/minute"),
)


def test_every_level_stands_before_a_request():
    found = ladder(LIMITS, "chat", key())
    assert names(found.requests) == {
        ("key:k1:requests/minute", "60/minute"),
        ("user:alice:requests/day", "2000/day"),
        ("service:chat:requests/minute", "600/minute"),
        ("gate::requests/minute", "6000/minute"),
    }
    assert names(found.units) == {("user:alice:tokens/month", "500000 tokens/month")}
    assert found.bounds == (("service:chat", 4),)


def test_another_service_and_another_user_have_levels_of_their_own():
    found = ladder(LIMITS, "tts", key(user="bob"))
    assert names(found.requests) == {("key:k1:requests/minute", "60/minute"), ("gate::requests/minute", "6000/minute")}
    assert not found.units and not found.bounds


def test_a_keys_own_requests_replace_only_the_default_for_keys():
    found = ladder(LIMITS, "chat", key("5/second", "concurrent=2", "100 tokens/day"))
    assert {level.name for level in found.requests} == {
        "key:k1:requests/second",
        "user:alice:requests/day",
        "service:chat:requests/minute",
        "gate::requests/minute",
    }
    assert {level.name for level in found.units} == {"key:k1:tokens/day", "user:alice:tokens/month"}
    assert found.bounds == (("key:k1", 2), ("service:chat", 4))


def test_a_keys_other_limits_leave_the_default_in_place():
    assert "key:k1:requests/minute" in {level.name for level in ladder(LIMITS, "chat", key("9 tokens/day")).requests}


def test_of_two_limits_that_would_share_a_count_the_tighter_holds():
    found = ladder(Limits(), "chat", key("60/minute", "30/minute"))
    assert names(found.requests) == {("key:k1:requests/minute", "30/minute")}


def test_a_shadow_counts_apart_and_is_marked():
    limits = Limits(key=scope("60/minute", shadow=["10/minute", "concurrent=1"]))
    found = ladder(limits, "chat", key())
    assert [(level.name, level.shadow) for level in found.requests] == [
        ("key:k1:requests/minute", False),
        ("key:k1:requests/minute?", True),
    ]
    assert not found.bounds
    assert all(level.shadow for level in ladder(Limits(key=scope("60/minute"), shadow=True), "chat", key()).requests)


def test_ladders_are_made_once_for_a_key_and_anew_when_it_changed():
    ladders = Ladders(LIMITS, most=2)
    first = key()
    made = ladders.of("chat", first)
    assert ladders.of("chat", key()) is made
    assert ladders.of("chat", key("9/minute")) is not made
    for number in range(10):
        ladders.of("chat", key(id=f"k{number}"))
        assert len(ladders._made) <= 2


def test_standings_follow_from_what_was_charged():
    level = ladder(LIMITS, "chat", key()).requests[0]
    row = (level, 10 * level.period, 0.0, 0, 0.0)
    assert Verdict(True, [row], [1]).standings[0].remaining == 49
    assert Verdict(True, [row], None).standings[0].remaining == 50
    assert Verdict(True, [row], [1]).standings[0].reset == 11.0

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.forwarding import (
    CREDENTIALS,
    FRAMING,
    HOP_BY_HOP,
    IDENTITIES,
    NOT_SENT_ON,
    ORIGINS,
    OVERRIDES,
    forwarded,
    location,
    sent_back,
    sent_on,
)
from edge.core.headers import Fields, fields

NAMES = st.sampled_from(
    sorted({name.decode() for name in NOT_SENT_ON} | {"accept", "x-own", "cookie", "x-aigate-user", "x-hop"})
)


def cased(name, upper):
    return "".join(c.upper() if upper else c for c in name)


@given(
    st.lists(st.tuples(NAMES, st.booleans(), st.booleans())),
    st.sampled_from(["", "X-Hop", "close, x-HOP", "keep-alive"]),
)
def test_only_what_is_the_services_business_goes_on_in_order_and_as_it_was(chosen, connection):
    pairs = [
        (cased(name.replace("-", "_") if under else name, upper), str(i))
        for i, (name, upper, under) in enumerate(chosen)
    ]
    given_fields = fields([*pairs, *([("Connection", connection)] if connection else [])])
    sent = sent_on(given_fields)
    for name, _ in sent:
        low = name.lower().replace(b"_", b"-")
        assert low not in NOT_SENT_ON and not low.startswith(b"x-aigate")
        assert not (low == b"x-hop" and "hop" in connection.lower())
    assert sent == [pair for pair in given_fields.pairs if pair in sent]
    kept = {b"accept", b"cookie"}
    assert [p for p in sent if p[0].lower() in kept] == [p for p in given_fields.pairs if p[0].lower() in kept]


@pytest.mark.parametrize("family", [HOP_BY_HOP, FRAMING, CREDENTIALS, ORIGINS, IDENTITIES, OVERRIDES])
def test_every_name_of_every_family_ends_here_in_any_spelling(family):
    for name in family:
        assert sent_on(Fields([(name.title(), b"x"), (name.replace(b"-", b"_").upper(), b"x")])) == []


def test_more_names_may_be_held_back():
    assert sent_on(fields([("X-Room", "1"), ("x_room", "2"), ("X-Other", "3")]), frozenset({b"x-room"})) == [
        (b"X-Other", b"3")
    ]


def test_connection_cannot_keep_what_never_goes_on():
    assert sent_on(fields([("Connection", "close"), ("X-API-Key", "k"), ("Upgrade", "x")])) == []
    assert sent_on(
        fields([("Connection", "a"), ("Connection", "B ,, c"), ("A", "1"), ("b", "1"), ("C", "1"), ("d", "1")])
    ) == [(b"d", b"1")]


@pytest.mark.parametrize("cors", [True, False])
def test_of_an_answer_the_hops_own_and_what_the_gate_says_end_here(cors):
    pairs = [("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("Connection", "X-Theirs"), ("X-Theirs", "1"), ("X-Request-Id", "x"),
             ("Alt-Svc", "h3"), ("X-Aigate-Reason", "no"), ("Set-Cookie", "a"), ("set-cookie", "b"), ("Access-Control-Allow-Origin", "*"),
             ("Access-Control-Allow-Methods", "GET"), ("Vary", "Origin")]  # fmt: skip
    names = [name for name, _ in sent_back(fields(pairs), cors)]
    own = [] if cors else [b"Access-Control-Allow-Origin"]
    assert names == [b"Set-Cookie", b"set-cookie", *own, b"Access-Control-Allow-Methods", b"Vary"]


@pytest.mark.parametrize(
    ("client", "chain", "node", "way"),
    [
        ("192.0.2.7", b"", b"192.0.2.7", b"192.0.2.7"),
        ("2001:db8::1", b"", b'"[2001:db8::1]"', b"2001:db8::1"),
        ("203.0.113.9", b"203.0.113.9, 10.0.0.1", b"203.0.113.9", b"203.0.113.9, 10.0.0.1"),
        ("unix", b"", b"unknown", b"unknown"),
    ],
)
def test_a_service_is_told_who_asks_and_by_which_name(client, chain, node, way):
    made = dict(forwarded(client, chain, True, b"gate.test:8443", b"/chat/api"))
    assert made[b"X-Forwarded-For"] == way
    assert made[b"Forwarded"] == b'for=%b;host="gate.test:8443";proto=https' % node
    assert (made[b"X-Forwarded-Proto"], made[b"X-Forwarded-Host"], made[b"X-Forwarded-Prefix"]) == (
        b"https",
        b"gate.test:8443",
        b"/chat/api",
    )
    assert b"X-Forwarded-Prefix" not in dict(forwarded(client, chain, False, b"h", b""))


BASES = (b"https://up.test:9/base", b"http://up.test:9/base")


@pytest.mark.parametrize(
    ("value", "bases", "prefix", "seen"),
    [
        (b"https://up.test:9/base/x?y#z", BASES, b"/p", b"/p/x?y#z"),
        (b"http://up.test:9/base", BASES, b"/p", b"/p/"),
        (b"https://up.test:9/base?x=1", BASES, b"/p", b"/p/?x=1"),
        (b"https://up.test:9/basement", BASES, b"/p", b"https://up.test:9/basement"),
        (b"/base/login", BASES, b"/p", b"/p/login"),
        (b"/base", BASES, b"/p", b"/p/"),
        (b"/login", BASES, b"/p", b"/p/login"),
        (b"/p/login", BASES, b"/p", b"/p/login"),
        (b"/p#top", BASES, b"/p", b"/p#top"),
        (b"/pp", BASES, b"/p", b"/p/pp"),
        (b"https://gate.test/p/x", BASES, b"/p", b"/p/x"),
        (b"https://gate.test/base/x", BASES, b"/p", b"/p/x"),
        (b"https://gate.test", BASES, b"/p", b"/p/"),
        (b"https://gate.test.evil/x", BASES, b"/p", b"https://gate.test.evil/x"),
        (b"https://up.test:9/base/x", BASES, b"", b"/x"),
        (b"/x", (), b"/p", b"/p/x"),
        (b"x/y", BASES, b"/p", b"x/y"),
        (b"", BASES, b"/p", b""),
        (b"//evil/x", BASES, b"/p", b"//evil/x"),
        (b"mailto:a@b", BASES, b"/p", b"mailto:a@b"),
    ],
)
def test_a_location_is_what_the_client_can_follow(value, bases, prefix, seen):
    assert location(value, bases, b"gate.test", prefix) == seen


@given(st.binary(max_size=40), st.sampled_from([b"", b"/p"]))
def test_a_location_is_rewritten_once_and_for_all(value, prefix):
    bases = (b"http://up.test",)
    once = location(value, bases, b"gate.test", prefix)
    assert location(once, bases, b"gate.test", prefix) == once


@given(st.text(alphabet="abc/.:@?#", max_size=30))
def test_what_stays_below_the_gate_never_leads_to_another_host(value):
    seen = location(b"/" + value.encode(), (b"http://up.test",), b"gate.test", b"/p")
    if not value.startswith("/"):
        assert seen.startswith(b"/p")

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.cors import EXPOSED, allowed, is_preflight, pairs, preflight
from edge.core.headers import fields


@pytest.mark.parametrize(
    ("origin", "origins", "may"),
    [
        ("https://app.example", ("https://app.example",), True),
        ("HTTPS://App.Example", ("https://app.example",), True),
        ("https://app.example", (), False),
        ("https://app.example:8443", ("https://app.example",), False),
        ("http://app.example", ("https://app.example",), False),
        ("https://app.example.evil", ("https://app.example",), False),
        ("https://evil-app.example", ("https://app.example",), False),
        ("http://localhost:3000", ("http://localhost:*",), True),
        ("http://localhost", ("http://localhost:*",), True),
        ("http://localhost:3000.evil", ("http://localhost:*",), False),
        ("http://localhost.evil:3000", ("http://localhost:*",), False),
        ("http://localhostx", ("http://localhost:*",), False),
        ("http://aXb:1", ("http://a.b:*",), False),
        ("null", (), False),
        ("null", ("https://app.example",), False),
        ("null", ("*",), True),
        ("anything", ("*",), True),
        ("", (), False),
    ],
)
def test_who_is_named_may_and_nobody_else(origin, origins, may):
    assert allowed(origin.encode(), True, b"gate.test", origins) is may


@pytest.mark.parametrize(
    ("origin", "secure", "may"),
    [
        (b"https://gate.test:8443", True, True),
        (b"https://GATE.test:8443", True, True),
        (b"http://gate.test:8443", True, False),
        (b"https://gate.test", True, False),
        (b"http://gate.test:8443", False, True),
        (b"https://gate.test:8443", False, True),
        (b"https://other.test:8443", False, False),
    ],
)
def test_the_gates_own_pages_may_also_behind_a_tunnel_that_ends_tls(origin, secure, may):
    assert allowed(origin, secure, b"gate.test:8443", ()) is may


@given(st.binary(max_size=40))
def test_no_bytes_at_all_pass_where_nothing_is_named(origin):
    assert not allowed(origin, True, b"gate.test", ()) or origin.lower() == b"https://gate.test"


def test_a_preflight_is_what_the_fetch_standard_says():
    asked = [("Origin", "https://a"), ("Access-Control-Request-Method", "POST")]
    assert is_preflight("OPTIONS", fields(asked))
    assert not is_preflight("POST", fields(asked))
    assert not is_preflight("OPTIONS", fields(asked[:1])) and not is_preflight("OPTIONS", fields(asked[1:]))


def test_a_preflight_grants_what_is_asked_for_and_no_more():
    made = dict(preflight(b"https://a", fields([("Access-Control-Request-Headers", "x-one")]), 7200.5))
    assert made[b"Access-Control-Allow-Origin"] == b"https://a" and made[b"Access-Control-Allow-Headers"] == b"x-one"
    assert made[b"Access-Control-Max-Age"] == b"7200" and b"Access-Control-Allow-Private-Network" not in made
    assert b"Access-Control-Allow-Credentials" not in made, "keys come in headers, never in cookies"
    assert b"Access-Control-Allow-Headers" not in dict(preflight(b"https://a", fields([]), 1))
    made = dict(preflight(b"https://a", fields([("Access-Control-Request-Private-Network", "true")]), 1))
    assert made[b"Access-Control-Allow-Private-Network"] == b"true"


def test_every_answer_names_who_may_read_it_and_what():
    assert pairs(b"https://a") == (
        (b"Access-Control-Allow-Origin", b"https://a"),
        (b"Access-Control-Expose-Headers", EXPOSED),
        (b"Vary", b"Origin"),
    )
    assert {b"x-request-id", b"retry-after", b"x-aigate-reason"} <= set(EXPOSED.split(b", "))

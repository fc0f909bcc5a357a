from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.clients import FORWARDED, X_FORWARDED_FOR, client_of
from edge.core.headers import fields
from edge.core.networks import network

TRUSTED = (network("10.0.0.0/8"), network("fd00::/8"))


def xff(*values, peer="10.0.0.1"):
    return client_of(peer, fields([("X-Forwarded-For", value) for value in values]), TRUSTED, X_FORWARDED_FOR)


@pytest.mark.parametrize(
    ("values", "client", "chain"),
    [
        ([], "10.0.0.1", b""),
        (["203.0.113.9"], "203.0.113.9", b"203.0.113.9, 10.0.0.1"),
        (["6.6.6.6, 203.0.113.9"], "203.0.113.9", b"203.0.113.9, 10.0.0.1"),
        (["6.6.6.6", "203.0.113.9, 10.2.2.2"], "203.0.113.9", b"203.0.113.9, 10.2.2.2, 10.0.0.1"),
        (["10.3.3.3, 10.2.2.2"], "10.3.3.3", b"10.3.3.3, 10.2.2.2, 10.0.0.1"),
        (["203.0.113.9, nonsense"], "10.0.0.1", b""),
        (["203.0.113.9, nonsense, 10.2.2.2"], "10.2.2.2", b"10.2.2.2, 10.0.0.1"),
        (["203.0.113.9:4711"], "203.0.113.9", b"203.0.113.9, 10.0.0.1"),
        (["[2001:db8::1]:4711"], "2001:db8::1", b"2001:db8::1, 10.0.0.1"),
        (["2001:db8::1"], "2001:db8::1", b"2001:db8::1, 10.0.0.1"),
        (["::ffff:203.0.113.9"], "203.0.113.9", b"203.0.113.9, 10.0.0.1"),
        (["unknown"], "10.0.0.1", b""),
        ([", ,"], "10.0.0.1", b""),
    ],
)
def test_the_first_hop_from_the_right_that_nobody_vouches_for_is_the_client(values, client, chain):
    assert xff(*values) == (client, chain)


@pytest.mark.parametrize("peer", ["203.0.113.1", "unix", "2001:db8::2"])
def test_who_is_no_trusted_proxy_is_the_client_whatever_it_says(peer):
    assert xff("6.6.6.6", peer=peer) == (peer, b"")
    assert client_of("10.0.0.1", fields([("X-Forwarded-For", "6.6.6.6")]), (), X_FORWARDED_FOR) == ("10.0.0.1", b"")


def test_only_the_chosen_header_is_read():
    both = fields([("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=203.0.113.9")])
    assert client_of("10.0.0.1", both, TRUSTED, FORWARDED)[0] == "203.0.113.9"
    assert client_of("10.0.0.1", both, TRUSTED, X_FORWARDED_FOR)[0] == "6.6.6.6"


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=203.0.113.9;proto=https", "203.0.113.9"),
        ('proto=https;FOR="[2001:db8::1]:47"', "2001:db8::1"),
        ('for="203.0.113.9:80"', "203.0.113.9"),
        ("for=6.6.6.6, for=203.0.113.9", "203.0.113.9"),
        ("for=_hidden", "10.0.0.1"),
        ("for=unknown", "10.0.0.1"),
        ("by=203.0.113.9", "10.0.0.1"),
        ("xfor=203.0.113.9", "10.0.0.1"),
        ('for="203.0.113.9', "10.0.0.1"),
        ("for=203.0.113.9:80; proto=https;", "203.0.113.9"),
        (r'for="203.0\.113.9";by="a\"b"', "203.0.113.9"),
        (" , for=203.0.113.9 ,, ", "203.0.113.9"),
        ('proto=https;host="a;for=6.6.6.6";for=203.0.113.9', "203.0.113.9"),
        ('host="a;for=6.6.6.6"', "10.0.0.1"),
        (r'host="a\";for=6.6.6.6;x=\"";for=203.0.113.9', "203.0.113.9"),
        ("for=6.6.6.6;for=203.0.113.9", "10.0.0.1"),
        ('for=6.6.6.6;for=""', "10.0.0.1"),
        ('for=6.6.6.6;host="a, for=203.0.113.9', "203.0.113.9"),
        ('for=203.0.113.9;host="a, for=6.6.6.6"', "203.0.113.9"),
        (r'for=203.0.113.9;y="b\", for=6.6.6.6;z=\""', "203.0.113.9"),
        (r'for=203.0.113.9;y="b\\\", for=6.6.6.6;z=\\\"\\"', "203.0.113.9"),
        ('for=6.6.6.6;x=", for="203.0.113.9:80"', "203.0.113.9"),
        ('for="6.6.6.6"x, for=203.0.113.9', "203.0.113.9"),
        ('for=6.6.6.6;odd, for=10.2.2.2, for="10.3.3.3"', "10.2.2.2"),
        ('for=203.0.113.9, for="6.6.6.6"x', "10.0.0.1"),
        (r'for=6.6.6.6;x="a\", for=203.0.113.9;y="b\\"', "203.0.113.9"),
        (r'for=6.6.6.6;x="a\\", for=203.0.113.9;y="b\\"', "203.0.113.9"),
        ("for = 203.0.113.9", "10.0.0.1"),
    ],
)
def test_forwarded_is_read_as_rfc_7239_writes_it(value, client):
    assert client_of("10.0.0.1", fields([("Forwarded", value)]), TRUSTED, FORWARDED)[0] == client


def test_a_malformed_line_hides_only_what_came_before_it():
    lines = [("Forwarded", "for=6.6.6.6"), ("Forwarded", 'for="6.6.6.6'), ("Forwarded", "for=10.2.2.2")]
    assert client_of("10.0.0.1", fields(lines), TRUSTED, FORWARDED)[0] == "10.2.2.2"


@pytest.mark.parametrize("piece", [" ", '"', "\\", '\\"', '="a', ",;"])
def test_a_head_full_of_one_thing_is_read_in_a_moment(piece):
    began = perf_counter()
    client_of("10.0.0.1", fields([("Forwarded", "x" + piece * 30_000 + "x")]), TRUSTED, FORWARDED)
    assert perf_counter() - began < 1


@given(
    st.lists(st.sampled_from(["for=6.6.6.6", ",", ";", '"', "host=", "x", "\\", "for=", " ", "10.9.9.9"]), max_size=9)
)
def test_no_text_before_a_proxys_own_words_makes_them_say_another_address(said):
    forged = "".join(said)
    for own in (
        "for=203.0.113.9",
        'for=203.0.113.9;host=";for=6.6.6.6;y="',
        'for="203.0.113.9:80";host="gate.example";proto=https',
    ):
        told, _ = client_of("10.0.0.1", fields([("Forwarded", f"{forged}, {own}")]), TRUSTED, FORWARDED)
        assert told == "203.0.113.9"


@given(st.lists(st.sampled_from(["6.6.6.6", "10.9.9.9", "x", "", "fd00::1", "2001:db8::9"]), max_size=6))
def test_nobody_to_the_left_of_a_stranger_is_ever_believed(said):
    forged, honest = ", ".join(said), "203.0.113.9, 10.2.2.2"
    told, _ = xff(f"{forged}, {honest}" if forged else honest)
    assert told == "203.0.113.9"


@given(st.lists(st.text(max_size=12), max_size=5), st.sampled_from([X_FORWARDED_FOR, FORWARDED]))
def test_any_text_gives_an_address_that_can_be_sent_on(values, header):
    raw = fields([(header, value.encode("utf-8").replace(b"\n", b"").decode("latin-1")) for value in values])
    client, chain = client_of("10.0.0.1", raw, TRUSTED, header)
    assert client.isascii() and b"\r" not in chain and b"\n" not in chain

"""Counting connections."""

import pytest

from edge.transport.crowd import Crowd, peer_of


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("192.168.1.7", "192.168.1.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("", ""),
    ],
)
def test_an_address_counts_as(host, peer):
    assert peer_of(host) == peer


def test_an_ipv6_network_shares_its_share():
    crowd = Crowd(per_peer=1)
    crowd.enter("2001:db8::1")
    assert not crowd.admits("2001:db8::2")
    assert crowd.admits("2001:db8:0:1::2")
    assert crowd.refused == 1


def test_who_is_exempt_counts_towards_the_total_only():
    crowd = Crowd(total=2, per_peer=1, exempt=lambda host: host == "127.0.0.1")
    crowd.enter("127.0.0.1")
    assert crowd.admits("127.0.0.1")
    crowd.enter("127.0.0.1")
    assert not crowd.admits("127.0.0.1")


def test_who_turns_out_to_be_another_counts_as_that_one_unless_those_are_too_many():
    crowd = Crowd(total=2, per_peer=1)
    crowd.enter("127.0.0.1")
    assert crowd.moves("127.0.0.1", "203.0.113.7")
    assert crowd.of("127.0.0.1") == 0 and crowd.of("203.0.113.7") == 1
    crowd.enter("127.0.0.1")
    assert not crowd.moves("127.0.0.1", "203.0.113.7")
    assert crowd.of("127.0.0.1") == 1 and crowd.of("203.0.113.7") == 1
    assert crowd.moves("127.0.0.1", "127.0.0.1")
    assert (crowd.here, crowd.refused) == (2, 1)


def test_a_peer_with_none_left_is_forgotten():
    crowd = Crowd()
    for number in range(100):
        crowd.enter(f"10.0.0.{number}")
    for number in range(100):
        crowd.leave(f"10.0.0.{number}")
    assert crowd.here == 0 and not crowd._peers

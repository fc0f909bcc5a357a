"""Bad keys: slowed, locked out for a growing time, forgotten in the end, and never more memory than said."""

import sys

from edge.core.lockouts import Lockouts


def lock(lockouts: Lockouts, address: str, now: float) -> tuple[float, float]:
    """Fail until locked for more than a moment; returns the moment and the length of the lock-out."""
    while True:
        pause = lockouts.failed(address, now)
        if pause > 1.0:
            return now, pause
        now += max(1.0, pause)


def test_half_of_the_failures_are_free_the_rest_are_slowed() -> None:
    lockouts = Lockouts(failures=20)
    assert [lockouts.failed("192.0.2.1", 0.0) for _ in range(9)] == [0.0] * 9
    assert lockouts.failed("192.0.2.1", 0.0) == 1.0
    assert lockouts.locked("192.0.2.1", 0.5) == 0.5
    assert lockouts.locked("192.0.2.1", 1.0) == 0.0


def test_each_lock_out_is_twice_the_last_up_to_the_longest() -> None:
    lockouts, now, lengths = Lockouts(longest=600.0), 0.0, []
    for _ in range(6):
        now, length = lock(lockouts, "192.0.2.1", now)
        lengths.append(length)
        now += length
    assert lengths == [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


def test_what_is_turned_away_does_not_count_further() -> None:
    lockouts = Lockouts()
    now, length = lock(lockouts, "192.0.2.1", 0.0)
    for _ in range(1000):
        lockouts.failed("192.0.2.1", now + 1)
    assert lockouts.locked("192.0.2.1", now + length) == 0.0


def test_failures_far_apart_lock_nobody_out() -> None:
    lockouts = Lockouts(failures=20, within=600.0)
    assert max(lockouts.failed("192.0.2.1", number * 61.0) for number in range(200)) <= 1.0


def test_a_quiet_address_starts_afresh() -> None:
    lockouts = Lockouts()
    now, _ = lock(lockouts, "192.0.2.1", 0.0)
    _, length = lock(lockouts, "192.0.2.1", now + 10_000)
    assert length == 60.0


def test_an_ipv6_network_and_a_mapped_address_are_one_address() -> None:
    lockouts = Lockouts()
    now, _ = lock(lockouts, "2001:db8:1:2::1", 0.0)
    assert lockouts.locked("2001:db8:1:2:ffff::9", now) > 0
    assert lockouts.locked("2001:db8:1:3::1", now) == 0
    now, _ = lock(lockouts, "::ffff:192.0.2.1", 0.0)
    assert lockouts.locked("192.0.2.1", now) > 0


def test_a_unix_socket_is_an_address_too() -> None:
    lockouts = Lockouts()
    now, _ = lock(lockouts, "unix", 0.0)
    assert lockouts.locked("unix", now) > 0


def test_a_million_addresses_take_no_more_room_than_said() -> None:
    lockouts = Lockouts(capacity=5000)
    for number in range(1_000_000):
        lockouts.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", number / 1000)
    assert len(lockouts) == 5000
    entry = next(iter(lockouts._records.values()))
    assert sys.getsizeof(entry) < 200
    assert lockouts.locked("10.15.66.63", 1000.0) == 0.0


def test_who_failed_last_is_remembered_longest() -> None:
    lockouts = Lockouts(capacity=100)
    now, _ = lock(lockouts, "192.0.2.1", 0.0)
    for number in range(99):
        lockouts.failed(f"10.0.0.{number}", now)
    assert lockouts.locked("192.0.2.1", now) > 0
    lockouts.failed("10.0.1.1", now)
    assert lockouts.locked("192.0.2.1", now) == 0

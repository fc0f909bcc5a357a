import pytest

from edge.core.throttle import ALL, EACH, Throttle
from edge.observe.authlog import FAILURES, AuthLog
from tests.observe.made import attempt


def written(*attempts):
    lines: list[str] = []
    log = AuthLog(lines.append)
    for each in attempts:
        log.attempt(each)
    return lines


def test_the_line_never_changes():
    assert written(attempt(reason="unknown-key")) == [
        "2026-09-21T14:13:20Z aigate auth failure from 203.0.113.7: unknown-key (service chat)\n"
    ]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "unix", ""])
def test_this_machine_is_never_in_it(address):
    assert written(attempt(address, "unknown-key")) == []


def test_only_bad_keys_are():
    assert (
        written(attempt(), attempt(reason="no-key"), attempt(reason="rate-limited"), attempt(reason="two-keys")) == []
    )
    assert len(written(*(attempt(reason=reason) for reason in FAILURES))) == len(FAILURES)


def test_a_flood_writes_so_many_lines_and_no_more():
    assert len(written(*(attempt(reason="unknown-key") for _ in range(1000)))) == EACH
    flood = (attempt(f"2001:db8:{number >> 8:x}:{number & 255:x}::1", "unknown-key") for number in range(5000))
    assert len(written(*flood)) == ALL


def test_a_throttle_counts_what_it_leaves_out_and_remembers_no_more_than_it_may():
    throttle = Throttle(each=1, all=10, addresses=50)
    for number in range(10_000):
        throttle.passes(f"10.{number >> 8}.{number & 255}.1", "locked-out", 60.0)
    assert not throttle.due(119.0) and throttle.due(120.0)
    counted = list(throttle.counted())
    assert len(counted) <= 51 and sum(count for _, _, count in counted) == 10_000 - 10
    assert list(throttle.counted()) == []

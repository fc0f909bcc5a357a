import pytest

from edge.core.headers import fields
from edge.core.tracing import parse, span_of, traced
from tests.observe.made import arrival

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"
SALT = b"salt" * 8


def head(value: str | None, **about):
    pairs = [] if value is None else [(b"Traceparent", value.encode())]
    return arrival(pairs=pairs, **about)


def test_a_parent_is_continued_with_a_span_of_our_own():
    made = span_of(head(GOOD), SALT, 0.0)
    assert f"{made.trace:032x}" == TRACE and f"{made.parent:016x}" == SPAN and made.sampled
    assert made.traceparent.startswith(f"00-{TRACE}-".encode()) and SPAN.encode() not in made.traceparent
    assert not span_of(head(GOOD[:-2] + "00"), SALT, 1.0).sampled


def test_whoever_asks_twice_finds_the_same_and_no_other_request_does():
    assert span_of(head(GOOD), SALT, 0.5) == span_of(head(GOOD), SALT, 0.5)
    assert len({span_of(head(None, started=float(n)), SALT, 0.5).span for n in range(1000)}) == 1000


@pytest.mark.parametrize(
    "value",
    [None, "", GOOD.upper(), GOOD + "-more", GOOD[:-1], GOOD.replace("00-", "ff-", 1), f"00-{'0' * 32}-{SPAN}-01",
     f"00-{TRACE}-{'0' * 16}-01", GOOD.replace("-", "_"), GOOD + "\n", "00" * 5000],
)  # fmt: skip
def test_what_is_malformed_begins_a_trace_anew(value):
    made = span_of(head(value), SALT, 1.0)
    assert made.parent is None and f"{made.trace:032x}" != TRACE and made.sampled


def test_two_parents_are_none_and_a_later_version_may_say_more():
    assert parse(fields([("traceparent", GOOD), ("traceparent", GOOD)])) is None
    assert parse(fields([("traceparent", GOOD.replace("00-", "cc-", 1) + "-what-comes")])) is not None


def test_so_many_are_sampled():
    sampled = sum(span_of(head(None, started=float(n)), SALT, 0.1).sampled for n in range(5000))
    assert 350 < sampled < 650
    assert not any(span_of(head(None, started=float(n)), SALT, 0.0).sampled for n in range(500))


def test_the_service_hears_of_one_trace_and_of_a_state_only_with_its_parent():
    pairs = [(b"Accept", b"*/*"), (b"TraceParent", b"x"), (b"tracestate", b"a=b")]
    assert traced(pairs, fields([("traceparent", GOOD)]), b"new") == [
        (b"Accept", b"*/*"), (b"tracestate", b"a=b"), (b"Traceparent", b"new"),
    ]  # fmt: skip
    assert traced(pairs, fields([("traceparent", "x")]), b"new") == [(b"Accept", b"*/*"), (b"Traceparent", b"new")]

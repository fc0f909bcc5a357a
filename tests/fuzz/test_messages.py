"""The parsers against llhttp: seeds and their mutations, a bounded number in every run (`make fuzz` for longer)."""

from collections.abc import Callable

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.core.headers import Fields
from edge.core.redact import printable, redacted
from edge.core.refusal import Refusal
from edge.core.routing import forms
from edge.wire.body import Body
from edge.wire.head import BadHead, RequestHead, request_head
from edge.wire.http1 import Http1
from tests.fuzz import frames, oracle, seeds
from tests.wire.memory import Bench

TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "requests": (oracle.judge_request, seeds.requests),
    "answers": (oracle.judge_answer, seeds.answers),
    "chunks": (oracle.judge_chunks, seeds.chunks),
}


def changed(data: bytes, steps: list[tuple[int, int, int, bytes]]) -> bytes:
    """`data` after steps of (how, where, how much, what)."""
    for how, at, size, piece in steps:
        at = at % (len(data) + 1)
        if how == 0:
            data = data[:at] + piece + data[at:]
        elif how == 1:
            data = data[:at] + data[at + size :]
        elif how == 2:
            data = data[:at] + piece + data[at + len(piece) :]
        else:
            data = data[:at] + data[at : at + size] * 2 + data[at + size :]
    return data


def mutated(base: list[bytes]) -> st.SearchStrategy[bytes]:
    """A seed with some of it cut out, doubled, overwritten, or with pieces put in."""

    step = st.tuples(
        st.integers(0, 3),
        st.integers(0, 400),
        st.integers(1, 40),
        st.sampled_from(seeds.PIECES) | st.binary(max_size=3),
    )
    return st.builds(changed, st.sampled_from(base), st.lists(step, max_size=5))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(frames.pieces()), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 600), st.integers(1, 30), st.binary(max_size=3)), max_size=4),
)
def test_frames_in_any_order_and_damaged_break_nothing(
    parts: list[bytes], steps: list[tuple[int, int, int, bytes]]
) -> None:
    frames.judge_frames(changed(b"".join(parts), steps))


@pytest.mark.parametrize("target", TARGETS)
def test_every_seed_reads_as_llhttp_reads_it_or_not_at_all(target: str) -> None:
    judge, base = TARGETS[target]
    for data in [*base(), *seeds.kept(target)]:
        judge(data)


@pytest.mark.parametrize("target", TARGETS)
def test_every_mutation_reads_as_llhttp_reads_it_or_not_at_all(target: str) -> None:
    judge, base = TARGETS[target]

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutated([data for data in base() if len(data) < 3000]))
    def run(data: bytes) -> None:
        judge(data)

    run()


def _read(data: bytes, known: RequestHead | None) -> RequestHead | None:
    at = data.find(b"\r\n\r\n")
    try:
        return None if at < 0 else request_head(data[: at + 2], known=known)
    except BadHead:
        return None


def _alike(head: RequestHead | None) -> object:
    return None if head is None else (evolve(head, fields=NONE), head.fields.pairs, head.fields.lows)


NONE = Fields([])
HEADS = [
    b"POST /a/api/x HTTP/1.1\r\nHost: localhost\r\nX-API-Key: k\r\nContent-Length: %d\r\nAccept: */*\r\n\r\n" % length
    for length in (0, 1, 5, 1234)
]


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    mutated([*HEADS, *(data for data in seeds.requests() if len(data) < 3000)]),
    mutated(HEADS) | st.sampled_from(HEADS),
)
def test_a_head_reads_the_same_whatever_was_read_before_it(before: bytes, data: bytes) -> None:
    for first, second in ((before, data), (data, before), (data, data)):
        assert _alike(_read(second, _read(first, None))) == _alike(_read(second, None))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated([data for data in seeds.requests() if len(data) < 3000]), st.lists(st.integers(1, 60), max_size=12))
def test_a_connection_reads_the_same_however_its_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    def outcome(parts: list[bytes]) -> tuple[list[object], int]:
        bodies: list[object] = []

        def keep(request: object) -> None:
            body: Body = request.body  # type: ignore[attr-defined]
            bodies.append((request.verb, request.target, request.fields.pairs))  # type: ignore[attr-defined]
            if body.complete or not body.length:
                request.reply(200, [], b"ok")  # type: ignore[attr-defined]

        line = Bench(Http1, keep)
        for part in parts:
            if line.closed:
                break
            line.protocol.dataReceived(part)
        return bodies, len(line.told.refusals)

    parts, at = [], 0
    for cut in cuts:
        parts.append(data[at : at + cut])
        at += cut
    parts.append(data[at:])
    whole, cut_up = outcome([data]), outcome([part for part in parts if part])
    # A head alone is judged at once, and a body that breaks later is refused later: what came whole may have been refused before
    # it was judged, and never the other way round.
    assert bool(cut_up[1]) == bool(whole[1]) or whole[0]
    assert cut_up[0][:1] == whole[0][:1] or (whole[1] and not whole[0])


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=60) | st.text("/.%25;\\aAcC0eE2fF", max_size=30).map(str.encode))
def test_a_path_that_is_judged_never_leads_upwards_in_any_of_its_forms(path: bytes) -> None:
    judged = forms(b"/" + path)
    if isinstance(judged, Refusal):
        return
    for form in judged:
        assert ".." not in form.replace("\\", "/").split("/")
        assert "." not in form.split("/")[1:]
        assert "\0" not in form


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=700))
def test_what_is_written_down_is_one_printable_line(raw: bytes) -> None:
    shown = printable(redacted(raw))
    assert shown.isprintable()
    assert len(shown) < 5000

"""W3C Trace Context (https://www.w3.org/TR/trace-context/): which trace a request belongs to, and our own part of it.

Nothing is kept with the request: its span follows from its head and a secret of the process, so that whoever sends the
request on and whoever tells of its end find the same.
"""

import re
from hashlib import blake2b
from typing import Final

from attrs import frozen

from edge.core.exchange import Arrival
from edge.core.headers import Fields, Pair

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"
_FORM: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SCALE: Final = 2.0**64


@frozen
class Parent:
    """What a `traceparent` says."""

    trace: int
    """128 bits, never 0."""
    span: int
    """64 bits, never 0."""
    sampled: bool


@frozen
class Span:
    """Our own part of a trace."""

    trace: int
    span: int
    parent: int | None
    """The client's span, None where the trace begins here."""
    sampled: bool
    """Whether it is to be told."""

    @property
    def traceparent(self) -> bytes:
        """What the service behind is told."""
        return b"00-%032x-%016x-%02x" % (self.trace, self.span, self.sampled)


def parse(fields: Fields) -> Parent | None:
    """The parent that a head names; None where it names none, two, or one that is malformed (section 3.2)."""
    values = fields.all(TRACEPARENT)
    found = _FORM.fullmatch(values[0]) if len(values) == 1 and len(values[0]) <= 256 else None
    # Version ff is forbidden, and version 00 ends after the flags; later versions may go on.
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5]):
        return None
    trace, span = int(found[2], 16), int(found[3], 16)
    return Parent(trace, span, bool(int(found[4], 16) & 1)) if trace and span else None


def span_of(arrival: Arrival, salt: bytes, share: float) -> Span:
    """Our span for a request. `share` (0 to 1) of the traces that begin here are sampled; others as their parents say."""
    seed = f"{arrival.id} {arrival.started!r} {arrival.peer}".encode("utf-8", "replace")
    made = blake2b(seed, digest_size=24, key=salt).digest()
    span = int.from_bytes(made[:8], "big") or 1
    parent = parse(arrival.fields)
    if parent is not None:
        return Span(parent.trace, span, parent.span, parent.sampled)
    trace = int.from_bytes(made[8:], "big") or 1
    return Span(trace, span, None, int.from_bytes(made[16:], "big") < share * _SCALE)


def traced(pairs: list[Pair], head: Fields, traceparent: bytes) -> list[Pair]:
    """The fields that go on, in the trace that `traceparent` names; a state without a parent that holds goes nowhere."""
    state = parse(head) is not None
    made = [pair for pair in pairs if (low := pair[0].lower()) != TRACEPARENT and (state or low != TRACESTATE)]
    made.append((b"Traceparent", traceparent))
    return made

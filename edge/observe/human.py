"""One line a request for a person's eyes."""

from edge.core.exchange import Outcome
from edge.core.redact import printable, redacted


def line(outcome: Outcome) -> str:
    """Who, what, status, bytes, time to first byte and in all: `200 GET /chat/api/tags alice/1a2b3c4d 1234 B 3 ms of 12 ms`."""
    arrival, caller = outcome.exchange.arrival, outcome.exchange.caller
    who = f"{caller.user}/{caller.key_id}" if caller else arrival.client
    first = "-" if outcome.first_byte is None else f"{outcome.first_byte * 1000:.0f}"
    what = f"{outcome.status} {arrival.method or '-'} {printable(redacted(arrival.target), 200) or '-'} {who}"
    how = f"{outcome.sent} B {first} ms of {outcome.seconds * 1000:.0f} ms {arrival.id}"
    why = " ".join(part for part in (outcome.reason, "" if outcome.ended == "complete" else outcome.ended) if part)
    return f"{what} {how} {why}".rstrip()

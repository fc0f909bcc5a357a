"""One line a request for a person's eyes."""

from edge.core.exchange import Outcome

LONGEST = 200


def printable(raw: bytes) -> str:
    """Text from a client that cannot move the cursor, end the line or be taken for another field."""
    text = raw[: LONGEST + 1].decode("ascii", "backslashreplace")
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return shown if len(raw) <= LONGEST else shown[:LONGEST] + "…"


def line(outcome: Outcome) -> str:
    """Who, what, status, bytes, time to first byte and in all: `200 GET /chat/api/tags alice/1a2b3c4d 1234 B 3 ms of 12 ms`."""
    arrival, caller = outcome.exchange.arrival, outcome.exchange.caller
    who = f"{caller.user}/{caller.key_id}" if caller else arrival.client
    first = "-" if outcome.first_byte is None else f"{outcome.first_byte * 1000:.0f}"
    what = f"{outcome.status} {arrival.method or '-'} {printable(arrival.target) or '-'} {who}"
    how = f"{outcome.sent} B {first} ms of {outcome.seconds * 1000:.0f} ms {arrival.id}"
    why = " ".join(part for part in (outcome.reason, "" if outcome.ended == "complete" else outcome.ended) if part)
    return f"{what} {how} {why}".rstrip()

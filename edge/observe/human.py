"""One line a request for a person's eyes."""

import time

from edge.core.exchange import Outcome
from edge.core.redact import printable, redacted
from edge.observe.quoting import scrubbed

LONGEST = 200


def line(outcome: Outcome) -> str:
    """Who, what, status, bytes, time to first byte and in all: `200 GET /chat/api/tags alice/1a2b3c4d 1234 B 3 ms of 12 ms`."""
    arrival, caller = outcome.exchange.arrival, outcome.exchange.caller
    # A user's name is an operator's choice, and may still hold what a terminal acts on.
    who = f"{visible(caller.user)}/{caller.key_id}" if caller else arrival.client
    # The gate's own answers have no first byte of a service to wait for.
    first = "in" if outcome.first_byte is None else f"{outcome.first_byte * 1000:.0f} ms of"
    what = f"{outcome.status} {arrival.method or '-'} {_target(arrival.target) or '-'} {who}"
    how = f"{outcome.sent} B {first} {outcome.seconds * 1000:.0f} ms {arrival.id}"
    # A reason such as `upstream-refused` says more exactly how it ended.
    told = outcome.ended in ("complete", "refused") or outcome.reason.startswith("upstream-")
    ended = "" if told else outcome.ended
    why = " ".join(part for part in (outcome.reason, ended) if part)
    return scrubbed(f"{what} {how} {why}".rstrip())


def _target(raw: bytes) -> str:
    return printable(redacted(raw), LONGEST).replace("…", "...")


class HumanLine:
    """Lines with the local time before them, for a terminal or a file."""

    def __init__(self) -> None:
        self._second = -1
        self._stamp = ""

    def __call__(self, outcome: Outcome) -> str:
        """One request and a line feed, in ASCII; its time is that of its end."""
        arrival = outcome.exchange.arrival
        second = int(arrival.at + outcome.seconds)
        if second != self._second:
            # Most requests end in the same second as the one before, and strftime is dear.
            self._second, self._stamp = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._stamp} {line(outcome)}\n"


def visible(text: str) -> str:
    """A text in printable ASCII, everything else as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char.isascii() and char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )

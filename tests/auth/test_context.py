"""What a service is told of the caller."""

from edge.auth.context import identity
from edge.core.exchange import Caller
from edge.testing import key


def test_names_outside_ascii_cannot_break_a_header() -> None:
    told = identity(Caller(key(user="Zoë\u2028 & co")))
    assert told[0] == (b"X-Aigate-User", b"Zo%C3%AB%E2%80%A8 & co")
    assert told[1] == (b"X-Aigate-Key-Id", b"0badcafe")

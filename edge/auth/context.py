"""What the gate knows of a caller, told to the service behind where its settings ask for it (`identify`)."""

from typing import Final
from urllib.parse import quote

from edge.core.exchange import Caller
from edge.core.headers import Pair

PREFIX: Final = b"x-aigate-"
"""A client's own fields of this family are removed from every request, asked for or not."""


def forged(low: bytes) -> bool:
    """Whether a lower-case field name is one that only the gate may set; `_` counts as `-`, since some servers read it so."""
    return low.replace(b"_", b"-").startswith(PREFIX)


def identity(caller: Caller) -> list[Pair]:
    """The fields that tell a service who asks: names outside ASCII are percent-encoded UTF-8."""
    return [
        (b"X-Aigate-User", quote(caller.user, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~").encode()),
        (b"X-Aigate-Key-Id", caller.key_id.encode()),
    ]

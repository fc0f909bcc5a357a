"""What the gate knows of a caller, told to the service behind where its settings ask for it (`identify`)."""

from urllib.parse import quote

from edge.core.exchange import Caller
from edge.core.headers import Pair


def identity(caller: Caller) -> list[Pair]:
    """The fields that tell a service who asks: names outside ASCII are percent-encoded UTF-8."""
    return [
        (b"X-Aigate-User", quote(caller.user, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~").encode()),
        (b"X-Aigate-Key-Id", caller.key_id.encode()),
    ]

"""A request's head as bytes: what the caller gave, byte for byte, and framing that only we write."""

import re
from collections.abc import Sequence
from typing import Final

from edge.backends.target import UpstreamURL
from edge.core.headers import Pair
from edge.wire.head import TOKEN

OWN: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"upgrade"))
"""Fields that say how a message ends or whom a connection serves: only the one who frames it may write them."""
_colon = b": ".join
_USUAL: Final = frozenset((b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"PATCH"))
_TOKEN: Final = re.compile(TOKEN + rb"{1,32}")
_PATH: Final = re.compile(rb"/[!-~]*")


def request_head(method: bytes, url: UpstreamURL, pairs: Sequence[Pair], framing: bytes) -> bytes:
    """The head of a request, empty line included; Host is the target's where `pairs` has none.

    `framing` is what follows the caller's fields, lines with their ends. Raises ValueError for what cannot be sent: a
    method or path outside the grammar, framing fields, two Hosts, a field with a line break.
    """
    if not (method in _USUAL or _TOKEN.fullmatch(method)) or not _PATH.fullmatch(url.raw_path):
        raise ValueError("the method or the path cannot be sent")
    lows = [name.lower() for name, _ in pairs]
    if not OWN.isdisjoint(lows):
        raise ValueError("framing and connection fields are not the caller's")
    fields = b"\r\n".join(map(_colon, pairs))
    if fields:
        fields += b"\r\n"
    if fields.count(b"\n") != len(lows) or fields.count(b"\r") != len(lows):
        raise ValueError("a field holds a line break")
    if b"host" not in lows:
        return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n" % (method, url.raw_path, url.target.netloc, fields, framing)
    if lows.count(b"host") > 1:
        raise ValueError("there is one Host")
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, url.raw_path, fields, framing)


def upgrade_head(protocol: bytes, url: UpstreamURL, pairs: Sequence[Pair]) -> bytes:
    """The head of a request to switch to `protocol`. Raises ValueError as `request_head` does."""
    if not _TOKEN.fullmatch(protocol):
        raise ValueError("the protocol cannot be asked for")
    return request_head(b"GET", url, pairs, b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol)

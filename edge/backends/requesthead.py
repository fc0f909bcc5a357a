"""A request's head as bytes: what the caller gave, byte for byte, and framing that only we write."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from edge.backends.target import UpstreamURL
from edge.core.batch import Batch, Block, lines
from edge.core.headers import Pair
from edge.wire.head import TOKEN

OWN: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"upgrade"))
"""Fields that say how a message ends or whom a connection serves: only the one who frames it may write them."""
_USUAL: Final = frozenset((b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"PATCH"))
_ADDED: Final[set[bytes]] = set()
_MOST_ADDED: Final = 64
"""Names that were found to be nobody's but the caller's."""
_TOKEN: Final = re.compile(TOKEN + rb"{1,32}")
_PATH: Final = re.compile(rb"/[!-~]*")


def request_head(method: bytes, url: UpstreamURL, pairs: Sequence[Pair] | Batch, framing: bytes) -> bytes:
    """The head of a request, empty line included; Host is the target's where `pairs` has none.

    `framing` is what follows the caller's fields, lines with their ends. Raises ValueError for what cannot be sent: a
    method or path outside the grammar, framing fields, two Hosts, a field with a line break.
    """
    path = url.raw_path
    if not (method in _USUAL or _TOKEN.fullmatch(method)) or not _PATH.fullmatch(path):
        raise ValueError("the method or the path cannot be sent")
    if type(pairs) is Batch and not pairs.own and (pairs.block.checked or _check(pairs.block)):
        rest = pairs.rest
        fields = b""
        for pair in rest:
            if pair[0] not in _ADDED:
                _add(pair[0])
            fields += b"%b: %b\r\n" % pair
        if fields.count(b"\n") != len(rest) or fields.count(b"\r") != len(rest):
            raise ValueError("a field holds a line break")
        return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (method, path, pairs.block.lines, fields, framing)
    fields = lines(pairs)
    hosts = _checked(pairs, fields)
    if hosts > 1:
        raise ValueError("there is one Host")
    if not hosts:
        fields = b"Host: %b\r\n%b" % (url.target.netloc, fields)
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, path, fields, framing)


def _check(block: Block) -> bool:
    """Whether a block can begin the fields of any request: it has the one Host. Raises ValueError as `request_head` does."""
    block.checked = _checked(block.pairs, block.lines) == 1
    return block.checked


def _add(name: bytes) -> None:
    """Raises ValueError for a name that may not be added to a block."""
    low = name.lower()
    if low == b"host":
        raise ValueError("there is one Host")
    if low in OWN:
        raise ValueError("framing and connection fields are not the caller's")
    if len(_ADDED) < _MOST_ADDED:
        _ADDED.add(name)


def _checked(pairs: Iterable[Pair], written: bytes) -> int:
    """How many Hosts there are. Raises ValueError for framing fields and for line breaks within a field."""
    lows = [name.lower() for name, _ in pairs]
    if not OWN.isdisjoint(lows):
        raise ValueError("framing and connection fields are not the caller's")
    if written.count(b"\n") != len(lows) or written.count(b"\r") != len(lows):
        raise ValueError("a field holds a line break")
    return lows.count(b"host")


def upgrade_head(protocol: bytes, url: UpstreamURL, pairs: Sequence[Pair] | Batch) -> bytes:
    """The head of a request to switch to `protocol`. Raises ValueError as `request_head` does."""
    if not _TOKEN.fullmatch(protocol):
        raise ValueError("the protocol cannot be asked for")
    return request_head(b"GET", url, pairs, b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol)

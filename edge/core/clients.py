"""The true client address: the socket's other end, or what trusted proxies say of it."""

import re
from collections.abc import Sequence
from itertools import chain
from typing import Final

from edge.core.headers import Fields
from edge.core.networks import Network, address, within

X_FORWARDED_FOR: Final = b"x-forwarded-for"
FORWARDED: Final = b"forwarded"
_RIAP: Final = re.compile(
    rb"""[ \t]*+(?:(?:([]!#$%&'*+.^_`|~0-9A-Za-z:[-]+)|"((?:[^"]++|"(?=\\(?:\\\\)*+(?!\\)))*+)")=([!#$%&'*+.^_`|~0-9A-Za-z-]+))?[ \t]*+([;,]|\Z)"""
)
"""One pair of `Forwarded` read backwards, and what stands before it: a token (an address may lack its quotes) or a quoted
text, `=` and a name, or nothing. A quote within the text has an odd number of backslashes before it."""
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_PORT = re.compile(r"^\[?(.*?)\]?(?::\d{1,5})?$")


def client_of(peer: str, fields: Fields, trusted: Sequence[Network], header: bytes) -> tuple[str, bytes]:
    """(the true client address, the whole way here as `X-Forwarded-For` spells it, b"" where nobody stands between).

    The chosen header is read from the right to the first hop that no trusted proxy vouches for. A hop that is no
    address ends the reading: what is left of it can be anybody's invention. So does what is malformed in `Forwarded`.
    """
    if not trusted or not within(peer, trusted):
        return peer, b""
    hops = _hops(fields, header)
    client = peer
    believed: list[str] = []
    for hop in reversed(hops):
        if address(hop) is None:
            break
        believed.append(client)
        client = str(address(hop))
        if not within(client, trusted):
            break
    if not believed:
        return peer, b""
    return client, ", ".join([client, *reversed(believed)]).encode("ascii")


def _hops(fields: Fields, header: bytes) -> list[str]:
    hops = []
    listed = header != FORWARDED
    for value in fields.listed(header) if listed else chain.from_iterable(map(_nodes, fields.all(header))):
        text = value.decode("latin-1").strip()
        if text.count(":") == 1 or text.startswith("["):
            bare = _PORT.match(text)
            text = bare[1] if bare else text
        hops.append(text)
    return hops


def _nodes(line: bytes) -> list[bytes]:
    """What each element of a line of `Forwarded` says after `for=` (RFC 7239 4), b"" where it says nothing.

    Read from the right, where the nearest proxy writes, so that a quote left open before it cannot swallow its words. An
    element that is malformed or says it twice is b"", and the first of the list.
    """
    nodes: list[bytes] = []
    node: bytes | None = None
    said, at, backwards = False, 0, line[::-1]
    while (pair := _RIAP.match(backwards, at)) is not None:
        token, quoted, name, end = pair.groups()
        if name is not None:
            said = True
            if name.lower() == b"rof":
                if node is not None:
                    break
                node = token[::-1] if quoted is None else _ESCAPED.sub(rb"\1", quoted[::-1])
        if end != b";" and said:
            nodes.append(node or b"")
            node, said = None, False
        if not end:
            return nodes[::-1]
        at = pair.end()
    return [b"", *nodes[::-1]]

"""The true client address: the socket's other end, or what trusted proxies say of it."""

import re
from collections.abc import Sequence
from typing import Final

from edge.core.headers import Fields
from edge.core.networks import Network, address, within

X_FORWARDED_FOR: Final = b"x-forwarded-for"
FORWARDED: Final = b"forwarded"
_FOR = re.compile(rb'(?:^|;)[ \t]*[Ff][Oo][Rr]=("?)([^";,]*)\1')
_PORT = re.compile(r"^\[?(.*?)\]?(?::\d{1,5})?$")


def client_of(peer: str, fields: Fields, trusted: Sequence[Network], header: bytes) -> tuple[str, bytes]:
    """(the true client address, the whole way here as `X-Forwarded-For` spells it, b"" where nobody stands between).

    The chosen header is read from the right to the first hop that no trusted proxy vouches for. A hop that is no
    address ends the reading: what is left of it can be anybody's invention.
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
    for value in fields.listed(header):
        if header == FORWARDED:
            found = _FOR.search(value)
            value = found[2] if found else b""
        text = value.decode("latin-1").strip()
        if text.count(":") == 1 or text.startswith("["):
            bare = _PORT.match(text)
            text = bare[1] if bare else text
        hops.append(text)
    return hops

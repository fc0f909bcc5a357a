"""Heads of HTTP/2 requests, read as strictly as those of HTTP/1.1 and into the same values (RFC 9113 8)."""

import re
from typing import Final

from edge.core.headers import Fields, Pair
from edge.wire.head import CHUNKED, LONGEST, BadHead, RequestHead, host_of, one_key
from edge.wire.limits import WireLimits

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]{1,256}")
_PATH = re.compile(rb"/[!\"$-~]*")
_TEXT = bytes(code for code in range(256) if (code >= 0x20 and code != 0x7F) or code == 0x09)

_PSEUDO: Final = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
_KNOWN: Final[set[bytes]] = set()
_MOST_NAMES: Final = 512
"""Names that were found well-formed once; strangers cannot make the set grow."""

_HOST, _CONTENT_LENGTH, _COOKIE, _EXPECT, _TE, _HOP = range(1, 7)
_SPECIAL: Final[dict[bytes, int]] = {
    b"host": _HOST,
    b"content-length": _CONTENT_LENGTH,
    b"cookie": _COOKIE,
    b"expect": _EXPECT,
    b"te": _TE,
    b"connection": _HOP,
    b"keep-alive": _HOP,
    b"proxy-connection": _HOP,
    b"transfer-encoding": _HOP,
    b"upgrade": _HOP,
}


class MalformedHead(BadHead):
    """A head that is no HTTP/2 request at all: its stream is reset with PROTOCOL_ERROR (RFC 9113 8.1.1)."""


def check_fields(pairs: list[Pair]) -> None:
    """Raises MalformedHead unless all are ordinary fields that may stand in trailers, names and values well-formed."""
    for name, _ in pairs:
        if name not in _KNOWN:
            _check_name(name)
        if _SPECIAL.get(name) == _HOP:
            raise MalformedHead("a field that belongs to a connection of HTTP/1.1")
    _check_values(pairs)


def _check_name(name: bytes) -> None:
    if _NAME.fullmatch(name) is None:
        raise MalformedHead("a header name is malformed")
    if len(_KNOWN) < _MOST_NAMES:
        _KNOWN.add(name)


def _check_values(pairs: list[Pair]) -> None:
    values = [value for _, value in pairs]
    if b"".join(values).translate(None, _TEXT):
        raise MalformedHead("a header value holds a control character")
    for value in values:
        if value and (value[0] <= 0x20 or value[-1] <= 0x20):
            raise MalformedHead("a header value begins or ends with white space")


def request_head(pairs: list[Pair], ended: bool, limits: WireLimits) -> RequestHead:
    """Reads a request's decoded fields; `ended` when no body follows.

    Raises BadHead for what is refused, MalformedHead for what the protocol forbids.
    """
    pseudo: dict[bytes, bytes] = {}
    kept: list[Pair] = []
    lows: list[bytes] = []
    special: list[tuple[int, bytes]] = []
    for pair in pairs:
        name = pair[0]
        if name[:1] == b":":
            if kept or special or name not in _PSEUDO or name in pseudo:
                raise MalformedHead("a pseudo-header is unknown, late, or there twice")
            pseudo[name] = pair[1]
            continue
        if name not in _KNOWN:
            _check_name(name)
        sort = _SPECIAL.get(name)
        if sort is not None:
            special.append((sort, pair[1]))
            if sort == _COOKIE:
                continue
        kept.append(pair)
        lows.append(name)
    _check_values(pairs)
    length: int | None = None
    stated = pseudo.get(b":authority")
    host_field: bytes | None = None
    expects = False
    crumbs: list[bytes] = []
    for sort, value in special:
        if sort == _HOST:
            if host_field is not None:
                raise BadHead("there is more than one Host")
            host_field = value
        elif sort == _CONTENT_LENGTH:
            if length is not None or not value.isdigit() or len(value) > LONGEST:
                raise MalformedHead("the Content-Length is not one plain number")
            length = int(value)
        elif sort == _COOKIE:
            crumbs.append(value)
        elif sort == _EXPECT:
            if value.lower() != b"100-continue":
                raise BadHead("the only Expect is 100-continue", status=417)
            expects = True
        elif sort == _TE:
            if value.lower() != b"trailers":
                raise MalformedHead("TE names more than trailers")
        else:
            raise MalformedHead("a field that belongs to a connection of HTTP/1.1")
    if crumbs:
        kept.append((b"cookie", b"; ".join(crumbs)))
        lows.append(b"cookie")
    method, protocol = _method(pseudo, ended, length)
    path, scheme = pseudo.get(b":path"), pseudo.get(b":scheme")
    if path is None or scheme is None:
        raise MalformedHead("no :path or no :scheme")
    if scheme not in (b"http", b"https"):
        raise MalformedHead("the scheme is neither http nor https")
    if _PATH.fullmatch(path) is None:
        if path == b"*" and method == "OPTIONS":
            raise BadHead("there is nothing to be said of the server as a whole")
        raise MalformedHead("the :path is malformed")
    if host_field is None:
        if stated is None:
            raise BadHead("there is no :authority and no Host")
        kept.insert(0, (b"host", stated))
        lows.insert(0, b"host")
    elif stated is not None and stated.lower() != host_field.lower():
        raise BadHead(":authority and Host name different hosts")
    authority = host_field if stated is None else stated
    assert authority is not None
    host = host_of(authority)
    if host is None:
        raise BadHead("the :authority is malformed")
    if len(kept) > limits.header_count:
        raise BadHead(f"there are more than {limits.header_count} header fields", "head-too-large")
    if ended:
        if length:
            raise MalformedHead("a Content-Length without a body")
        size = 0
    else:
        size = CHUNKED if length is None else length
    fields = Fields(kept, lows)
    if protocol is not None:
        size = 0
        one_key(fields)
    return RequestHead(method, path, 0, fields, host, authority, size, True, expects and size != 0, protocol)


def _method(pseudo: dict[bytes, bytes], ended: bool, length: int | None) -> tuple[str, bytes | None]:
    """The method, and the protocol that an extended CONNECT switches to (RFC 8441 4)."""
    method, protocol = pseudo.get(b":method"), pseudo.get(b":protocol")
    if method is None:
        raise MalformedHead("no :method")
    if _TOKEN.fullmatch(method) is None:
        raise MalformedHead("the :method is malformed")
    if method != b"CONNECT":
        if protocol is not None:
            raise MalformedHead(":protocol belongs to CONNECT only")
        return method.decode("ascii"), None
    if protocol is None:
        raise BadHead("this is not a forward proxy", "method-not-allowed")
    if _TOKEN.fullmatch(protocol) is None or ended or length is not None or b":authority" not in pseudo:
        raise MalformedHead("the extended CONNECT is malformed")
    # What it asks for is what an HTTP/1.1 upgrade asks for by GET.
    return "GET", protocol.lower()

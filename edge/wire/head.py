"""Heads of HTTP/1.1 messages, read by their grammar (RFC 9112): what does not match in full is refused.

Nothing is lenient by accident: every byte of a head has its place in the grammar or the head is refused, and whatever
could be read in two ways is refused as well. Requests and upstream answers share the reading of fields.
"""

import re
from functools import lru_cache
from typing import Final

from attrs import define, field

from edge.core.forwarding import CREDENTIALS
from edge.core.headers import Fields, Pair
from edge.core.refusal import Refusal, sentence

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE = rb"[^\x00-\x08\x0a-\x1f\x7f]"
_METHOD = re.compile(TOKEN + rb"{1,32}")
_METHODS: Final = {
    verb.encode("ascii"): verb for verb in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "CONNECT")
}
"""As they come and as they are known, for those that most requests have."""
_MINOR: Final = {b"HTTP/1.0": 0, b"HTTP/1.1": 1}
_TARGET = bytes(code for code in range(0x21, 0x7F) if code != 0x23)
# Without "#": a fragment is never sent (RFC 9110 7.1), and servers differ in where they cut one off.
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: (" + _VALUE + rb"*))?")
_NAME = re.compile(TOKEN + rb"{1,256}")
_TEXT = bytes(code for code in range(256) if (code >= 0x20 and code != 0x7F) or code == 0x09)
_AUTHORITY = re.compile(rb"(?:([A-Za-z0-9._~-]{1,255})|\[([0-9A-Fa-f:.]{2,45})\])(?::([0-9]{1,5}))?")
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)([/?].*)?")

_MOST_LINES: Final = 1024
"""Field lines that are remembered as they were read, since clients and services send the same few again and again."""
_LONGEST_LINE: Final = 256
_FORGOTTEN: Final = CREDENTIALS | {
    b"proxy-authorization", b"cookie", b"set-cookie", b"sec-websocket-protocol", b"sec-websocket-key", b"x-request-id",
}  # fmt: skip
"""Names whose lines are not: they hold secrets, or are never the same."""
_Line = tuple[Pair, bytes, int]
"""A field, its lower-case name, and its sort where it frames a message, else 0."""
_lines: Final[dict[bytes, _Line]] = {}

CHUNKED: Final = -1
"""A body's length where the message is chunked."""
UNTIL_CLOSE: Final = -2
"""A body's length where the end of the connection ends it (answers only)."""
LONGEST: Final = 15
"""Digits of a Content-Length: a petabyte, and far from any integer's edge."""

_CONTENT_LENGTH, _TRANSFER_ENCODING, _HOST, _CONNECTION, _EXPECT, _UPGRADE = range(1, 7)
_FRAMING: Final[dict[bytes, int]] = {
    b"content-length": _CONTENT_LENGTH,
    b"transfer-encoding": _TRANSFER_ENCODING,
    b"host": _HOST,
    b"connection": _CONNECTION,
    b"expect": _EXPECT,
    b"upgrade": _UPGRADE,
}


class BadHead(Exception):
    """A head (or chunk framing) that is malformed or ambiguous; carries the Refusal for its sender."""

    def __init__(self, message: str, reason: str = "bad-request", status: int = 0) -> None:
        super().__init__(message)
        self.refusal = Refusal(reason, sentence(message), status)


@define(eq=False)
class _Said:
    """What the field lines of a request say, whatever its first line is."""

    block: bytes
    lead: bytes
    """What comes before the number of a Content-Length, from the line's start on; b"" where there is none to be left out."""
    rest: bytes
    """The block without that line."""
    fields: Fields
    """All but the Content-Length, which `length` has: a client's requests differ in nothing else."""
    host: str | None
    authority: bytes
    length: int
    chunked: bool
    closing: bool
    expects: bool
    upgrade: bytes | None


@define
class RequestHead:
    """What a request's head says. `length` is bytes of body, or CHUNKED."""

    method: str
    target: bytes
    """Origin form, as received."""
    minor: int
    fields: Fields
    host: str
    """Lower-case, without port and brackets."""
    authority: bytes
    """The Host field's value as received."""
    length: int
    keep_alive: bool
    expects: bool
    """Whether the client waits for `100 Continue`."""
    upgrade: bytes | None
    """The lower-case protocol of a well-formed upgrade request, `websocket`."""
    said: _Said | None = field(default=None, eq=False, repr=False)
    """What its field lines say, for the next head of an HTTP/1.1 connection."""
    line: bytes = field(default=b"", eq=False, repr=False)
    """Its first line with its end, for the same; b"" where what it says is not for another head."""


@define
class AnswerHead:
    """What an answer's head says. `length` is bytes of body, CHUNKED or UNTIL_CLOSE, for a request that was not HEAD."""

    status: int
    phrase: bytes
    minor: int
    fields: Fields
    length: int
    keep_alive: bool
    upgrade: bytes | None


def looks_broken(partial: bytes) -> bool:
    """Whether a head that is not complete yet can never become a good one (a line that ends in a bare LF)."""
    # Twice a plain count: a head that comes byte by byte is looked at again with each.
    return partial.count(b"\n") != partial.count(b"\r\n")


@lru_cache(maxsize=256)
def host_of(authority: bytes) -> str | None:
    """The lower-case host of an authority `name[:port]` or `[v6][:port]` without userinfo, None where it is malformed."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None or (match[3] is not None and int(match[3]) > 65535):
        return None
    host = (match[1] or match[2]).decode("ascii").lower().removesuffix(".")
    return host if host and "" not in host.split(".") else None


def _line(line: bytes) -> _Line:
    """One field line without its end. Raises BadHead for one that the grammar does not know."""
    if line.translate(None, _TEXT):
        raise BadHead("a header line holds a control character")
    name, colon, value = line.partition(b":")
    if not colon:
        raise BadHead("a header line has no colon")
    if _NAME.fullmatch(name) is None:
        raise BadHead("a header name is malformed")
    low = name.lower()
    if low == b"transfer-encoding" and b"\t" in line:
        # Legal, and read by some as another coding than chunked.
        raise BadHead("a tab beside the Transfer-Encoding")
    made = ((name, value.strip(b" \t")), low, _FRAMING.get(low, 0))
    if len(line) <= _LONGEST_LINE and low not in _FORGOTTEN:
        if len(_lines) >= _MOST_LINES:
            _lines.clear()
        _lines[line] = made
    return made


def _fields(block: bytes, most: int) -> tuple[Fields, list[tuple[int, bytes]]]:
    """The fields of a block of lines, and of these the ones that frame a message, as (sort, value)."""
    lines = block.split(b"\r\n")
    lines.pop()
    if len(lines) > most:
        raise BadHead(f"there are more than {most} header fields", "head-too-large")
    pairs: list[Pair] = []
    lows: list[bytes] = []
    framing: list[tuple[int, bytes]] = []
    known = _lines.get
    for line in lines:
        pair, low, sort = known(line) or _line(line)
        pairs.append(pair)
        lows.append(low)
        if sort:
            framing.append((sort, pair[1]))
    return Fields(pairs, lows), framing


def _content_length(value: bytes) -> int:
    if not value.isdigit() or len(value) > LONGEST:
        raise BadHead("the Content-Length is not a plain number")
    return int(value)


def _request_line(line: bytes) -> tuple[str, bytes, int]:
    """Method, target and minor version of a request's first line (RFC 9112 3)."""
    parts = line.split(b" ")
    if len(parts) == 3:
        verb, target, version = parts
        method, minor = _METHODS.get(verb), _MINOR.get(version)
        if method is None and _METHOD.fullmatch(verb) is not None:
            method = verb.decode("ascii")
        if method is not None and minor is not None and target and not target.translate(None, _TARGET):
            return method, target, minor
    raise BadHead("the request line is malformed")


def request_head(head: bytes, most_fields: int = 100, known: RequestHead | None = None) -> RequestHead:
    """Reads a request's head: all bytes up to and including the last field line's CRLF, without the empty line.

    `known` is a head that was read before: one with the very same first line or field lines need not have them read
    again. Raises BadHead for whatever is malformed, ambiguous, or not HTTP/1.0 or 1.1.
    """
    if known is not None and known.line and head.startswith(known.line):
        line, method, target, minor = known.line, known.method, known.target, known.minor
    else:
        line = head[: head.index(b"\r\n") + 2]
        method, target, minor = _request_line(line[:-2])
    block = head[len(line) :]
    said = known.said if known is not None else None
    length = None
    if said is None or (said.block != block and not (length := _same_but_length(said, block))):
        said = _said(block, most_fields)
    if minor == 0 and said.chunked:
        raise BadHead("the only Transfer-Encoding is chunked, once, in HTTP/1.1")
    authority, host = said.authority, said.host
    if host is None:
        if minor == 1:
            raise BadHead("there is no Host")
        host = ""
    if target[0] != 0x2F:
        # What it says, other fields may not.
        line = b""
        target = _origin_form(method, target, host, authority)
    upgrade = said.upgrade
    if upgrade is not None and (minor == 0 or method != "GET"):
        upgrade = None
    return RequestHead(
        method,
        target,
        minor,
        said.fields,
        host,
        authority,
        length or said.length,
        minor == 1 and not said.closing,
        said.expects and minor == 1,
        upgrade,
        said,
        line,
    )


def _same_but_length(said: _Said, block: bytes) -> int:
    """The Content-Length of a block that is another one but for that; 0 where it is not, or has no body."""
    lead = said.lead
    at = block.find(lead) if lead else -1
    if at < 0:
        return 0
    start = at + len(lead)
    end = block.find(b"\r\n", start)
    digits = block[start:end]
    if block[:at] + block[end:] != said.rest or not digits.isdigit() or len(digits) > LONGEST:
        return 0
    return int(digits)


def _without_length(block: bytes, fields: Fields) -> tuple[bytes, bytes, Fields]:
    """`lead` and `rest` of a block with one Content-Length, and its fields without that."""
    at = fields.lows.index(b"content-length")
    name, value = fields.pairs[at]
    pairs, lows = fields.pairs[:], fields.lows[:]
    del pairs[at], lows[at]
    lead = b"\r\n%b: " % name
    line = lead + value + b"\r\n"
    start = block.find(line)
    if start < 0 or block.count(lead) != 1:
        # It is the first line, or has other white space than all clients write.
        return b"", b"", Fields(pairs, lows)
    return lead, block[:start] + block[start + len(line) - 2 :], Fields(pairs, lows)


def _said(block: bytes, most_fields: int) -> _Said:
    """Reads the field lines of a request. Raises BadHead for what is malformed or ambiguous in any version of HTTP/1."""
    fields, framing = _fields(block, most_fields)
    length: int | None = None
    authority = upgrade = None
    chunked = expects = upgrading = closing = False
    for sort, value in framing:
        if sort == _HOST:
            if authority is not None:
                raise BadHead("there is more than one Host")
            authority = value
        elif sort == _CONTENT_LENGTH:
            if length is not None:
                raise BadHead("there is more than one Content-Length")
            length = _content_length(value)
        elif sort == _TRANSFER_ENCODING:
            if chunked or value.lower() != b"chunked":
                raise BadHead("the only Transfer-Encoding is chunked, once, in HTTP/1.1")
            chunked = True
        elif sort == _CONNECTION:
            for option in value.lower().split(b","):
                option = option.strip(b" \t")
                if option == b"close":
                    closing = True
                elif option == b"upgrade":
                    upgrading = True
        elif sort == _EXPECT:
            if value.lower() != b"100-continue":
                raise BadHead("the only Expect is 100-continue", status=417)
            expects = True
        else:
            upgrade = value if upgrade is None else upgrade + b"," + value
    if chunked and length is not None:
        raise BadHead("there is both a Content-Length and a Transfer-Encoding")
    host = None
    if authority is not None:
        host = host_of(authority)
        if host is None:
            raise BadHead("the Host is malformed")
    size = CHUNKED if chunked else length or 0
    # An upgrade with a body, or to one of several protocols, has no single reading: it is an ordinary request.
    usable = upgrade is not None and upgrading and not size and b"," not in upgrade
    if usable:
        one_key(fields)
    lead = rest = b""
    if length is not None:
        lead, rest, fields = _without_length(block, fields)
        if not length:
            lead = b""
    return _Said(
        block,
        lead,
        rest,
        fields,
        host,
        authority or b"",
        size,
        chunked,
        closing,
        expects and size != 0,
        upgrade.lower() if usable and upgrade is not None else None,
    )


def one_key(fields: Fields) -> None:
    """Raises BadHead for a handshake with more than one key, which nobody can answer (RFC 6455 4.2.1)."""
    if fields.lows.count(b"sec-websocket-key") > 1:
        raise BadHead("there is more than one Sec-WebSocket-Key")


def _port(authority: bytes) -> bytes:
    """The port that an authority names, b"" for a usual one."""
    port = authority.rpartition(b":")[2].lstrip(b"0") if authority[-1:].isdigit() and b":" in authority else b""
    return b"" if port in (b"80", b"443") else port


def _origin_form(method: str, target: bytes, host: str, authority: bytes) -> bytes:
    """The origin form of an absolute-form target whose host and port are the Host field's (RFC 9112 3.2.2); else BadHead."""
    if method == "CONNECT":
        raise BadHead("this is not a forward proxy", "method-not-allowed")
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadHead("the request target is neither a path nor an absolute URL")
    if host_of(match[1]) != host or _port(match[1]) != _port(authority):
        raise BadHead("the request target and Host name different hosts")
    rest = match[2] or b"/"
    return rest if rest[0] == 0x2F else b"/" + rest


@lru_cache(maxsize=64)
def _status_line(line: bytes) -> tuple[int, int, bytes]:
    """Minor version, status and phrase."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise BadHead("the status line is malformed")
    return 1 if match[1] == b"1" else 0, int(match[2]), match[3] or b""


def answer_head(head: bytes, most_fields: int = 200) -> AnswerHead:
    """Reads an answer's head, delimited as in `request_head`. Raises BadHead for what is malformed or ambiguous."""
    line_end = head.index(b"\r\n")
    minor, status, phrase = _status_line(head[:line_end])
    fields, framing = _fields(head[line_end + 2 :], most_fields)
    length: int | None = None
    chunked = closing = keeping = upgrading = False
    upgrade = None
    for sort, value in framing:
        if sort == _CONTENT_LENGTH:
            if length is not None:
                raise BadHead("there is more than one Content-Length")
            length = _content_length(value)
        elif sort == _TRANSFER_ENCODING:
            if chunked or minor == 0 or value.lower() != b"chunked":
                raise BadHead("the only Transfer-Encoding is chunked, once, in HTTP/1.1")
            chunked = True
        elif sort == _CONNECTION:
            options = [option.strip(b" \t") for option in value.lower().split(b",")]
            closing = closing or b"close" in options
            keeping = keeping or b"keep-alive" in options
            upgrading = upgrading or b"upgrade" in options
        elif sort == _UPGRADE:
            upgrade = value.lower()
    if chunked and length is not None:
        raise BadHead("there is both a Content-Length and a Transfer-Encoding")
    if status < 200 or status in (204, 304):
        size = 0
    elif chunked:
        size = CHUNKED
    else:
        size = UNTIL_CLOSE if length is None else length
    keep_alive = not closing and (minor == 1 or keeping) and size != UNTIL_CLOSE
    return AnswerHead(status, phrase, minor, fields, size, keep_alive, upgrade if upgrading else None)

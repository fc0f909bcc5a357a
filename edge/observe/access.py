"""The access log: one line a request, as JSON in Caddy's shape or in the Common Log Format."""

import re
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Final

from edge.core.exchange import Caller, Outcome
from edge.core.headers import Fields, Pair
from edge.core.redact import printable, redacted

quoted: Final[Callable[[str], str]] = encode_basestring_ascii
"""A text as a JSON string in ASCII: no control character, quotation mark or line end of a client's survives as such."""

LONGEST_TARGET: Final = 2048
LONGEST_FIELD: Final = 512
REMEMBERED: Final = 4096
LONGEST_KEPT: Final = 256
"""How many values are kept as they are shown, up to which length: clients send the same few again and again."""

_SHOWN: Final[dict[bytes, str]] = {
    b"user-agent": '"User-Agent":[%s]',
    b"referer": '"Referer":[%s]',
    b"origin": '"Origin":[%s]',
    b"content-type": '"Content-Type":[%s]',
    b"range": '"Range":[%s]',
}
_HIDDEN: Final[dict[bytes, str]] = {
    name.lower().encode("ascii"): f'"{name}":["REDACTED"]'
    for name in (
        "Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "Api-Key", "Xi-Api-Key", "X-Goog-Api-Key",
    )
}  # fmt: skip
"""Header fields that are worth a line, and those whose presence is; all others stay out, since any may hold a secret."""
_WORTH: Final = frozenset(_SHOWN) | frozenset(_HIDDEN)
_known: dict[Hashable, str] = {}
"""From what clients sent to how it is shown. Bytes, texts and pairs are never equal to each other, so one table serves."""
_KEYS: Final = re.compile(r"aig_[0-9A-Za-z_%]+")
_EMPTY: Final = quoted("")
_LINE: Final = (
    '{"level":"info","ts":%.3f,"logger":"http.log.access","msg":"handled request","request":{"id":%s,"remote_ip":"%s",'
    '"client_ip":"%s","proto":"%s","method":%s,"host":%s,"uri":%s,"headers":{%s}%s},"bytes_read":%d,%s,"duration":%.6f,'
    '"size":%d,"status":%d,"resp_headers":{},"service":"%s","model":%s,"upstream":%s,"units":%s,"ttft":%s,"queue":%.6f,'
    '"overhead":%s,"reason":"%s","ended":"%s","listener":"%s"}\n'
)
_NOBODY: Final = '"user_id":"","key_id":""'
_TLS: Final = {"HTTP/2.0": ',"tls":{"proto":"h2"}', "HTTP/1.1": ',"tls":{"proto":"http/1.1"}'}
_BARE_TLS: Final = ',"tls":{}'


def json_line(outcome: Outcome) -> str:
    """One request as a JSON object and a line feed, in ASCII."""
    exchange = outcome.exchange
    arrival, caller, route = exchange.arrival, exchange.caller, exchange.route
    model, upstream = exchange.model, exchange.upstream
    first, overhead, queued, units = outcome.first_byte, outcome.overhead, outcome.queued, outcome.units
    target = arrival.target
    request_id, host = arrival.id, arrival.host
    # One template is a third faster than an f-string of as many parts.
    return _LINE % (
        arrival.at,
        quoted(request_id if "_" not in request_id else scrubbed(request_id)),
        arrival.peer,
        arrival.client,
        arrival.protocol,
        quoted(arrival.method),
        _known.get(host) or _text(host),
        _known.get(target) or _target(target),
        _headers(arrival.fields),
        _TLS.get(arrival.protocol, _BARE_TLS) if arrival.secure else "",
        outcome.received,
        _who(caller) if caller else _NOBODY,
        outcome.seconds,
        outcome.sent,
        outcome.status,
        route.service if route else "",
        _known.get(model) or _text(model) if model else _EMPTY,
        _known.get(upstream) or _text(upstream) if upstream else _EMPTY,
        units_text(units) if units else "{}",
        "null" if first is None else f"{first:.6f}",
        queued,
        "null" if overhead is None else f"{overhead:.6f}",
        outcome.reason,
        outcome.ended,
        arrival.listener,
    )


def common_line(outcome: Outcome) -> str:
    """One request in the Common Log Format, with a line feed: `ADDRESS - USER [TIME] "REQUEST" STATUS BYTES`."""
    arrival, caller = outcome.exchange.arrival, outcome.exchange.caller
    at = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(arrival.at))
    user = _word(caller.user) if caller else "-"
    method = "".join(char for char in arrival.method if char.isalnum() and char.isascii()) or "-"
    target = shown(arrival.target, LONGEST_TARGET).replace("\\", "\\\\").replace('"', '\\"') or "-"
    return f'{arrival.client} - {user} [{at}] "{method} {target} {arrival.protocol}" {outcome.status} {outcome.sent or "-"}\n'


def shown(raw: bytes, longest: int) -> str:
    """What a client wrote, without secrets and without characters that act."""
    # The cut comes after the masking: half a key would no longer be seen as one.
    if b"aig_" in raw or b"=" in raw:
        raw = redacted(raw)
    return printable(raw, longest).replace("…", "...")


def scrubbed(line: str) -> str:
    """A line without anything that begins like a key of ours, in whatever field it stands."""
    return _KEYS.sub("***", line) if "aig_" in line else line


def _headers(fields: Fields) -> str:
    made: dict[bytes, str] = {}
    for low, pair in zip(fields.lows, fields.pairs):  # noqa: B905 - as long as each other, and this is asked for every request
        if low in _WORTH:
            # By name: a field that comes twice would be a second member of the same name.
            made[low] = _known.get(pair) or _header(low, pair)
    return ",".join(made.values())


def _header(low: bytes, pair: Pair) -> str:
    hidden = _HIDDEN.get(low)
    if hidden is not None:
        return hidden
    value = pair[1]
    return _keep(pair, len(value), _SHOWN[low] % quoted(shown(value, LONGEST_FIELD)))


def _target(target: bytes) -> str:
    return _keep(target, len(target), quoted(shown(target, LONGEST_TARGET)))


def _text(text: str) -> str:
    return _keep(text, len(text), quoted(shown(text.encode("utf-8", "replace"), LONGEST_FIELD)))


def _who(caller: Caller) -> str:
    mark = (caller.key.user, caller.key.id)
    return _known.get(mark) or _keep(mark, 0, f'"user_id":{quoted(mark[0])},"key_id":{quoted(mark[1])}')


def _keep(mark: Hashable, length: int, made: str) -> str:
    if length <= LONGEST_KEPT:
        if len(_known) >= REMEMBERED:
            _known.clear()
        _known[mark] = made
    return made


def units_text(units: Mapping[str, float]) -> str:
    """What a request cost, as a JSON object."""
    names = tuple(units)
    # Names are ours and few, so that a template for each set of them is.
    return (_known.get(names) or _keep(names, 0, _template(names))) % tuple(units.values())


def _template(names: Sequence[str]) -> str:
    return "{" + ",".join(f'"{name}":%r' for name in names) + "}"


def _word(text: str) -> str:
    """A user's name as one field: nothing in it ends the field or the line."""
    return "".join(c if c.isprintable() and c not in ' "[]\\' and c.isascii() else "_" for c in text) or "-"

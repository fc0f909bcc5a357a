"""The access log: one line a request, as JSON in Caddy's shape or in the Common Log Format."""

import time
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Final

from edge.core.exchange import Outcome
from edge.core.headers import Fields
from edge.core.redact import printable, redacted

quoted: Final[Callable[[str], str]] = encode_basestring_ascii
"""A text as a JSON string in ASCII: no control character, quotation mark or line end of a client's survives as such."""

LONGEST_TARGET: Final = 2048
LONGEST_FIELD: Final = 512
REMEMBERED: Final = 2048
"""Rendered header values that are kept: clients send the same few again and again."""

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
_remembered: dict[tuple[bytes, bytes], str] = {}
_TLS: Final = {"HTTP/2.0": ',"tls":{"proto":"h2"}', "HTTP/1.1": ',"tls":{"proto":"http/1.1"}'}
_BARE_TLS: Final = ',"tls":{}'


def json_line(outcome: Outcome) -> str:
    """One request as a JSON object and a line feed, in ASCII."""
    exchange = outcome.exchange
    arrival, caller, route = exchange.arrival, exchange.caller, exchange.route
    if caller is None:
        who = '"","key_id":""'
    else:
        who = f'{quoted(caller.user)},"key_id":{quoted(caller.key_id)}'
    tls = _TLS.get(arrival.protocol, _BARE_TLS) if arrival.secure else ""
    model = exchange.model
    first, overhead, units = outcome.first_byte, outcome.overhead, outcome.units
    return (
        f'{{"level":"info","ts":{arrival.at:.6f},"logger":"http.log.access","msg":"handled request","request":{{'
        f'"id":{quoted(_id(arrival.id))},"remote_ip":"{arrival.peer}","client_ip":"{arrival.client}",'
        f'"proto":"{arrival.protocol}","method":{quoted(arrival.method)},"host":{quoted(_host(arrival.host))},'
        f'"uri":{quoted(shown(arrival.target, LONGEST_TARGET))},"headers":{{{_headers(arrival.fields)}}}{tls}}},'
        f'"bytes_read":{outcome.received},"user_id":{who},"duration":{outcome.seconds:.6f},"size":{outcome.sent},'
        f'"status":{outcome.status},"resp_headers":{{}},"service":"{route.service if route else ""}",'
        f'"model":{quoted(_model(model)) if model else '""'},"upstream":{quoted(exchange.upstream) if exchange.upstream else '""'},'
        f'"units":{_units(units) if units else "{}"},"ttft":{"null" if first is None else f"{first:.6f}"},'
        f'"queue":{outcome.queued:.6f},"overhead":{"null" if overhead is None else f"{overhead:.6f}"},'
        f'"reason":"{outcome.reason}","ended":"{outcome.ended}","listener":"{arrival.listener}"}}\n'
    )


def common_line(outcome: Outcome) -> str:
    """One request in the Common Log Format, with a line feed: `ADDRESS - USER [TIME] "REQUEST" STATUS BYTES`."""
    arrival, caller = outcome.exchange.arrival, outcome.exchange.caller
    at = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(arrival.at))
    user = _word(caller.user) if caller else "-"
    method = "".join(char for char in arrival.method if char.isalnum()) or "-"
    target = shown(arrival.target, LONGEST_TARGET).replace("\\", "\\\\").replace('"', '\\"') or "-"
    return (
        f'{arrival.client} - {user} [{at}] "{method} {target} {arrival.protocol}" {outcome.status} {outcome.sent or "-"}\n'
    )


def shown(raw: bytes, longest: int) -> str:
    """What a client wrote, without secrets and without characters that act."""
    # The cut comes after the masking: half a key would no longer be seen as one.
    if b"aig_" in raw or b"=" in raw:
        raw = redacted(raw)
    return printable(raw, longest)


def _headers(fields: Fields) -> str:
    made: dict[bytes, str] = {}
    for low, pair in zip(fields.lows, fields.pairs, strict=True):
        # The first of a name that comes twice: a second would be a second member of the same name.
        if low in _WORTH and low not in made:
            mark = (low, pair[1])
            made[low] = _remembered.get(mark) or _header(mark)
    return ",".join(made.values())


def _header(mark: tuple[bytes, bytes]) -> str:
    low, value = mark
    hidden = _HIDDEN.get(low)
    if hidden is not None:
        return hidden
    made = _SHOWN[low] % quoted(shown(value, LONGEST_FIELD))
    if len(value) <= LONGEST_FIELD:
        if len(_remembered) >= REMEMBERED:
            _remembered.clear()
        _remembered[mark] = made
    return made


def _id(text: str) -> str:
    return "***" if "aig_" in text else text


def _host(text: str) -> str:
    return shown(text.encode("utf-8", "replace"), LONGEST_FIELD) if "aig_" in text or not text.isprintable() else text


def _model(text: str) -> str:
    return shown(text.encode("utf-8", "replace"), LONGEST_FIELD)


def _units(units: Mapping[str, float]) -> str:
    return "{" + ",".join([f'"{name}":{value!r}' for name, value in units.items()]) + "}"


def _word(text: str) -> str:
    """A user's name as one field: nothing in it ends the field or the line."""
    return "".join(c if c.isprintable() and c not in ' "[]\\' and c.isascii() else "_" for c in text) or "-"

"""The access log: one line a request, as JSON in Caddy's shape or in the Common Log Format."""

import time
from collections.abc import Hashable
from typing import Final, cast

from edge.core.exchange import Arrival, Outcome, Session
from edge.observe.fields_shown import answered, asked, chosen
from edge.observe.quoting import keep, known, quoted, scrubbed, shown, text, units_text

LONGEST_TARGET: Final = 2048
LONGEST_NAME: Final = 255
LONGEST_NOTED: Final = 1024
_TLS: Final = {"HTTP/2.0": ',"tls":{"proto":"h2"}', "HTTP/1.1": ',"tls":{"proto":"http/1.1"}'}
_BARE_TLS: Final = ',"tls":{}'


def json_line(outcome: Outcome) -> str:
    """One request as a JSON object and a line feed, in ASCII."""
    exchange = outcome.exchange
    arrival, caller, route = exchange.arrival, exchange.caller, exchange.route
    first, overhead, queued, units = outcome.first_byte, outcome.overhead, outcome.queued, outcome.units
    request_id, length = arrival.id, outcome.length
    if "_" in request_id:
        request_id = scrubbed(request_id)
    # What clients and services repeat is put together once: the fewer parts a line has, the less it costs.
    key = None if caller is None else caller.key
    where = (
        "" if key is None else key.user, "" if key is None else key.id, "" if route is None else route.service,
        exchange.model, exchange.upstream, outcome.reason, outcome.ended, arrival.listener,
    )  # fmt: skip
    told = answered(outcome.answer) if outcome.answer else ""
    if length is not None:
        told = f'"Content-Length":["{length}"],{told}' if told else f'"Content-Length":["{length}"]'
    return (
        f'{{"level":"info","ts":{arrival.at:.3f},"logger":"http.log.access","msg":"handled request","request":{{'
        f'"id":{quoted(request_id)}{_noted_head(arrival)},"bytes_read":{outcome.received},'
        f'"duration":{outcome.seconds:.6f},"size":{outcome.sent},"status":{outcome.status},'
        f'"resp_headers":{{{told}}},"units":{units_text(units) if units else "{}"},'
        f'"ttft":{"null" if first is None else f"{first:.6f}"},"queue":{f"{queued:.6f}" if queued else "0.000000"},'
        f'"overhead":{"null" if overhead is None else f"{overhead:.6f}"}{known.get(where) or _where(where)}'
    )


def _noted_head(arrival: Arrival) -> str:
    """`_head`, put together once for a head that comes again on its connection."""
    notes = arrival.fields.notes
    noted = notes.get(json_line)
    if (
        noted is not None
        and noted[0] == arrival.target
        and noted[1] == arrival.method
        and noted[2] is arrival.peer
        and noted[3] is arrival.tls
        and noted[4] == (arrival.client, arrival.protocol, arrival.host, arrival.secure)
    ):
        return cast("str", noted[5])
    head = (
        arrival.peer, arrival.client, arrival.protocol, arrival.method, arrival.host, arrival.target, arrival.tls, arrival.secure,
        *chosen(arrival.fields),
    )  # fmt: skip
    made = known.get(head) or _head(head, arrival)
    if len(made) <= LONGEST_NOTED:
        also = (arrival.client, arrival.protocol, arrival.host, arrival.secure)
        notes[json_line] = (arrival.target, arrival.method, arrival.peer, arrival.tls, also, made)
    return made


def _head(mark: Hashable, arrival: Arrival) -> str:
    """The rest of `request` after its id."""
    tls, target = arrival.tls, arrival.target
    headers, weight = asked(arrival.fields)
    secured = _session(tls) if tls else _TLS.get(arrival.protocol, _BARE_TLS) if arrival.secure else ""
    made = (
        f',"remote_ip":"{arrival.peer}","client_ip":"{arrival.client}","proto":"{arrival.protocol}",'
        f'"method":{text(arrival.method)},"host":{text(arrival.host)},"uri":{quoted(shown(target, LONGEST_TARGET))},'
        f'"headers":{{{headers}}}{secured}}}'
    )
    return keep(mark, len(target) + len(arrival.host) + len(arrival.method) + weight, made)


def _where(mark: tuple[str | None, ...]) -> str:
    """Who, what service, and how it ended: the end of the line."""
    user, key, service, model, upstream, reason, ended, listener = mark
    made = (
        f',"user_id":{text(user or "")},"key_id":{text(key or "")},"service":"{service}","model":{text(model or "")},'
        f'"upstream":{text(upstream or "")},"reason":"{reason}","ended":"{ended}","listener":"{listener}"}}\n'
    )
    return keep(mark, len(model or "") + len(upstream or ""), made)


def common_line(outcome: Outcome) -> str:
    """One request in the Common Log Format, with a line feed: `ADDRESS - USER [TIME] "REQUEST" STATUS BYTES`."""
    arrival, caller = outcome.exchange.arrival, outcome.exchange.caller
    at = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(arrival.at))
    user = _word(caller.user) if caller else "-"
    method = "".join(char for char in scrubbed(arrival.method) if char.isalnum() and char.isascii()) or "-"
    target = shown(arrival.target, LONGEST_TARGET).replace("\\", "\\\\").replace('"', '\\"') or "-"
    return f'{arrival.client} - {user} [{at}] "{method} {target} {arrival.protocol}" {outcome.status} {outcome.sent or "-"}\n'


def _session(session: Session) -> str:
    # What a client calls this host is its own choice, like a Host field.
    name, resumed = quoted(shown(session.name, LONGEST_NAME)), "true" if session.resumed else "false"
    return (
        f',"tls":{{"resumed":{resumed},"version":{session.version},"cipher_suite":{session.suite},'
        f'"proto":{quoted(session.protocol)},"server_name":{name}}}'
    )


def _word(text: str) -> str:
    """A user's name as one field: nothing in it ends the field or the line."""
    return "".join(c if c.isprintable() and c not in ' "[]\\' and c.isascii() else "_" for c in text) or "-"

"""Counts what an answer costs as it goes to the client, and writes it into the request's book."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from edge.core.inspect import judged
from edge.core.meters import Meter
from edge.core.refusal import Refusal
from edge.core.tokens import FIELDS
from edge.wire.request import Request

SMALL: Final = 64 * 1024
"""The most bytes of a body that are looked at for what it costs, where no rule asks for a look."""
_ASKED: Final = frozenset({"speech", "images"})
"""What is told by the request alone: its answer is a sound or a picture."""


def keep_small(request: Request) -> None:
    """Keeps a body that is on its way to the service, if it is to tell what it costs."""
    body = request.body
    if request.rule.units in _ASKED and isinstance(body.length, int) and body.length <= SMALL:
        body.keep()


def meter_of(request: Request, content_type: bytes | None) -> Meter:
    """What counts an answer of that type."""
    units, body, fields = request.rule.units, request.body, request.ledger.fields
    if not fields and units in _ASKED:
        fields = _read(request)
    sent = body.length if isinstance(body.length, int) else body.received
    return Meter(units, fields, sent, content_type)


def _read(request: Request) -> Mapping[str, Any]:
    """What a small body that is here says of its cost; nothing where that cannot be read in one way, which no rule forbids."""
    body, fields = request.body.whole, request.fields
    if not body or len(body) > SMALL:
        return {}
    names = FIELDS[request.rule.units]
    found = judged(body, fields.joined(b"content-type"), names, fields.joined(b"content-encoding"))
    return {} if isinstance(found, Refusal) else found


def book(request: Request, meter: Meter, complete: bool) -> None:
    """Writes what was counted into the books, before anybody reads them."""
    ledger = request.ledger
    ledger.units = meter.result(complete)
    if request.rule.units == "images":
        ledger.job = meter.job
    exchange = request.exchange
    if exchange.model is None and meter.model:
        request.exchange = exchange.asking(meter.model)


def book_at_end(request: Request, meter: Meter) -> None:
    """Does so once the request ends, whichever way."""
    request.endings.append((partial(_ended, request), meter))


def _ended(request: Request, meter: Meter) -> None:
    book(request, meter, request.finished_well)

"""Counts what an answer costs as it goes to the client, and writes it into the request's book."""

from functools import partial

from edge.core.meters import Meter
from edge.wire.request import Request


def meter_of(request: Request, content_type: bytes | None) -> Meter:
    """What counts an answer of that type."""
    length = request.body.length
    sent = length if isinstance(length, int) else request.body.received
    return Meter(request.rule.units, request.ledger.fields, sent, content_type)


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

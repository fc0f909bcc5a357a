"""Tickets that browsers carry where they cannot send a header: cut from the request before anybody sees it."""

from typing import Final

from edge.core.headers import Fields
from edge.wire.request import Request

SUBPROTOCOL: Final = b"aigate"
_CARRIER: Final = b"aigate.ticket."
SUBPROTOCOL_FIELD: Final = b"sec-websocket-protocol"


def cut_ticket(request: Request) -> None:
    """Takes the ticket from `?ticket=…` or the subprotocol `aigate.ticket.…` and leaves a request without it.

    Two different ones leave a ticket that no store knows, so that the request is refused.
    """
    found: list[bytes] = []
    if request.query is not None:
        kept = []
        for part in request.query.split(b"&"):
            name, _, value = part.partition(b"=")
            if name == b"ticket":
                found.append(value)
            else:
                kept.append(part)
        if found:
            request.query = b"&".join(kept) if kept else None
            request.target = request.path + (b"?" + request.query if request.query is not None else b"")
    if SUBPROTOCOL_FIELD in request.fields:
        offered = request.fields.listed(SUBPROTOCOL_FIELD)
        kept = [name for name in offered if not name.startswith(_CARRIER)]
        if len(kept) < len(offered):
            found += [name[len(_CARRIER) :] for name in offered if name.startswith(_CARRIER)]
            pairs = request.fields.without(frozenset({SUBPROTOCOL_FIELD}))
            request.select_own = SUBPROTOCOL in kept
            kept = [name for name in kept if name != SUBPROTOCOL]
            if kept:
                pairs.append((b"Sec-WebSocket-Protocol", b", ".join(kept)))
            request.fields = Fields(pairs)
    if found:
        request.ticket = found[0].decode("latin-1") if len(set(found)) == 1 else ""

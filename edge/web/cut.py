"""Ends a request under way from the gate's side: a revoked key, a gate that must close."""

from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

from edge.wire.request import Request


def cut(request: Request, ended: str) -> None:
    """What works for the request is told as if the client had left, the client sees its answer broken off."""
    if request.finished:
        return
    request.ledger.ended = ended
    gone, request.gone = request.gone, None
    request.abort()
    reason = Failure(ConnectionAborted(ended))
    request.body.fail(reason)
    if gone is not None:
        gone(reason)

"""Carries an answer's body to the client as it comes."""

from collections.abc import Callable
from typing import Any, Final

from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from edge.core.dialects import broken
from edge.core.meters import Meter
from edge.core.refusal import Refusal
from edge.wire.request import Request

_BROKEN: Final = Refusal("upstream-broken", "The service broke off in the middle of its answer.")
_SILENT: Final = Refusal("upstream-timeout", "The service fell silent in the middle of its answer.")


class Relay:
    """The protocol that an answer's body is delivered to; `kind` is the content type of a stream that can take a last word.

    Only a body that truly ended ends the client's answer; any other end breaks it off, after a last word in a stream
    whose clients understand one.
    """

    __slots__ = ("_kind", "_last", "_meter", "_refusal", "_request", "_transport", "dataReceived")

    def __init__(
        self,
        request: Request,
        kind: bytes,
        refusal: Callable[[Failure], Refusal | None],
        meter: Meter | None = None,
    ) -> None:
        self._request = request
        self._kind = kind
        self._refusal = refusal
        self._transport: Any = None
        self._meter = meter
        self._last = b""
        # What is neither counted nor made of lines goes straight to the client.
        plain = meter is None and b"json" not in kind
        self.dataReceived = request.send if plain else self._read

    def _read(self, data: bytes) -> None:
        self._request.send(data)
        self._last = data[-1:] or self._last
        if self._meter is not None:
            self._meter.feed(data)

    def makeConnection(self, transport: Any) -> None:
        self._transport = transport
        if self._request.finished:
            transport.abortConnection()
            return
        self._request.gone = self._gone
        self._request.registerProducer(transport)

    def _gone(self, reason: Failure) -> None:
        if self._transport is not None:
            self._transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        request = self._request
        transport, self._transport = self._transport, None
        # A reference to itself would keep all that the request held until the collector looks.
        self.dataReceived = request.send
        if transport is not None:
            request.unregisterProducer()
        if request.finished:
            return
        # A body that the end of the connection ends cannot be told from a cut one; the connection's own end was clean.
        if reason.check(ResponseDone, PotentialDataLoss):
            request.end()
            return
        refusal = self._refusal(reason) or _BROKEN
        silent = refusal.reason == "upstream-timeout"
        ledger = request.ledger
        ledger.ended = "timeout" if silent else "upstream-broken"
        ledger.reason = refusal.reason
        said = _SILENT if silent else _BROKEN
        request.send(broken(said, request.dialect, request.exchange.arrival.id, self._kind, self._last))
        request.abort()

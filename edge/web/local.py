"""Lets a resource in this process answer as any service does: counted, cut to what the key may see, going on after signs of life."""

from typing import Final, Protocol

from twisted.logger import Logger
from twisted.web.resource import IResource

from edge.core.forwarding import forwarded, sent_back, sent_on
from edge.core.headers import Fields, Pair
from edge.core.meters import Meter
from edge.core.models import filter_models
from edge.core.refusal import Refusal
from edge.web.lists import LIST_SIZE, NOT_ASKED, TOO_LARGE, give_list
from edge.web.metering import book_at_end, meter_of
from edge.web.pages import refuse, said_by_gate
from edge.wire.irequest import render_stock
from edge.wire.request import Request

_PACKED: Final = frozenset({b"accept-encoding"})
_log: Final = Logger(namespace="aigate.local")


def render_local(request: Request, resource: IResource, body: bytes, prefix: bytes, path: bytes) -> None:
    """Gives an admitted request to a twisted.web resource; `path` is what is left of its path below `prefix`."""
    arrival = request.exchange.arrival
    request.ledger.local = True
    seen = [
        (b"Host", request.authority),
        *sent_on(request.fields, _not_seen(request)),
        *forwarded(arrival.client, request.chain, arrival.secure, request.authority, prefix),
        (b"X-Request-Id", arrival.id.encode("ascii")),
    ]
    render_stock(request, resource, body, prefix.split(b"/")[1:], path.split(b"/")[1:], seen, _Answer(request))


def _not_seen(request: Request) -> frozenset[bytes]:
    """The fields that the resource does not see, so that its answer comes in a form that can be worked with."""
    if _listed(request):
        return NOT_ASKED
    # A packed answer could not be counted, nor go on from a sign of life.
    return _PACKED if request.rule.units else frozenset()


def _listed(request: Request) -> bool:
    """Whether the answer is a list of models of which the caller may use some only."""
    caller = request.exchange.caller
    return bool(request.rule.models) and caller is not None and bool(caller.key.models)


class _Next(Protocol):
    """What becomes of an answer's body."""

    def send(self, data: bytes) -> None: ...
    def end(self) -> None: ...


class _Answer:
    """Takes the answer of a resource and gives it to the client."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._meter: Meter | None = None
        self._next: _Next = request

    def begin(
        self, status: int, pairs: list[Pair], length: int | None, data: bytes, last: bool, phrase: bytes = b""
    ) -> None:
        """The head of the answer, and what is there of its body."""
        request = self._request
        fields = Fields(pairs)
        wrong = _unfit(request, status, fields) if request.early else ""
        if wrong:
            # The resource is heard to its end: it could not be called off from within its own `write`.
            self._next = _Refused(request, Refusal("upstream-broken", wrong))
        elif status < 300 and _listed(request):
            self._next = _List(request, status, _dressed(request, fields), phrase)
        else:
            if request.rule.units and status < 400:
                self._meter = meter_of(request, fields.get(b"content-type"))
                self._meter.feed(data)
                book_at_end(request, self._meter)
            if not request.early:
                request.begin(status, _dressed(request, fields), length, data, last, phrase)
                return
            # From here on what is broken must look so.
            request.early = b""
        self._next.send(data)
        if last:
            self._next.end()

    def send(self, data: bytes) -> None:
        """Part of the body."""
        if self._meter is not None:
            self._meter.feed(data)
        self._next.send(data)

    def end(self) -> None:
        """The answer is complete."""
        self._next.end()


class _Refused:
    """An answer that nobody will read."""

    def __init__(self, request: Request, refusal: Refusal) -> None:
        self._request = request
        self._refusal = refusal

    def send(self, data: bytes) -> None:
        """Goes nowhere."""

    def end(self) -> None:
        _refuse(self._request, self._refusal)


class _List:
    """A list of models, held to be cut."""

    def __init__(self, request: Request, status: int, pairs: list[Pair], phrase: bytes) -> None:
        self._request = request
        self._head = status, pairs, phrase
        self._parts: list[bytes] = []
        self._left = LIST_SIZE

    def send(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left >= 0:
            self._parts.append(data)
        else:
            self._parts.clear()

    def end(self) -> None:
        request = self._request
        refusal: Refusal | None = TOO_LARGE
        if self._left >= 0:
            refusal = give_list(request, *self._head, b"".join(self._parts), filter_models)
        if refusal is not None:
            _refuse(request, refusal)


def _unfit(request: Request, status: int, fields: Fields) -> str:
    """Why an answer cannot go on after signs of life; "" where it can."""
    if status != 200:
        return f"The service answered {status}."
    if (fields.get(b"content-encoding") or b"identity").strip().lower() != b"identity":
        return "The service compressed its answer, though it was not asked to."
    given = (fields.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    return "" if given == request.early else "The service does not stream."


def _dressed(request: Request, fields: Fields) -> list[Pair]:
    """The head of an answer, as that of any service."""
    return sent_back(fields, request.origin_allowed is not None) + said_by_gate(request)


def _refuse(request: Request, refusal: Refusal) -> None:
    """Tells of a failure that is the service's."""
    if request.finished:
        return
    route = request.exchange.route
    _log.warn("{service}: {why}", service=route.service if route is not None else "", why=refusal.message)
    request.ledger.ended = "upstream-broken"
    refuse(request, refusal)

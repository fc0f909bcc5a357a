"""Which fields go on to a service with a request, and which come back with its answer.

What depends on the head, the route and the caller alone is worked out once for a head that comes again.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import quote

from attrs import define, field

from edge.core.batch import Batch, Block
from edge.core.exchange import Arrival, Caller
from edge.core.forwarding import CREDENTIALS, forwarded, location, sent_back, sent_on
from edge.core.headers import Fields, Pair
from edge.core.tracing import traced
from edge.web.lists import NOT_ASKED
from edge.web.pages import said_to_all, said_to_pages
from edge.wire.request import Request

_STREAMED: Final = b"text/event-stream"
_PACKED: Final = frozenset({b"accept-encoding"})
_WHENCE: Final = frozenset({b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"sec-fetch-user"})
_STRICT: Final = b"strict-transport-security"
_PLACES: Final = frozenset({b"location", b"content-location"})


class Place(Protocol):
    """A server, as its fields name it: `edge.backends.way.Way`."""

    @property
    def bases(self) -> tuple[bytes, ...]:
        """Its own addresses as it may write them into `Location`, without a final slash."""

    @property
    def authority(self) -> bytes:
        """What `Host` says to it."""

    @property
    def origin(self) -> bytes:
        """What `Origin` says to it."""


@define(eq=False)
class Passing:
    """One service's header policy."""

    service: str
    fields: tuple[Pair, ...] = ()
    """Fields set on every request to the service."""
    keep_host: bool = False
    identity: Callable[[Caller], list[Pair]] | None = None
    """The fields that tell the service who asks, where it wants to know."""
    trace: Callable[[Arrival], bytes] | None = None
    """What `traceparent` tells the service, where requests are traced."""
    _replaced: frozenset[bytes] = field(init=False)
    _backend: Pair = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._replaced = frozenset(name.lower() for name, _ in self.fields) - CREDENTIALS
        self._backend = (b"X-Aigate-Backend", self.service.encode("ascii"))

    def on(self, request: Request, server: Place, listed: bool) -> Batch:
        """The fields of a request to a server; `listed` where the answer is a list of models that is to be read."""
        exchange = request.exchange
        fields, caller, route = request.fields, exchange.caller, exchange.route
        own: list[Pair] = [(b"X-Request-Id", exchange.arrival.id.encode())]
        # A packed answer could not be counted, nor go on from a sign of life.
        counted = bool(request.rule.units)
        key = caller.key if caller is not None else None
        noted = fields.notes.get(self)
        if (
            noted is not None
            and noted[0] is server
            and noted[1] is route
            and noted[2] is key
            and noted[3] is listed
            and noted[4] is counted
        ):
            return Batch(noted[5], own)
        pairs = self._on(request, server, NOT_ASKED if listed else _PACKED if counted else frozenset())
        if self.trace is not None:
            return Batch(_EMPTY, [*traced(pairs, fields, self.trace(exchange.arrival)), *own])
        block = Block(pairs)
        fields.notes[self] = (server, route, key, listed, counted, block)
        return Batch(block, own)

    def _on(self, request: Request, server: Place, dropped: frozenset[bytes]) -> list[Pair]:
        exchange = request.exchange
        arrival, route, caller = exchange.arrival, exchange.route, exchange.caller
        own_page = request.origin_allowed is not None and not self.keep_host
        if own_page:
            # To the service an allowed page is its own, and these would tell of another.
            dropped |= _WHENCE
        pairs = sent_on(request.fields, self._replaced | dropped if dropped else self._replaced)
        if own_page:
            pairs = [(name, server.origin if name.lower() == b"origin" else value) for name, value in pairs]
        pairs.insert(0, (b"Host", request.authority if self.keep_host else server.authority))
        pairs += forwarded(
            arrival.client, request.chain, arrival.secure, request.authority, route.prefix if route else b""
        )
        if self.identity is not None and caller is not None:
            pairs += self.identity(caller)
        pairs += self.fields
        return pairs

    def back(self, request: Request, fields: Fields, server: Place) -> Batch:
        """The fields of the service's answer, whose own are `fields`."""
        cors = request.origin_allowed is not None
        noted = fields.notes.get(self)
        if noted is not None and noted[0] is cors:
            block = noted[1]
        else:
            block = Block(self._back(request, fields, server))
            if _PLACES.isdisjoint(fields.lows) and _STRICT not in fields.lows:
                # Where it leads, and whether it came by TLS, depends on who asked.
                fields.notes[self] = (cors, block)
        own = said_to_all(request)
        model, overhead = request.exchange.model, request.ledger.overhead
        if model is not None:
            own += b"X-Aigate-Model: %b\r\n" % quote(model, safe=":/@+ ").encode("ascii")
        if overhead is not None:
            own += _overhead(int(overhead * 100_000 + 0.5))
        return Batch(block, said_to_pages(request), own)

    def _back(self, request: Request, fields: Fields, server: Place) -> list[Pair]:
        pairs = sent_back(fields, request.origin_allowed is not None)
        lows = fields.lows
        if b"location" in lows or b"content-location" in lows:
            route = request.exchange.route
            prefix = route.prefix if route is not None else b""
            pairs = [
                (name, location(value, server.bases, request.authority, prefix))
                if name.lower() in _PLACES
                else (name, value)
                for name, value in pairs
            ]
        if _STRICT in lows and _STRICT in request.extra.lower():
            # The operator's word counts for the whole host, and browsers heed the first one only.
            pairs = [pair for pair in pairs if pair[0].lower() != _STRICT]
        if b"x-accel-buffering" not in lows and (fields.get(b"content-type") or b"").startswith(_STREAMED):
            pairs.append((b"X-Accel-Buffering", b"no"))
        pairs.append(self._backend)
        return pairs


_EMPTY: Final = Block(())


@lru_cache(maxsize=1024)
def _overhead(hundredths: int) -> bytes:
    """The line that tells the gate's own share, in hundredths of a millisecond."""
    return b"X-Aigate-Overhead-Ms: %.2f\r\n" % (hundredths / 100)


def told(fields: Any, cors: bool) -> list[Pair]:
    """The fields of an interim answer, by the same rules as the final one."""
    return sent_back(Fields(list(fields)), cors)

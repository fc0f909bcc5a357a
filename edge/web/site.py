"""Where requests come in: each gets its id, its true client address and its book, and ends in one Outcome."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Final
from uuid import uuid4

from attrs import Factory, define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from edge.core.batch import lines
from edge.core.clients import client_of
from edge.core.exchange import Arrival, Exchange, Outcome
from edge.core.headers import Fields, Pair
from edge.core.networks import Network, address, within
from edge.core.refusal import Refusal
from edge.web.ledger import Ledger
from edge.web.pages import DOUBT, refusal_answer, refuse
from edge.web.router import Router
from edge.web.tickets import SUBPROTOCOL_FIELD, cut_ticket
from edge.wire.request import Origin, Request

_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._:\-]{8,128}")
Sink = Callable[[Outcome], None]


@define(eq=False)
class Site:
    """The wire's handler: hands requests to the router and tells every sink how they ended."""

    router: Router
    clock: IReactorTime
    now: Callable[[], float]
    """Unix seconds."""
    sinks: Sequence[Sink] = ()
    trusted: tuple[Network, ...] = ()
    trusted_header: bytes = b"x-forwarded-for"
    judge_origin: Callable[[Request], object] | None = None
    """Finds out whether a page may read that there is nothing here."""
    cutting: Callable[[], bool] = lambda: False
    """Whether the gate ends connections by itself now."""
    strict: tuple[Pair, ...] = ()
    """What answers over TLS carry besides: `Strict-Transport-Security`, where the operator wants it."""
    new_id: Callable[[], str] = field(init=False, factory=lambda: _ids(str(uuid4())[:28]).__next__)
    """Makes an id for a request whose client gave it none, in the form of a UUID4."""
    # llama-cpp-python's server, for one, answers 400 to an X-Request-Id in any other form.
    _strict: bytes = field(init=False, default=Factory(lambda self: lines(self.strict), takes_self=True))
    _distrusted: bool = False
    in_flight: int = 0
    log: Logger = field(factory=Logger)

    def handle(self, request: Request) -> None:
        try:
            self._arrive(request)
            found = self.router.find(request)
            if isinstance(found, Refusal):
                if self.judge_origin is not None and b"origin" in request.fields.lows:
                    self.judge_origin(request)
                refuse(request, found)
            else:
                found.render(request)
        except Exception:
            self.log.failure("A request could not be judged and was refused")
            if request.ledger is None:
                # It broke before it had a book, so there is nothing to say of it.
                request.abort()
            else:
                refuse(request, DOUBT)

    def refuse(self, refusal: Refusal, origin: Origin, protocol: str) -> tuple[Iterable[Pair], bytes]:
        request_id = self.new_id()
        at = self.clock.seconds()
        arrival = Arrival(
            request_id, "", "", b"", b"", None, _NOTHING, origin.peer, origin.peer, origin.secure, protocol,
            origin.listener, self.now(), at, None, origin.tls,
        )  # fmt: skip
        self._tell(Outcome(Exchange(arrival), refusal.status, refusal.reason, "refused"))
        pairs, body = refusal_answer(refusal, "openai", request_id)
        return [*pairs, *self.strict] if origin.secure else pairs, body

    def give_up(self, request: Request, refusal: Refusal, reason: Failure) -> None:
        """Ends a request in hand whose body came to nothing."""
        gone, request.gone = request.gone, None
        refuse(request, refusal)
        request.body.fail(reason)
        if gone is not None:
            gone(reason)

    def _arrive(self, request: Request) -> None:
        origin = request.channel.origin
        fields = request.fields
        given, subprotocol, forwarded = fields.notes.get(self) or self._read(fields)
        query = request.query
        # `in` would first try to take what it looks for as a number, which costs more than looking.
        if subprotocol or (query is not None and query.find(b"ticket") >= 0):
            cut_ticket(request)
            fields = request.fields
        peer = client = origin.peer
        chain = b""
        if self.trusted:
            client, chain = client_of(peer, fields, self.trusted, self.trusted_header)
        if forwarded and not chain and not self._distrusted:
            self._distrust(peer)
        request.chain = chain
        if origin.secure:
            request.extra = self._strict
        request.ledger = Ledger()
        request.exchange = Exchange(
            Arrival(
                given or self.new_id(),
                request.verb,
                request.host,
                request.target,
                request.path,
                request.query,
                fields,
                peer,
                client,
                origin.secure,
                request.protocol,
                origin.listener,
                self.now(),
                request.started,
                request.upgrade,
                origin.tls,
            )
        )
        self.in_flight += 1
        request.endings.append((self._ended, request))

    def _read(self, fields: Fields) -> tuple[str, bool, bool]:
        """A sane id that the client gave, and whether there may be a ticket in the fields, and word of a proxy."""
        given = fields.get(b"x-request-id")
        sane = given is not None and _SANE_ID.fullmatch(given) is not None
        said = fields.notes[self] = (
            given.decode("ascii") if sane and given is not None else "",
            SUBPROTOCOL_FIELD in fields.lows,
            self.trusted_header in fields.lows,
        )
        return said

    def _distrust(self, peer: str) -> None:
        """Says once which line is missing where a proxy on this machine or network is not believed."""
        found = address(peer)
        # A proxy that is believed already may have said nothing that can be read.
        if found is None or not (found.is_loopback or found.is_private) or within(peer, self.trusted):
            return
        self._distrusted = True
        self.log.warn(
            "{peer} sends {header}, which is not believed. If it is your proxy or tunnel, add to the configuration: "
            '[proxies] trusted = ["{peer}"]',
            peer=peer,
            header=self.trusted_header.decode("ascii"),
        )

    def _ended(self, request: Request) -> None:
        self.in_flight -= 1
        ledger = request.ledger
        ended = ledger.ended or (
            "complete" if request.finished_well else "drained" if self.cutting() else "client-gone"
        )
        self._tell(
            Outcome(
                request.exchange,
                request.status or 499,
                ledger.reason,
                ended,
                request.sent,
                request.body.received,
                self.clock.seconds() - request.started,
                ledger.first_byte,
                ledger.queued,
                ledger.overhead,
                ledger.units,
                request.told,
                request.length,
            )
        )

    def _tell(self, outcome: Outcome) -> None:
        for sink in self.sinks:
            try:
                sink(outcome)
            except Exception:
                self.log.failure("A request's end could not be written down")


_NOTHING: Final = Fields([])
_TAILS: Final = tuple(f"{number:03x}" for number in range(4096))


def _ids(begin: str) -> Iterator[str]:
    """All that begin so and end in eight digits more, the last three of which are ready."""
    for number in count():
        head = f"{begin}{number:05x}"
        for tail in _TAILS:
            yield head + tail


def strict_transport(seconds: float | None) -> tuple[Pair, ...]:
    """The field that tells browsers to come by TLS only for so long (RFC 6797 6.1), nothing for None."""
    return () if seconds is None else ((b"Strict-Transport-Security", b"max-age=%d" % seconds),)

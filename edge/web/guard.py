"""Layer 2: the resource wrapper that lets in who holds a key. It consumes no path and decides nothing by itself.

What decides are plain functions over values; the guard asks them in this order and stops at the first refusal:
cross-origin access, the rule of the path, the key (all on the head alone), the size that the body announces, then
what takes turns or needs a look at the body.
"""

import re
from collections.abc import Callable, Coroutine, Iterator
from functools import lru_cache
from typing import Any, Final, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from edge.core.cors import allowed, is_preflight, preflight
from edge.core.exchange import Caller, Exchange
from edge.core.redact import printable, redacted
from edge.core.refusal import Refusal
from edge.core.rotation import ends_soon
from edge.core.routing import LONGEST, REMEMBERED, needed_rule
from edge.core.rules import ANYTHING
from edge.core.service import Rule, Traits
from edge.interfaces import IStreamed
from edge.web.drive import drive
from edge.web.local import render_local
from edge.web.pages import DOUBT, NO_SWITCH, refuse, said_by_gate
from edge.wire.body import BodyLostError, BodyTooLargeError
from edge.wire.request import Request

STOCK_BODY: Final = 1024 * 1024
"""The largest body that a resource gets which is not `IStreamed`."""
MOST_ORIGINS: Final = 100
"""Refused origins that are remembered, so that each is said once; no further one is said."""
_SERIALIZED: Final = re.compile(rb"[a-z][a-z0-9+.-]{0,20}://[A-Za-z0-9.\[\]:_-]{1,253}")


class Admits(Protocol):
    """Who asks, and may they: `edge.auth.admission.Admission`."""

    def admit(self, exchange: Exchange, rule: Rule, now: float) -> Caller | Refusal: ...
    def admit_ticket(self, exchange: Exchange, rule: Rule, ticket: str, now: float) -> Caller | Refusal: ...


class Opens(Protocol):
    """What keys have open: `edge.auth.open.Open`."""

    def enter(self, request: Request) -> None: ...
    def leave(self, request: Request) -> None: ...


Turn = Callable[[Request], Refusal | Coroutine[Deferred[Any], Any, Refusal | None] | None]
"""A further question to an admitted request: limits, the queue, a look at the body. Only one that may have to wait
answers with a coroutine."""


@define(eq=False)
class Door:
    """What all guards of a gate share."""

    admission: Admits
    opens: Opens
    origins: tuple[str, ...] = ()
    max_age: float = 7200.0
    body: int = 2 * 1024**3
    refused_origins: set[bytes] = field(factory=set)
    log: Logger = field(factory=Logger)

    def origin(self, request: Request) -> Refusal | None:
        """Judges the `Origin` of a page; an allowed one is remembered so that the answer can be read by it."""
        origin = request.fields.get(b"origin")
        if origin is None:
            return None
        if allowed(origin, request.channel.origin.secure, request.authority, self.origins):
            request.origin_allowed = origin
            return None
        if origin not in self.refused_origins and len(self.refused_origins) < MOST_ORIGINS:
            self.refused_origins.add(origin)
            self._say_refused(origin)
        return Refusal("origin-not-allowed", "Pages of this origin may not use this gate.", retry=False)

    def _say_refused(self, origin: bytes) -> None:
        if _SERIALIZED.fullmatch(origin) is None:
            # "null" and what is no origin at all: there is no line that would let exactly these pages in.
            self.log.warn("A page of {origin} was refused", origin=printable(redacted(origin), 200))
            return
        self.log.warn(
            'A page of {origin} was refused. If it is yours, add to the configuration: [cors] origins = ["{origin}"]',
            origin=origin.decode("ascii"),
        )

    def preflight(self, request: Request) -> None:
        """Answers the preflight of an allowed page, which carries no key."""
        assert request.origin_allowed is not None
        pairs = preflight(request.origin_allowed, request.fields, self.max_age)
        pairs.append((b"X-Request-Id", request.exchange.arrival.id.encode("ascii")))
        request.reply(204, pairs)


@implementer(IResource)
@define(eq=False)
class Guard:
    """Stands before one resource: a service's, or one of the gate's own."""

    resource: IResource
    door: Door
    traits: Traits | None = None
    rule: Rule = ANYTHING
    """What the resource needs where no traits say it by path."""
    turns: tuple[Turn, ...] = ()
    isLeaf = True
    _streamed: bool = field(init=False)
    _remembered: Callable[[str, bytes], tuple[bytes, Rule | Refusal, str]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._streamed = IStreamed.providedBy(self.resource)
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._ruled)

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        raise TypeError("a guard has no children")

    def render(self, request: Any) -> int:
        try:
            self._serve(request)
        except Exception:
            self._failed(request, Failure())
        return NOT_DONE_YET

    def _failed(self, request: Request, failure: Failure) -> None:
        self.door.log.failure("A request could not be judged and was refused", failure)
        refuse(request, DOUBT)

    def _serve(self, request: Request) -> None:
        door = self.door
        refusal: Refusal | None = None
        if b"origin" in request.fields.lows:
            refusal = door.origin(request)
            if refusal is None and is_preflight(request.verb, request.fields):
                door.preflight(request)
                return
        refusal = self._rule(request) or refusal
        slash = self._lacks_slash(request)
        # A ticket is good for one use, which is that of the place that it is sent on to.
        if not (slash and request.ticket):
            refusal = refusal or self._judge(request)
        if refusal is None and slash:
            self._slash(request)
            return
        if refusal is not None:
            refuse(request, refusal)
            return
        turns = iter(self.turns)
        for turn in turns:
            told = turn(request)
            if told is None and not request.finished:
                continue
            if isinstance(told, Refusal):
                refuse(request, told)
            elif told is not None:
                self._drive(request, self._wait(request, told, turns))
            return
        self._let_in(request)

    async def _wait(
        self, request: Request, told: Coroutine[Deferred[Any], Any, Refusal | None], turns: Iterator[Turn]
    ) -> None:
        """Goes on once a turn has come that is waited for."""
        refusal = await told
        for turn in turns:
            if refusal is not None or request.finished:
                break
            asked = turn(request)
            refusal = asked if asked is None or isinstance(asked, Refusal) else await asked
        if refusal is not None:
            refuse(request, refusal)
        elif not request.finished:
            self._let_in(request)

    def _let_in(self, request: Request) -> None:
        if self._streamed:
            self.resource.render(request)
        else:
            self._drive(request, self._render(request))

    def _drive(self, request: Request, work: Coroutine[Deferred[Any], Any, None]) -> None:
        drive(work, lambda failure: self._failed(request, failure))

    def _rule(self, request: Request) -> Refusal | None:
        """Finds what is asked of such requests and how they are answered; the Refusal of a path that is not plain."""
        traits = self.traits
        request.rule = self.rule
        if traits is None:
            return None
        rest = request.route_rest
        # Clients choose what is remembered, and none may fill the memory.
        ruled = self._remembered if len(rest) <= LONGEST else self._ruled
        request.mapped, needed, dialect = ruled(request.verb, rest)
        request.dialect = traits.dialect
        if isinstance(needed, Refusal):
            return needed
        request.rule = needed
        if dialect:
            request.dialect = dialect
        return None

    def _ruled(self, verb: str, rest: bytes) -> tuple[bytes, Rule | Refusal, str]:
        """The path at the service, the rule for it, and the dialect where the rule has one of its own."""
        assert self.traits is not None
        mapped = self.traits.map(rest)
        needed = needed_rule(self.traits, verb, mapped)
        return mapped, needed, "" if isinstance(needed, Refusal) else needed.dialect

    def _judge(self, request: Request) -> Refusal | None:
        """What the head alone decides."""
        door = self.door
        rule = request.rule
        exchange = request.exchange
        now = exchange.arrival.at
        if request.ticket is not None:
            found = door.admission.admit_ticket(exchange, rule, request.ticket, now)
        else:
            found = door.admission.admit(exchange, rule, now)
        if isinstance(found, Refusal):
            return found
        request.exchange = exchange.by(found)
        request.extra += ends_soon(found.key, now)
        if request.upgrade is not None and request.protocol == "HTTP/2.0" and not self._switches(request.upgrade):
            return NO_SWITCH
        body = request.body
        if body.length:
            # What came together with the head is there already.
            if (body.length if isinstance(body.length, int) else body.received) > door.body:
                return Refusal("body-too-large", f"The body is larger than {door.body} bytes.", retry=False)
            body.most = door.body
        opens = door.opens
        opens.enter(request)
        request.endings.append((opens.leave, request))
        return None

    def _switches(self, protocol: bytes) -> bool:
        return self.traits is not None and protocol in self.traits.upgrades

    def _lacks_slash(self, request: Request) -> bool:
        """Whether the route itself is asked for, as a page whose relative links need the final slash."""
        return self.traits is not None and request.route_rest == b"" and request.verb in ("GET", "HEAD")

    def _slash(self, request: Request) -> None:
        parts = [] if request.query is None else [request.query]
        if request.ticket:
            parts.append(b"ticket=" + request.ticket.encode("latin-1"))
        query = b"?" + b"&".join(parts) if parts else b""
        request.reply(
            308,
            [(b"Location", request.path + b"/" + query), (b"Cache-Control", b"no-store"), *said_by_gate(request)],
        )

    async def _render(self, request: Request) -> None:
        """Gives a resource that is not `IStreamed` its whole body."""
        try:
            body = await request.body.read(STOCK_BODY)
        except BodyTooLargeError:
            refuse(request, Refusal("body-too-large", f"The body is larger than {STOCK_BODY} bytes.", retry=False))
            return
        except BodyLostError:
            return
        route = request.exchange.route
        prefix = route.prefix if route is not None else b""
        path = request.path[len(prefix) :] if self.traits is None else request.mapped
        render_local(request, self.resource, body, prefix, path)

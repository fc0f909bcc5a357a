"""Hands an admitted request to its service and the answer back, changing as little as a gate must."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.iweb import UNKNOWN_LENGTH
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from edge.core.cors import pairs as cors_pairs
from edge.core.forwarding import CREDENTIALS, forwarded, location, sent_back, sent_on
from edge.core.headers import Fields, Pair
from edge.core.meters import Meter
from edge.core.refusal import Refusal
from edge.interfaces import IStreamed
from edge.web.drive import drive
from edge.web.pages import refuse
from edge.web.relay import Relay
from edge.web.upgrade import Splice
from edge.wire.body import Body, BodyTooLargeError
from edge.wire.request import Request

LIST_SIZE: Final = 4 * 1024 * 1024
"""The largest model list that is held to be cut to what a key may use."""
_STREAMED: Final = b"text/event-stream"
_BROKEN: Final = Refusal("upstream-broken", "the service broke off while answering", retry_after=None)


class Answer(Protocol):
    """A service's answer: treq's response, with the wire's own reading of its head beside it."""

    code: int
    phrase: bytes
    fields: Fields
    length: Any
    whole: bytes | None
    """The body where all of it came with the head."""

    def deliverBody(self, protocol: Any) -> None: ...


class Switching(Protocol):
    """A service's `101`: its fields, and the tunnel behind it."""

    fields: Fields
    tunnel: Any


class Outward(Protocol):
    """The way to one server of a service."""

    @property
    def bases(self) -> tuple[bytes, ...]:
        """Its own addresses as it may write them into `Location`, without a final slash."""

    @property
    def authority(self) -> bytes:
        """What `Host` says to it."""

    @property
    def origin(self) -> bytes:
        """What `Origin` says to it."""

    def send(
        self,
        method: str,
        path: bytes,
        pairs: list[Pair],
        body: Body | None,
        inform: Callable[[int, Sequence[Pair]], None],
    ) -> Deferred[Any]:
        """The Answer."""

    def upgrade(self, protocol: bytes, path: bytes, pairs: list[Pair]) -> Deferred[Any]:
        """Switching or, where the service would not, its Answer."""

    def refusal(self, failure: Failure) -> Refusal | None:
        """What to tell the client of a failure that is the upstream's; None where it is not."""


class Servers(Protocol):
    """The servers of a service, and how well they do: `edge.backends.upstreams.Upstreams`."""

    def take(self, avoid: Any = ...) -> Any: ...
    def give(self, server: Any) -> None: ...
    def worked(self, server: Any) -> None: ...
    def failed(self, server: Any, why: str) -> None: ...


@implementer(IResource, IStreamed)
@define(eq=False)
class Forward:
    """The resource of a service that runs elsewhere."""

    service: str
    servers: Servers
    outward: Mapping[str, Outward]
    """By base address."""
    clock: IReactorTime
    fields: tuple[Pair, ...] = ()
    """Fields set on every request to the service."""
    upgrades: frozenset[bytes] = frozenset()
    keep_host: bool = False
    identify: bool = False
    dialect: str = "openai"
    filter_models: Callable[[bytes, str, Any], bytes] | None = None
    isLeaf = True
    log: Logger = field(factory=lambda: Logger(namespace="aigate.forward"))
    _backend: Pair = field(init=False)
    _replaced: frozenset[bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._backend = (b"X-Aigate-Backend", self.service.encode("ascii"))
        self._replaced = frozenset(name.lower() for name, _ in self.fields) - CREDENTIALS

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        raise TypeError("a service's paths are its own")

    def render(self, request: Any) -> int:
        rest = request.route_rest
        if rest == b"" and request.verb in ("GET", "HEAD") and request.exchange.route.prefix:
            self._slash(request)
        else:
            drive(self._forward(request), lambda failure: self._failed(request, failure))
        return NOT_DONE_YET

    def _slash(self, request: Request) -> None:
        """A page's relative links need the final slash."""
        query = b"?" + request.query if request.query is not None else b""
        request.reply(
            308,
            [
                (b"Location", request.path + b"/" + query),
                (b"X-Request-Id", request.exchange.arrival.id.encode("ascii")),
            ],
        )

    def _failed(self, request: Request, failure: Failure) -> None:
        if request.finished:
            return
        self.log.failure("{service}: a request could not be forwarded", failure, service=self.service)
        request.ledger.ended = "upstream-broken"
        refuse(request, _BROKEN, request.rule.dialect or self.dialect)

    def _not_answered(self, request: Request, server: Any, outward: Outward) -> None:
        """The service gave no answer: the client is told why, in the words of its dialect."""
        failure = Failure()
        refusal = outward.refusal(failure)
        if refusal is not None and not request.finished:
            self.log.warn(
                "{service}: {why} ({id})", service=self.service, why=failure.value, id=request.exchange.arrival.id
            )
            if refusal.reason != "upstream-timeout" or refusal.message.endswith("in time"):
                self.servers.failed(server, str(failure.value))
        if request.finished:
            return
        if isinstance(failure.value, BodyTooLargeError):
            refuse(request, Refusal("body-too-large", str(failure.value), retry=False), self._dialect(request))
            return
        if refusal is None:
            self._failed(request, failure)
            return
        request.ledger.ended = "timeout" if refusal.reason == "upstream-timeout" else "upstream-broken"
        refuse(request, refusal, self._dialect(request))

    def _dialect(self, request: Request) -> str:
        return request.rule.dialect or self.dialect

    async def _forward(self, request: Request) -> None:
        server = self.servers.take()
        if server is None:
            refuse(request, Refusal("upstream-refused", "no server of this service is there"), self.dialect)
            return
        request.endings.append(partial(self.servers.give, server))
        outward = self.outward[server.base]
        request.exchange = request.exchange.to(server.base)
        path = request.mapped if request.query is None else request.mapped + b"?" + request.query
        pairs = self._sent_on(request, outward)
        ledger = request.ledger
        started = request.started
        upgrade = request.upgrade
        if upgrade is not None and upgrade in self.upgrades:
            sent = outward.upgrade(upgrade, path, pairs)
        else:
            body = request.body if request.body.length else None
            sent = outward.send(request.verb, path, pairs, body, partial(_inform, request))
        ledger.overhead = self.clock.seconds() - started - ledger.queued
        request.gone = lambda reason: sent.cancel()
        try:
            answer = await sent
        except Exception:
            self._not_answered(request, server, outward)
            return
        if request.finished:
            return
        self.servers.worked(server)
        ledger.first_byte = self.clock.seconds() - started
        if upgrade is not None and hasattr(answer, "tunnel"):
            Splice(request, answer).start()
            return
        rule = request.rule
        caller = request.exchange.caller
        if rule.models and caller is not None and caller.key.models and answer.code == 200:
            await self._cut_list(request, answer, rule.models, caller.key, outward)
            return
        content_type = answer.fields.get(b"content-type") or b""
        meter = self._meter(request, content_type) if rule.units and answer.code < 400 else None
        if request.early:
            self._go_on(request, answer, outward, meter)
            return
        back = self._sent_back(request, answer, outward)
        length = None if answer.length is UNKNOWN_LENGTH else answer.length
        if answer.whole is not None:
            request.gone = None
            if meter is not None:
                meter.feed(answer.whole)
            request.begin(answer.code, back, length, answer.whole, True, answer.phrase)
            return
        request.respond(answer.code, back, length, answer.phrase)
        relay = Relay(request, content_type, self._dialect(request), outward.refusal, meter)
        answer.deliverBody(relay)

    def _meter(self, request: Request, content_type: bytes) -> Meter:
        """Counts what the answer costs as it passes; the count is in the books before anybody reads them."""
        ledger = request.ledger
        length = request.body.length
        sent = length if isinstance(length, int) else request.body.received
        meter = Meter(request.rule.units, ledger.fields, sent, content_type)

        def counted() -> None:
            ledger.units = dict(meter.result(request.finished_well))
            ledger.job = meter.job

        request.endings.append(counted)
        return meter

    def _go_on(self, request: Request, answer: Answer, outward: Outward, meter: Meter | None) -> None:
        """Goes on with an answer whose head went out while its request waited."""
        dialect = self._dialect(request)
        if answer.code == 200:
            answer.deliverBody(Relay(request, request.early, dialect, outward.refusal, meter))
            return
        held = Collected(0)
        held.done.addErrback(lambda _: None)
        answer.deliverBody(held)
        held.cancel(Failure(ConnectionAborted()))
        refuse(request, Refusal("upstream-broken", f"the service answered {answer.code}"), dialect)

    def _sent_on(self, request: Request, outward: Outward) -> list[Pair]:
        exchange = request.exchange
        arrival = exchange.arrival
        fields = request.fields
        pairs = sent_on(fields, self._replaced)
        pairs.insert(0, (b"Host", request.authority if self.keep_host else outward.authority))
        route = exchange.route
        pairs += forwarded(
            arrival.client, request.chain, arrival.secure, request.authority, route.prefix if route else b""
        )
        pairs.append((b"X-Request-Id", arrival.id.encode("ascii")))
        if request.origin_allowed is not None and not self.keep_host:
            pairs = [(name, outward.origin if name.lower() == b"origin" else value) for name, value in pairs]
        if request.rule.models and exchange.caller is not None and exchange.caller.key.models:
            pairs = [pair for pair in pairs if pair[0].lower() != b"accept-encoding"]
        if request.rule.units and any(getattr(grant, "levels", ()) for grant in request.grants):
            # A packed answer could not be counted.
            pairs = [pair for pair in pairs if pair[0].lower() != b"accept-encoding"]
        if self.identify and exchange.caller is not None:
            pairs.append((b"X-Aigate-User", exchange.caller.user.encode("utf-8")))
            pairs.append((b"X-Aigate-Key", exchange.caller.key_id.encode("ascii")))
        pairs += self.fields
        return pairs

    def _sent_back(self, request: Request, answer: Answer, outward: Outward) -> list[Pair]:
        fields = answer.fields
        allowed = request.origin_allowed
        pairs = sent_back(fields, allowed is not None)
        lows = fields.lows
        if b"location" in lows or b"content-location" in lows:
            route = request.exchange.route
            prefix = route.prefix if route is not None else b""
            pairs = [
                (name, location(value, outward.bases, request.authority, prefix))
                if name.lower() in (b"location", b"content-location")
                else (name, value)
                for name, value in pairs
            ]
        if allowed is not None:
            pairs += cors_pairs(allowed)
        if b"x-accel-buffering" not in lows and (fields.get(b"content-type") or b"").startswith(_STREAMED):
            pairs.append((b"X-Accel-Buffering", b"no"))
        pairs.append((b"X-Request-Id", request.exchange.arrival.id.encode("ascii")))
        pairs.append(self._backend)
        dialect = self._dialect(request)
        for grant in request.grants:
            pairs += grant.pairs(dialect)
        pairs += request.extra
        overhead = request.ledger.overhead
        if overhead is not None:
            pairs.append((b"X-Aigate-Overhead-Ms", b"%.2f" % (overhead * 1000)))
        return pairs

    async def _cut_list(self, request: Request, answer: Answer, kind: str, key: Any, outward: Outward) -> None:
        """Holds a list of models, and answers with those that the key may use."""
        held = Collected(LIST_SIZE)
        request.gone = held.cancel
        answer.deliverBody(held)
        whole = await held.done
        if request.finished:
            return
        assert self.filter_models is not None
        back = self._sent_back(request, answer, outward)
        request.gone = None
        request.begin(answer.code, back, None, self.filter_models(whole, kind, key), True, answer.phrase)


def _inform(request: Request, status: int, pairs: Sequence[Pair]) -> None:
    """Passes an interim answer on, by the same rules as the final one."""
    request.inform(status, sent_back(Fields(list(pairs)), request.origin_allowed is not None))


class Collected:
    """Takes the body of an answer that is small by its nature; fails with BodyTooLargeError where it is not."""

    def __init__(self, most: int) -> None:
        self.done: Deferred[bytes] = Deferred()
        self._most = most
        self._parts: list[bytes] = []
        self._transport: Any = None

    def makeConnection(self, transport: Any) -> None:
        self._transport = transport

    def cancel(self, reason: Failure) -> None:
        if self._transport is not None:
            self._transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        self._parts.append(data)
        self._most -= len(data)
        if self._most < 0:
            self._transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        if reason.check(ResponseDone):
            self.done.callback(b"".join(self._parts))
        else:
            self.done.errback(reason)

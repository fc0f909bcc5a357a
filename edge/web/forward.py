"""Hands an admitted request to its service and the answer back, changing as little as a gate must."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from edge.core.batch import Batch
from edge.core.headers import Fields, Pair
from edge.core.meters import Meter
from edge.core.refusal import Refusal, sentence
from edge.interfaces import IStreamed
from edge.web.cut import cut
from edge.web.drive import drive
from edge.web.lists import Collected, Cut, cut_list
from edge.web.metering import book, book_at_end, keep_small, meter_of
from edge.web.pages import refuse
from edge.web.passing import Passing, Place, told
from edge.web.relay import Relay
from edge.web.upgrade import Splice
from edge.wire.body import Body, BodyTooLargeError
from edge.wire.request import Request

_BROKEN: Final = Refusal("upstream-broken", "The service broke off while answering.", retry_after=None)
_NOBODY: Final = Refusal("upstream-refused", "No server of this service is there.")
_BUSY: Final = Refusal("queue-full", "The service has too many requests in hand.", retry_after=1.0)
_TOO_LONG: Final = Refusal("upstream-timeout", "The service took too long for the whole answer.")


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


class Outward(Place, Protocol):
    """The way to one server of a service."""

    def send(
        self,
        method: str,
        path: bytes,
        pairs: Batch,
        body: Body | bytes | None,
        inform: Callable[[int, Sequence[Pair]], None],
    ) -> Deferred[Any]:
        """The Answer."""

    def upgrade(self, protocol: bytes, path: bytes, pairs: Batch) -> Deferred[Any]:
        """Switching or, where the service would not, its Answer."""

    def refusal(self, failure: Failure) -> Refusal | None:
        """What to tell the client of a failure that is the upstream's; None where it is not."""

    def unreached(self, failure: Failure) -> bool:
        """Whether the server was not reached at all, so that nothing of the request was sent."""


class Servers(Protocol):
    """The servers of a service, and how well they do: `edge.backends.upstreams.Upstreams`."""

    def take(self, avoid: Any = ..., caller: str = ...) -> Any: ...
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
    passing: Passing
    upgrades: frozenset[bytes] = frozenset()
    cut_models: Cut | None = None
    connections: int = 512
    """The most requests in hand of one server."""
    total: float | None = None
    """Seconds for the whole answer."""
    tunnel_idle: float = 86400.0
    """Seconds that a tunnel may be silent."""
    home: bool = False
    """Whether all that a key asks for goes to one server, since the others know nothing of what was begun there."""
    isLeaf = True
    log: Logger = field(factory=lambda: Logger(namespace="aigate.forward"))

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        raise TypeError("a service's paths are its own")

    def render(self, request: Any) -> int:
        try:
            if self.total is not None:
                timer = self.clock.callLater(self.total, self._too_long, request)
                request.endings.append((_stop, timer))
            self._try(request, frozenset(), _NOBODY)
        except Exception:
            self._failed(request, Failure())
        return NOT_DONE_YET

    def _failed(self, request: Request, failure: Failure) -> None:
        self.log.failure("{service}: a request could not be forwarded", failure, service=self.service)
        if request.finished:
            return
        gone, request.gone = request.gone, None
        self._refuse(request, _BROKEN)
        if gone is not None:
            gone(Failure(ConnectionAborted()))

    def _try(self, request: Request, avoid: frozenset[Any], told: Refusal) -> None:
        """Asks a server that is none of `avoid`; `told` is what the client hears where there is none."""
        caller = request.exchange.caller
        if self.home and caller is not None:
            server = self.servers.take(avoid, caller.key.id)
        else:
            server = self.servers.take(avoid) if avoid else self.servers.take()
        if server is None:
            self._refuse(request, told)
            return
        request.endings.append((self.servers.give, server))
        if server.open > self.connections:
            refuse(request, _BUSY)
            return
        outward = self.outward[server.base]
        sent = self._send(request, server.base, outward)
        request.gone = lambda reason: sent.cancel()
        sent.addCallbacks(
            self._answered,
            self._unanswered,
            callbackArgs=(request, server, outward),
            errbackArgs=(request, server, outward, avoid),
        )

    def _answered(self, answer: Any, request: Request, server: Any, outward: Outward) -> None:
        try:
            if request.finished:
                # It came in the very moment in which it was called off.
                if hasattr(answer, "tunnel"):
                    answer.tunnel.abortConnection()
                else:
                    self._discard(answer)
                return
            self.servers.worked(server)
            request.ledger.first_byte = self.clock.seconds() - request.started
            if request.upgrade is not None and hasattr(answer, "tunnel"):
                Splice(request, answer, self.clock, self.tunnel_idle).start()
            else:
                self._hand_back(request, answer, outward)
        except Exception:
            self._failed(request, Failure())

    def _unanswered(
        self, failure: Failure, request: Request, server: Any, outward: Outward, avoid: frozenset[Any]
    ) -> None:
        try:
            again = self._not_answered(request, server, outward, failure)
            if again is not None:
                request.endings.remove((self.servers.give, server))
                self.servers.give(server)
                self._try(request, avoid | {server}, again)
        except Exception:
            self._failed(request, Failure())

    def _send(self, request: Request, base: str, outward: Outward) -> "Deferred[Any]":
        request.exchange = request.exchange.to(base)
        path = request.mapped if request.query is None else request.mapped + b"?" + request.query
        pairs = self.passing.on(request, outward, bool(request.rule.models) and self._by_model(request))
        ledger = request.ledger
        if request.upgrade is not None and request.upgrade in self.upgrades:
            sent = outward.upgrade(request.upgrade, path, pairs)
        else:
            body: Body | bytes | None = request.body
            if not (length := request.body.length):
                body = None
            elif (whole := request.body.whole) and length == len(whole):
                body = whole  # it goes out with the head
            elif request.rule.units:
                keep_small(request)
            sent = outward.send(request.verb, path, pairs, body, partial(_inform, request))
        ledger.overhead = self.clock.seconds() - request.started - ledger.queued
        return sent

    def _not_answered(self, request: Request, server: Any, outward: Outward, failure: Failure) -> Refusal | None:
        """Tells the client why there is no answer; gives the Refusal instead where another server may be asked."""
        refusal = outward.refusal(failure)
        if request.finished:
            return None
        if refusal is None:
            if failure.check(BodyTooLargeError):
                refuse(request, Refusal("body-too-large", sentence(str(failure.value)), retry=False))
            else:
                self._failed(request, failure)
            return None
        self.log.warn(
            "{service}: {why} ({id})", service=self.service, why=failure.value, id=request.exchange.arrival.id
        )
        unreached = outward.unreached(failure)
        if unreached or refusal.reason != "upstream-timeout":
            self.servers.failed(server, str(failure.value))
        if unreached and len(self.outward) > 1:
            return refusal
        self._refuse(request, refusal)
        return None

    def _refuse(self, request: Request, refusal: Refusal) -> None:
        """Tells of a failure that is the service's."""
        request.ledger.ended = "timeout" if refusal.reason == "upstream-timeout" else "upstream-broken"
        refuse(request, refusal)

    def _too_long(self, request: Request) -> None:
        """The whole answer took longer than is allowed."""
        if request.status == 101:
            return
        if request.answered and not request.early:
            request.ledger.reason = _TOO_LONG.reason
            cut(request, "timeout")
            return
        gone, request.gone = request.gone, None
        self._refuse(request, _TOO_LONG)
        if gone is not None:
            gone(Failure(ConnectionAborted()))

    def _hand_back(self, request: Request, answer: Answer, outward: Outward) -> None:
        """Gives the client the service's answer."""
        if request.upgrade is not None and request.protocol == "HTTP/2.0" and answer.code < 300:
            # Only a switch may answer an extended CONNECT by 2xx (RFC 8441 4).
            self._discard(answer)
            self._refuse(request, Refusal("upstream-broken", "The service did not switch protocols.", retry=False))
            return
        if request.rule.models and answer.code < 300 and self._by_model(request):
            drive(self._hand_back_list(request, answer, outward), lambda failure: self._failed(request, failure))
            return
        meter = None
        if request.rule.units and answer.code < 400:
            meter = meter_of(request, answer.fields.get(b"content-type"))
        whole = answer.whole
        length = None if answer.length is UNKNOWN_LENGTH else answer.length
        if whole is not None and not request.early:
            back = self.passing.back(request, answer.fields, outward)
            request.gone = None
            if meter is not None:
                meter.feed(whole)
                book(request, meter, True)
            request.begin(answer.code, back, length, whole, True, answer.phrase)
            return
        if meter is not None:
            book_at_end(request, meter)
        if request.early:
            self._go_on(request, answer, outward, meter)
            return
        request.respond(answer.code, self.passing.back(request, answer.fields, outward), length, answer.phrase)
        # In an answer of a declared length a last word would pass for what is missing of it.
        kind = answer.fields.get(b"content-type") if length is None else None
        answer.deliverBody(Relay(request, kind or b"", outward.refusal, meter))

    async def _hand_back_list(self, request: Request, answer: Answer, outward: Outward) -> None:
        assert self.cut_models is not None
        back = list(self.passing.back(request, answer.fields, outward))
        refusal = await cut_list(request, answer, back, self.cut_models, outward.refusal)
        if refusal is not None and not request.finished:
            self.log.warn("{service}: {why}", service=self.service, why=refusal.message)
            self._refuse(request, refusal)

    def _by_model(self, request: Request) -> bool:
        """Whether the caller may use certain models only, and sees no others in a list."""
        caller = request.exchange.caller
        return caller is not None and bool(caller.key.models)

    def _go_on(self, request: Request, answer: Answer, outward: Outward, meter: Meter | None) -> None:
        """Goes on with an answer whose head went out while its request waited."""
        given = (answer.fields.get(b"content-type") or b"").partition(b";")[0].strip().lower()
        packed = (answer.fields.get(b"content-encoding") or b"identity").strip().lower() != b"identity"
        if answer.code == 200 and given == request.early and not packed:
            # From here on what is broken must look so.
            kind, request.early = request.early, b""
            answer.deliverBody(Relay(request, kind, outward.refusal, meter))
            return
        self._discard(answer)
        said = "The service does not stream."
        if answer.code != 200:
            said = f"The service answered {answer.code}."
        elif packed:
            said = "The service compressed its answer, though it was not asked to."
        self._refuse(request, Refusal("upstream-broken", said))

    def _discard(self, answer: Answer) -> None:
        """Ends an answer that nobody will read."""
        held = Collected(0)
        held.done.addErrback(lambda _: None)
        answer.deliverBody(held)
        held.cancel(Failure(ConnectionAborted()))


def _inform(request: Request, status: int, pairs: Sequence[Pair]) -> None:
    """Passes an interim answer on, by the same rules as the final one."""
    request.inform(status, told(pairs, request.origin_allowed is not None))


def _stop(timer: IDelayedCall) -> None:
    if timer.active():
        timer.cancel()

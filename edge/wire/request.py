"""The one request object, made by HTTP/1.1 and HTTP/2 alike: what was asked, and the way back to who asked.

`Request` is what the gate's own resources work with: a judged head, a body that streams, an answer that streams.
Its subclass in `wire.irequest` adds the rest of twisted.web's `IRequest` for any other resource.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen
from twisted.internet.interfaces import IAddress, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure

from edge.core.headers import Pair
from edge.wire.body import NO_BODY, Body, Source
from edge.wire.head import RequestHead

if TYPE_CHECKING:
    from edge.core.exchange import Exchange, Session
    from edge.core.service import Rule


_log = Logger(namespace="aigate.wire")


@frozen
class Origin:
    """Where a connection comes from."""

    peer: str
    """The address of the other end, mapped IPv4 unwrapped; "unix" for a unix socket."""
    secure: bool
    listener: str
    """https, http, plain or ops."""
    host: IAddress
    address: IAddress
    tls: "Session | None" = None


class Tunnel(Protocol):
    """Raw bytes both ways after a switch of protocols; an ITransport in the parts that a relay uses."""

    def write(self, data: bytes) -> None: ...
    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Takes an IPushProducer, which another Tunnel is."""

    def unregisterProducer(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def stopProducing(self) -> None:
        """The transport that takes from it is gone."""

    def loseConnection(self) -> None:
        """Ends after all that was written has gone out."""

    def abortConnection(self) -> None:
        """Ends at once, visibly broken."""


class TunnelEnd(Protocol):
    """Who takes the bytes that come through a Tunnel."""

    def dataReceived(self, data: bytes) -> None: ...
    def connectionLost(self, reason: Failure) -> None: ...


class Channel(Source, Protocol):
    """One request's way back: an HTTP/1.1 connection while it has the request in hand, or an HTTP/2 stream."""

    origin: "Origin"

    def respond(
        self, status: int, phrase: bytes, pairs: Iterable[Pair], length: int | None, data: bytes, last: bool
    ) -> None:
        """Sends the head, and in the same write `data`; `last` when nothing follows.

        `pairs` carry no framing and no hop-by-hop fields. `length` is that of the whole body, None where it is unknown;
        the channel knows by itself that HEAD, 204 and 304 have no body, and ignores `data` there.
        """

    def send(self, data: bytes) -> None:
        """Sends part of the body; never empty."""

    def end(self) -> None:
        """Ends the body; the message is complete."""

    def abort(self) -> None:
        """Breaks the answer off so that nobody can take it for complete (RST_STREAM; a close without a last chunk)."""

    def inform(self, status: int, pairs: Iterable[Pair]) -> None:
        """Sends an interim 1xx answer where the client's protocol knows them."""

    def switch(self, pairs: Iterable[Pair], end: TunnelEnd) -> Tunnel:
        """Answers an upgrade (101, or 200 to an extended CONNECT) and gives the connection's bytes away for good."""

    def register(self, producer: IPushProducer) -> None:
        """Takes the source of the answer, which is paused while the client does not keep up."""

    def unregister(self) -> None: ...


class Request:
    """One request. Read-only but for the answer, and for `exchange`, which each layer replaces."""

    __slots__ = (
        "__dict__",
        "__weakref__",
        "answered",
        "authority",
        "body",
        "chain",
        "channel",
        "dialect",
        "early",
        "endings",
        "exchange",
        "extra",
        "fields",
        "finished",
        "finished_well",
        "gone",
        "host",
        "ledger",
        "length",
        "mapped",
        "origin_allowed",
        "path",
        "protocol",
        "query",
        "route_rest",
        "rule",
        "select_own",
        "sent",
        "standing",
        "started",
        "status",
        "target",
        "ticket",
        "told",
        "upgrade",
        "verb",
    )

    # Written by the layers that a request goes through, read by those after them.
    exchange: "Exchange"
    ledger: Any
    """`edge.web.ledger.Ledger`."""
    route_rest: bytes
    """The raw rest of the path below the route's prefix."""
    mapped: bytes
    """The raw path at the service."""
    rule: "Rule"
    """What the service's plugin says of such requests."""
    chain: bytes
    """The way here as trusted proxies tell it."""

    def __init__(self, channel: Channel, head: RequestHead, protocol: str, started: float) -> None:
        self.channel = channel
        self.verb = head.method
        self.target = target = head.target
        self.path, mark, query = target.partition(b"?")
        self.query: bytes | None = query if mark else None
        self.fields = head.fields
        self.host = head.host
        """Lower-case, without port and brackets; "" where HTTP/1.0 gave none."""
        self.authority = head.authority
        self.protocol = protocol
        length, upgrade = head.length, head.upgrade
        # What a switched connection sends is counted as its body.
        self.body: Body = Body(length, channel) if length or upgrade is not None else NO_BODY
        """Its `length` is an int, or UNKNOWN_LENGTH; 0 where there is none."""
        self.upgrade = upgrade
        self.started = started
        """The reactor's monotonic seconds at the end of the head."""
        self.ledger = None
        self.dialect = "openai"
        """How the gate words its own answers to this request."""
        self.gone: Callable[[Failure], None] | None = None
        """Called once when the client leaves before the answer is complete; whoever works for the request sets it."""
        self.endings: list[tuple[Callable[[Any], object], Any]] = []
        """Functions, each with what it is called with, once, the latest first, when the answer is complete or broken
        off, or the client left (after `gone`)."""
        self.extra = b""
        """Lines that layers add to the head of the answer, whoever gives it."""
        self.standing = b""
        """Lines that tell where the caller stands with the limits, for an answer that is no refusal."""
        self.early = b""
        """The content type of an answer that began while the request still waited for its turn."""
        self.status = 0
        """The status that was sent, 0 before."""
        self.told: Iterable[Pair] = ()
        """The fields of the head that was sent."""
        self.length: int | None = None
        """The length of the answer's body, where the head told it."""
        self.sent = 0
        """Payload bytes of the answer so far."""
        self.answered = False
        """Whether the head of the answer is out."""
        self.finished = False
        """Whether the answer is complete, broken off, or pointless since the client left."""
        self.finished_well = False
        """Whether it is complete."""
        self.ticket: str | None = None
        """A ticket that came in the query or as a subprotocol, cut from both."""
        self.select_own = False
        """Whether the gate's own subprotocol is to be selected where the service selects none."""
        self.origin_allowed: bytes | None = None
        """The `Origin` of a page that may read the answer."""

    # The answer

    def respond(self, status: int, pairs: Iterable[Pair], length: int | None = None, phrase: bytes = b"") -> None:
        """Sends the head of an answer whose body follows by `send` and `end`; `length` None where it is unknown."""
        if self.finished:
            return
        self.answered, self.status, self.told, self.length = True, status, pairs, length
        self.channel.respond(status, phrase, pairs, length, b"", False)

    def reply(self, status: int, pairs: Iterable[Pair], data: bytes = b"", phrase: bytes = b"") -> None:
        """Sends a whole answer in one write."""
        if self.finished:
            return
        self.answered, self.status, self.told = True, status, pairs
        self.sent = self.length = len(data)
        self.channel.respond(status, phrase, pairs, len(data), data, True)
        self._finish(True)

    def begin(
        self, status: int, pairs: Iterable[Pair], length: int | None, data: bytes, last: bool, phrase: bytes = b""
    ) -> None:
        """Sends a head and what is already there of its body in one write; `last` when that is all."""
        if self.finished:
            return
        self.answered = True
        self.status = status
        self.told = pairs
        self.length = length
        self.sent = len(data)
        self.channel.respond(status, phrase, pairs, length, data, last)
        if last:
            self._finish(True)

    def send(self, data: bytes) -> None:
        """Sends part of the body."""
        if data and not self.finished:
            self.sent += len(data)
            self.channel.send(data)

    def end(self) -> None:
        """The answer is complete."""
        if not self.finished:
            self.channel.end()
            self._finish(True)

    def abort(self) -> None:
        """Breaks the answer off so that the client cannot take it for complete."""
        if not self.finished:
            self.channel.abort()
            self._finish(False)

    def _finish(self, well: bool) -> None:
        self.finished = True
        self.finished_well = well
        self.gone = None
        self._close()

    def _close(self) -> None:
        """Runs the endings; one that fails must not keep the others from giving back what they hold."""
        endings = self.endings
        while endings:
            try:
                function, argument = endings.pop()
                function(argument)
            except Exception:
                _log.failure("What a request held could not be given back")

    def inform(self, status: int, pairs: Iterable[Pair]) -> None:
        """Passes an interim 1xx answer on, while the final one is still to come; `pairs` without hop-by-hop fields."""
        if not self.answered and not self.finished:
            self.channel.inform(status, pairs)

    def ended(self, well: bool) -> None:
        """A switched connection is over."""
        if not self.finished:
            self._finish(well)

    def lost(self, reason: Failure) -> None:
        """From the channel: the client left (connection lost, stream reset) before the answer was complete."""
        if self.finished:
            return
        self.finished = True
        self.body.fail(reason)
        self.tell_gone(reason)
        self._close()

    def tell_gone(self, reason: Failure) -> None:
        """Tells whoever works for the request, once, that nobody waits for its answer any more."""
        gone, self.gone = self.gone, None
        if gone is not None:
            try:
                gone(reason)
            except Exception:
                _log.failure("What worked for a request could not be called off")

    # Backpressure on the answer (IConsumer's part)

    def registerProducer(self, producer: IPushProducer, streaming: bool = True) -> None:
        """Takes a push producer; a pull producer is wrapped by the caller (`wire.irequest` does)."""
        self.channel.register(producer)

    def unregisterProducer(self) -> None:
        self.channel.unregister()

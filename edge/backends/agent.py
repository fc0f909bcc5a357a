"""Our IAgent: requests out over kept connections, one write for a head with what is there of its body."""

from collections.abc import Callable, Sequence
from typing import Final, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import TimeoutError
from twisted.internet.interfaces import IDelayedCall, IProtocol, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from edge.backends.answer import Answer
from edge.backends.connection import UpstreamConnection
from edge.backends.errand import DEFAULT_TIMEOUTS, Errand, Inform, Timeouts
from edge.backends.failures import UpstreamRefused, UpstreamTimeout, words
from edge.backends.pool import Pool
from edge.backends.rawheaders import RawHeaders
from edge.backends.reader import BOUNDS, Bounds
from edge.backends.requesthead import OWN, request_head, upgrade_head
from edge.backends.target import Creator, Target, UpstreamURL, stock_creator, target_of
from edge.backends.tunnel import Switched, keyed
from edge.core.batch import Batch
from edge.core.headers import Pair

Connect = Callable[[Target, IProtocolFactory, float], Deferred[IProtocol]]
"""Connects a protocol of the factory to a target within seconds; cancelling the Deferred calls it off at once."""

PERIOD: Final = 0.25
"""Seconds between two looks at what takes too long: one timer for all connections instead of one each."""
MOST_TARGETS: Final = 64
"""Targets remembered for URLs that come as text."""
_CLOSING: Final = "the gate is closing"
_TAKES_BODY: Final = frozenset((b"POST", b"PUT", b"PATCH"))
_SAFE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS"))


class _Making(Factory):
    noisy = False

    def __init__(self, keeper: "UpstreamAgent", errand: Errand) -> None:
        self._keeper = keeper
        self._errand = errand

    def buildProtocol(self, addr: object) -> UpstreamConnection:
        return UpstreamConnection(self._keeper, self._errand)


@implementer(IAgent)
class UpstreamAgent:
    """Connections to all upstreams. `idle` is in seconds; `most_idle` counts connections, in all and for each target."""

    def __init__(
        self,
        clock: IReactorTime,
        connect: Connect,
        *,
        idle: float = 4.0,
        most_idle: int = 512,
        most_idle_per_target: int = 128,
        period: float = PERIOD,
        creator: Creator = stock_creator,
        bounds: Bounds = BOUNDS,
    ) -> None:
        self._clock = clock
        self._connect = connect
        self._creator = creator
        self._pool = Pool(max(idle - period, 0.0), most_idle, most_idle_per_target)
        self.release = self._pool.put
        self._open: set[UpstreamConnection] = set()
        self._making: set[Errand] = set()
        self._sweeping: IDelayedCall | None = None
        self._targets: dict[bytes, Target] = {}
        self._closed = False
        self._drained: Deferred[None] | None = None
        self.now = clock.seconds()
        self.period = period
        self.bounds = bounds
        self.connects = 0
        """Connections asked for, made or not."""
        self.reuses = 0
        """Requests sent over a kept connection."""
        self.repeats = 0
        """Requests sent once more because a kept connection died under them."""

    @property
    def open(self) -> int:
        """Connections that are up, idle ones included."""
        return len(self._open)

    @property
    def idle(self) -> int:
        return self._pool.count

    @property
    def stale(self) -> int:
        """Idle connections that turned out closed or unclean when they were to be used."""
        return self._pool.stale

    # IAgent, for whoever has a URL as text

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """Raises ValueError for a URL, method or field that cannot be sent; `uri` may be an UpstreamURL too."""
        url = uri if isinstance(uri, UpstreamURL) else self.located(uri)
        return cast(Deferred[IResponse], self.send(method, url, plain(headers), bodyProducer))

    def located(self, uri: bytes) -> UpstreamURL:
        """A URL as text, split into its target and the raw path, `/` where it has none. Raises ValueError."""
        scheme, mark, rest = uri.partition(b"://")
        cut = min((at for at in map(rest.find, (b"/", b"?")) if at >= 0), default=len(rest))
        origin = scheme + mark + rest[:cut]
        path = rest[cut:].partition(b"#")[0]
        target = self._targets.get(origin)
        if target is None:
            if len(self._targets) >= MOST_TARGETS:
                self._targets.clear()
            target = self._targets[origin] = target_of(origin.decode("ascii"), creator=self._creator)
        return UpstreamURL(target, path if path.startswith(b"/") else b"/" + path)

    # Sending

    def send(
        self,
        method: bytes,
        url: UpstreamURL,
        pairs: Sequence[Pair] | Batch,
        body: IBodyProducer | bytes | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        inform: Inform | None = None,
    ) -> Deferred[Answer]:
        """Sends a request; `pairs` are its fields, Host optional, without framing. Cancelling closes its connection.

        The Deferred fails with UpstreamRefused, UpstreamTimeout, UpstreamBroken, or what the body failed with. Raises
        ValueError for what cannot be sent.
        """
        framing = whole = b""
        producer: IBodyProducer | None = None
        last = False
        if isinstance(body, bytes):
            whole = body
            if body or method in _TAKES_BODY:
                framing = b"Content-Length: %d\r\n" % len(body)
        elif body is None or body.length == 0:
            if method in _TAKES_BODY:
                framing = b"Content-Length: 0\r\n"
        else:
            producer = body
            if body.length == UNKNOWN_LENGTH:
                framing = b"Transfer-Encoding: chunked\r\n"
            else:
                framing = b"Content-Length: %d\r\n" % body.length
        if framing and method not in _TAKES_BODY:
            # A service that reads no body of such a method would take it for its next request, and answer that too.
            framing += b"Connection: close\r\n"
            last = True
        wire = request_head(method, url, pairs, framing) + whole
        repeatable = producer is None and not whole and method in _SAFE
        target = url.target
        errand = Errand(target, wire, producer, method == b"HEAD", repeatable, last, timeouts, inform)
        connection = self._pool.take(target)
        if connection is not None:
            self.reuses += 1
            connection.begin(errand)
        else:
            self._make(errand)
        return errand.deferred

    def upgrade(
        self,
        protocol: bytes,
        url: UpstreamURL,
        pairs: Sequence[Pair] | Batch,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        inform: Inform | None = None,
    ) -> "Deferred[Switched | Answer]":
        """Asks, over a connection of its own, to switch to `protocol` (lower-case, `websocket`).

        `pairs` are without Connection and Upgrade; a websocket without a key gets one. The Deferred has Switched after
        a valid 101, an Answer when the upstream declines; else it fails as `send`'s does.
        """
        pairs, accept = keyed(protocol, list(pairs))
        errand = Errand(url.target, upgrade_head(protocol, url, pairs), None, False, False, True, timeouts, inform)
        errand.upgrade, errand.accept = protocol, accept
        self._make(errand)
        return errand.deferred

    def _make(self, errand: Errand) -> None:
        """A new connection for an errand."""
        name, timeout = errand.target.name, errand.timeouts.connect
        if self._closed:
            errand.fail(Failure(UpstreamRefused(name, _CLOSING)))
            return
        self.connects += 1
        if self._sweeping is None:
            self.now = self._clock.seconds()

        def made(_: IProtocol) -> None:
            self._making.discard(errand)
            errand.connecting = None

        def failed(reason: Failure) -> None:
            self._making.discard(errand)
            if errand.connecting is None:
                return
            errand.connecting = None
            if reason.check(TimeoutError):
                errand.fail(Failure(UpstreamTimeout(name, "connect", timeout)))
            else:
                errand.fail(Failure(UpstreamRefused(name, _CLOSING if self._closed else words(reason))))

        self._making.add(errand)
        errand.connecting = maybeDeferred(self._connect, errand.target, _Making(self, errand), timeout)
        errand.connecting.addCallbacks(made, failed)

    # Keeper

    def opened(self, connection: UpstreamConnection) -> None:
        self._open.add(connection)
        if self._sweeping is None:
            self.now = self._clock.seconds()
            self._sweeping = self._clock.callLater(self.period, self._sweep)

    def closed(self, connection: UpstreamConnection) -> None:
        self._open.discard(connection)
        self._pool.drop(connection)
        if not self._open and self._drained is not None:
            self._stop()

    def repeat(self, errand: Errand) -> None:
        self.repeats += 1
        errand.repeatable = False
        self._make(errand)

    def _sweep(self) -> None:
        self._sweeping = self._clock.callLater(self.period, self._sweep) if self._open else None
        self.now = now = self._clock.seconds()
        self._pool.expire(now)
        for connection in list(self._open):
            if now - connection.since > connection.soonest:
                connection.check(now)

    def close(self) -> Deferred[None]:
        """Closes every connection at once; the Deferred fires when the last one is gone. No request is sent any more."""
        self._closed = True
        self._pool.shut()
        self._drained = Deferred()
        drained = self._drained
        for errand in list(self._making):
            if errand.connecting is not None:
                errand.connecting.cancel()
        for connection in list(self._open):
            connection.abort()
        if not self._open:
            self._stop()
        return drained

    def _stop(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(None)


def plain(headers: Headers | None) -> Sequence[Pair] | Batch:
    """The fields of any Headers, without those that are not the caller's."""
    if headers is None:
        return ()
    if isinstance(headers, RawHeaders):
        return headers.pairs
    return [(name, value) for name, values in headers.getAllRawHeaders() if name.lower() not in OWN for value in values]

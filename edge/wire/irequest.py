"""The request as twisted.web knows it: `IRequest`, for routers, guards and whatever resource a plugin mounts.

Our own resources use `wire.request.Request` and pay for nothing else. The first question that only twisted.web's
`IRequest` answers makes a genuine `twisted.web.server.Request` behind it, whose answer goes out through ours, so that
klein, static files, forms and sessions work as they do under `twisted.web.server.Site`.
"""

from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.interfaces import IAddress, IPullProducer
from twisted.internet.task import Clock, CooperativeTask, cooperate
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.server import Request as TwistedRequest
from twisted.web.server import Site
from zope.interface import classImplements

from edge.core.headers import Pair
from edge.wire.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Taker(Protocol):
    """Who takes the answer of a resource, and gives it to the client; our request does it as it is."""

    def begin(
        self, status: int, pairs: list[Pair], length: int | None, data: bytes, last: bool, phrase: bytes = ...
    ) -> None: ...
    def send(self, data: bytes) -> None: ...
    def end(self) -> None: ...


_HOP: Final = frozenset({b"transfer-encoding", b"connection", b"content-length", b"keep-alive", b"upgrade"})
_FACE: Final = frozenset(IRequest.names(all=True)) | {
    "notifyFinish",
    "code",
    "cookies",
    "client",
    "clientproto",
    "site",
}


class _Pulled:
    """A pull producer as a push producer: asked again and again until it is paused."""

    def __init__(self, producer: IPullProducer) -> None:
        self._producer = producer
        self._paused = False
        self._task: CooperativeTask[Iterator[None]] = cooperate(self._pull())

    def _pull(self) -> "Iterator[None]":
        while True:
            self._producer.resumeProducing()
            yield None

    def pauseProducing(self) -> None:
        if not self._paused and self._task._completionState is None:
            self._paused = True
            self._task.pause()

    def resumeProducing(self) -> None:
        if self._paused:
            self._paused = False
            self._task.resume()

    def stopProducing(self) -> None:
        self.cease()
        self._producer.stopProducing()

    def cease(self) -> None:
        """Asks no more; the producer has unregistered, or is gone."""
        if self._task._completionState is None:
            self._task.stop()


class _StockChannel:
    """What twisted.web's request needs of an HTTP channel, on top of our request."""

    factory = None

    def __init__(self, request: Request, site: Site, taker: Taker | None = None) -> None:
        self.site = site
        self.transport = self
        self._request = request
        self._taker: Taker = request if taker is None else taker
        self._head: tuple[int, list[tuple[bytes, bytes]], int | None, bytes] | None = None
        self._pulled: _Pulled | None = None

    def getPeer(self) -> IAddress:
        return self._request.channel.origin.address

    def getHost(self) -> IAddress:
        return self._request.channel.origin.host

    def isSecure(self) -> bool:
        return self._request.channel.origin.secure

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        pairs = [
            (name, value) for name, values in headers.getAllRawHeaders() if name.lower() not in _HOP for value in values
        ]
        stated = headers.getRawHeaders(b"content-length")
        length = int(stated[0]) if stated and stated[0].isdigit() else None
        self._head = (int(code), pairs, length, reason)

    def write(self, data: bytes) -> None:
        if self._head is not None:
            (status, pairs, length, reason), self._head = self._head, None
            self._taker.begin(status, pairs, length, data, False, reason)
        else:
            self._taker.send(data)

    def writeSequence(self, data: list[bytes]) -> None:
        self.write(b"".join(data))

    def requestDone(self, _: TwistedRequest) -> None:
        if self._head is not None:
            (status, pairs, length, reason), self._head = self._head, None
            self._taker.begin(status, pairs, length, b"", True, reason)
        else:
            self._taker.end()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if not streaming:
            producer = self._pulled = _Pulled(producer)
        self._request.registerProducer(producer)

    def unregisterProducer(self) -> None:
        if self._pulled is not None:
            self._pulled.cease()
            self._pulled = None
        self._request.unregisterProducer()

    def loseConnection(self) -> None:
        self._request.abort()

    def abortConnection(self) -> None:
        self._request.abort()


class StockRequest(TwistedRequest):
    """A twisted.web request that is told where it is and which resource answers it."""

    _under: tuple[IResource | None, list[bytes], list[bytes]] = (None, [], [])

    def process(self) -> None:
        self.site = _SITE
        resource, self.prepath, self.postpath = self._under
        if resource is None:
            return
        try:
            self.render(getChildForRequest(resource, self))
        except BaseException:
            self.processingFailed(Failure())

    def processingFailed(self, reason: Failure) -> Failure:
        """Answers 500; an answer that is under way is broken off, so that nobody takes it for a whole one."""
        if self.startedWriting:
            self._log.failure("", failure=reason)
            if not self.finished:
                self.loseConnection()
        else:
            super().processingFailed(reason)
        return reason


def stock_request(request: Request) -> StockRequest:
    """A twisted.web request behind ours, without its body; `render_stock` gives it one and lets it run."""
    stock = StockRequest(_StockChannel(request, _SITE))
    stock.requestHeaders = Headers()
    for name, value in request.fields:
        stock.requestHeaders.addRawHeader(name, value)
    stock.parseCookies()
    stock.gotLength(0)
    # HTTP/1.0 keeps it from framing the body in chunks: framing is the channel's affair.
    stock.requestReceived(request.verb.encode("ascii"), request.target, b"HTTP/1.0")
    return stock


def render_stock(
    request: Request,
    resource: IResource,
    body: bytes,
    prepath: list[bytes],
    postpath: list[bytes],
    fields: "Iterable[Pair] | None" = None,
    taker: Taker | None = None,
) -> None:
    """Lets any twisted.web resource answer: `body` is complete, the paths are what was and was not consumed yet.

    `fields` are what it sees of the request's, all where None; `taker` takes the answer, the request itself where None.
    """
    stock = StockRequest(_StockChannel(request, _SITE, taker))
    stock._under = (resource, prepath, postpath)
    for name, value in request.fields if fields is None else fields:
        stock.requestHeaders.addRawHeader(name, value)
    name, port = _named(request)
    stock.setHost(name, port, request.channel.origin.secure)
    stock.parseCookies()
    stock.gotLength(len(body))
    stock.handleContentChunk(body)
    request.gone = stock.connectionLost
    stock.requestReceived(request.verb.encode("ascii"), request.target, b"HTTP/1.0")


def _named(request: Request) -> tuple[bytes, int]:
    """The host and the port by which the client knows the gate, which need not be those that it listens on."""
    authority = request.authority
    name, mark, port = authority.rpartition(b":")
    if mark and port.isdigit():
        return name, int(port)
    return authority, 443 if request.channel.origin.secure else 80


# Without a clock it would import the reactor, before anybody has chosen one; it never asks this one for anything.
_SITE: Final = Site(Resource(), reactor=Clock())
_SITE.displayTracebacks = False


class WebRequest(Request):
    """Our request, with twisted.web's `IRequest` behind it for whoever asks."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class _Behind:
    """One of twisted.web's names. A `__getattr__` would say the same, and slow down every access to any attribute."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, request: WebRequest | None, owner: type[WebRequest]) -> Any:
        if request is None:
            return self
        stock = request.__dict__.get("_stock")
        if stock is None:
            stock = request.__dict__["_stock"] = stock_request(request)
        return getattr(stock, self._name)


for _name in _FACE:
    if not hasattr(WebRequest, _name):
        setattr(WebRequest, _name, _Behind(_name))
classImplements(WebRequest, IRequest)

"""An upstream's answer: treq's response, and the transport of whoever reads its body."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from treq.cookies import IndexableCookieJar
from treq.response import _Response
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.iweb import UNKNOWN_LENGTH

from edge.backends.rawheaders import RawHeaders
from edge.core.headers import Fields, Pair
from edge.wire.head import AnswerHead

if TYPE_CHECKING:
    from edge.backends.connection import UpstreamConnection

DONE: Final = Failure(ResponseDone())


class Answer(_Response):
    """What treq's `content`, `json_content` and `collect` work on, without a proxy or a callback of its own.

    `deliverBody` gives the body to a protocol whose transport is the answer itself: a push producer that can also be
    aborted. The body ends with `connectionLost`: ResponseDone where it is whole; PotentialDataLoss where only an
    orderly close of the connection ended it; ResponseFailed, holding an UpstreamFailure or what failed the upload,
    where it is cut or malformed.
    """

    __slots__ = (
        "_early",
        "_ended",
        "_headers",
        "_protocol",
        "code",
        "connection",
        "fields",
        "length",
        "minor",
        "phrase",
        "unread",
        "whole",
    )

    _cookiejar = IndexableCookieJar()
    previousResponse = None
    request = None

    def __init__(self, head: AnswerHead, length: int | str, whole: bytes | None = None) -> None:
        self.code = head.status
        self.phrase = head.phrase
        self.minor = head.minor
        self.fields: Fields = head.fields
        """As received; hop-by-hop and framing fields are still there."""
        self.length = length
        """Bytes of body, or UNKNOWN_LENGTH; for HEAD and 304 what the head declares, though no body follows."""
        self.whole = whole
        """The whole body where it came together with the head, else None; then `deliverBody` need not be asked."""
        self.connection: UpstreamConnection | None = None
        """While the body streams."""
        self.unread = True
        """Whether nobody asked for the body yet."""
        self._headers: RawHeaders | None = None
        self._protocol: IProtocol | None = None
        self._early: list[bytes] | None = None
        self._ended: Failure | None = None

    @property
    def original(self) -> "Answer":  # type: ignore[override]
        """treq's response proxies another; this one is its own."""
        return self

    @property
    def version(self) -> tuple[bytes, int, int]:
        return b"HTTP", 1, self.minor

    @property
    def pairs(self) -> list[Pair]:
        """The fields in wire order and case, as received."""
        return self.fields.pairs

    @property
    def headers(self) -> RawHeaders:
        if self._headers is None:
            self._headers = RawHeaders(self.fields.pairs)
        return self._headers

    def setPreviousResponse(self, response: object) -> None:
        """No redirect is ever followed, so there is none."""

    def deliverBody(self, protocol: IProtocol) -> None:
        """May be asked again only where the body is `whole`."""
        if self.whole is not None:
            protocol.makeConnection(self)
            if self.whole:
                protocol.dataReceived(self.whole)
            protocol.connectionLost(DONE)
            return
        if not self.unread:
            raise RuntimeError("a body that streams is delivered once")
        self.unread = False
        self._protocol = protocol
        protocol.makeConnection(self)
        early, self._early = self._early or (), None
        if early and self.connection is not None:
            # Before the bytes are handed on, since whoever takes them may have had enough at once.
            self.connection.resume()
        for data in early:
            protocol.dataReceived(data)
        if self._ended is not None and self._protocol is not None:
            self._protocol = None
            protocol.connectionLost(self._ended)

    # From the connection

    def feed(self, data: bytes) -> None:
        """Part of the body; held, and the connection paused, until somebody wants it."""
        if self._protocol is not None:
            self._protocol.dataReceived(data)
        else:
            if self._early is None:
                self._early = []
            self._early.append(data)
            if self.connection is not None:
                self.connection.pause()

    def finish(self, reason: Failure) -> None:
        """The body has ended."""
        self.connection = None
        self._ended = reason
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connectionLost(reason)

    # The transport of the body's protocol

    def pauseProducing(self) -> None:
        if self.connection is not None:
            self.connection.pause()

    def resumeProducing(self) -> None:
        if self.connection is not None:
            self.connection.resume()

    def stopProducing(self) -> None:
        """The rest is not wanted: the connection to the upstream is closed at once."""
        if self.connection is not None:
            self.connection.abort()

    abortConnection: Callable[["Answer"], None] = stopProducing
    loseConnection: Callable[["Answer"], None] = stopProducing

    def __repr__(self) -> str:
        size = "unknown size" if self.length == UNKNOWN_LENGTH else f"{self.length} bytes"
        return f"<Answer {self.code}, {size}>"

"""A request's body on its way to an upstream: framed, joined to the head where it is there already, and paced."""

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer

from edge.wire.chunked import LAST

if TYPE_CHECKING:
    from edge.backends.connection import UpstreamConnection


class UploadError(Exception):
    """A body of another length than it announced."""


class Upload:
    """The consumer of one IBodyProducer, and the producer that the connection's transport pauses."""

    __slots__ = ("_body", "_chunked", "_connection", "_held", "_left", "_over", "_registered", "stalled")

    def __init__(self, connection: "UpstreamConnection", head: bytes, body: IBodyProducer) -> None:
        self._connection = connection
        self._body = body
        self._chunked = body.length == UNKNOWN_LENGTH
        self._left = 0 if self._chunked else int(body.length)
        self._held: list[bytes] | None = [head]
        self._registered = False
        self._over = False
        self.stalled = False
        """Whether the upstream does not keep up."""

    def start(self) -> None:
        """Sends the head with what the body has at hand, in one write."""
        finished: Deferred[None] = self._body.startProducing(self)
        finished.addCallbacks(self._ended, self._failed)
        held, self._held = self._held, None
        if held:
            self._connection.transport.write(b"".join(held))
        if not self._over:
            self._registered = True
            self._connection.transport.registerProducer(self, True)

    def stop(self) -> None:
        """The upstream wants no more, or is gone; the rest of the body goes nowhere."""
        if not self._over:
            self._finish()
            self._body.stopProducing()

    def _finish(self) -> None:
        self._over = True
        if self._registered:
            self._registered = False
            self._connection.transport.unregisterProducer()

    def _ended(self, _: Any) -> None:
        if self._over:
            return
        if self._left:
            self._fail(Failure(UploadError("the body is shorter than it announced")))
            return
        if self._chunked:
            self._put(LAST)
        self._finish()
        self._connection.uploaded()

    def _failed(self, reason: Failure) -> None:
        if not self._over:
            self._fail(reason)

    def _fail(self, reason: Failure) -> None:
        self._over = True
        self._held = []
        self._connection.upload_failed(reason)

    def _put(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
        else:
            self._connection.transport.write(data)

    # IConsumer

    def registerProducer(self, producer: Any, streaming: bool = True) -> None:
        """The body says that it produces; it is the one that is known already."""

    def unregisterProducer(self) -> None: ...

    def write(self, data: bytes) -> None:
        if self._over or not data:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        else:
            self._left -= len(data)
            if self._left < 0:
                self._fail(Failure(UploadError("the body is longer than it announced")))
                self._body.stopProducing()
                return
        self._put(data)

    # IPushProducer, of the connection's transport

    def pauseProducing(self) -> None:
        if not self._over:
            self.stalled = True
            self._connection.touch()
            self._body.pauseProducing()

    def resumeProducing(self) -> None:
        if not self._over:
            self.stalled = False
            self._body.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is lost; it tells so itself."""
        self._registered = False
        self.stop()

"""A request's body as a stream: bytes come in from the wire, go out to one consumer, with backpressure between."""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from edge.wire.head import CHUNKED


class BodyTooLargeError(Exception):
    """More bytes than whoever reads the body is willing to hold."""


class BodyLostError(Exception):
    """The client left, or its framing broke, before the body was complete."""


class Source(Protocol):
    """The wire side of a body."""

    def want_body(self) -> None:
        """Bytes are wanted: answer `Expect: 100-continue` if it was asked, and let them come."""

    def pause_body(self) -> None:
        """No more bytes for now."""

    def resume_body(self) -> None:
        """Bytes are welcome again."""

    def drop_body(self) -> None:
        """Nobody wants the rest; the wire decides between reading it away and closing."""


@implementer(IBodyProducer)
class Body:
    """One request's body. Until somebody wants it, the wire holds it back.

    `read` may come first, for a bounded look; what it read goes on in front when the body is produced afterwards.
    """

    __slots__ = (
        "_consumer",
        "_ended",
        "_finished",
        "_held",
        "_kept",
        "_lost",
        "_reader",
        "_source",
        "_wanted",
        "length",
        "most",
        "received",
    )

    length: int | str

    def __init__(self, length: int, source: Source) -> None:
        self.length = UNKNOWN_LENGTH if length == CHUNKED else length
        self._source = source
        self._held: deque[bytes] = deque()
        self._consumer: IConsumer | None = None
        self._finished: Deferred[None] | None = None
        self._reader: Callable[[], None] | None = None
        self._kept = self._wanted = False
        self._ended = length == 0
        self._lost: Failure | None = None
        self.received = 0
        self.most: int | None = None
        """The most bytes it may have, enforced as they come; None for no limit of its own."""

    @property
    def complete(self) -> bool:
        """Whether the last byte has arrived."""
        return self._ended

    @property
    def wanted(self) -> bool:
        """Whether anybody asked for its bytes yet."""
        return self._wanted

    @property
    def dropped(self) -> bool:
        """Whether nobody wants the rest of it any more, or it will not come."""
        return self._lost is not None

    @property
    def whole(self) -> bytes | None:
        """All of it where it is here and nobody has begun to take it, or it was kept, else None; may be asked for again."""
        if not self._ended or self._lost is not None or self._consumer is not None:
            return None
        held = self._held
        data = held[0] if len(held) == 1 else b"".join(held)
        return data if len(data) == self.received else None

    def keep(self) -> None:
        """What a consumer is to take stays here as well, for as long as the body does."""
        self._kept = True

    # From the wire

    def feed(self, data: bytes) -> None:
        """Takes payload bytes, in order."""
        if self._lost is not None:
            return
        self.received += len(data)
        if self.most is not None and self.received > self.most:
            self.fail(Failure(BodyTooLargeError(f"the body is larger than {self.most} bytes")))
            self._source.drop_body()
        elif self._consumer is not None:
            if self._kept:
                self._held.append(data)
            self._consumer.write(data)
        else:
            self._held.append(data)
            if self._reader is not None:
                self._reader()
            else:
                self._source.pause_body()

    def end(self) -> None:
        """The body is complete."""
        if self._lost is not None:
            return
        self._ended = True
        if self._consumer is not None:
            self._finish()
        elif self._reader is not None:
            self._reader()

    def fail(self, reason: Failure) -> None:
        """The body will never be complete: the client left or broke its framing."""
        if self._ended or self._lost is not None:
            return
        self._lost = reason
        finished, self._finished = self._finished, None
        self._consumer = None
        self._held.clear()
        if self._reader is not None:
            self._reader()
        if finished is not None:
            finished.errback(reason)

    # To a reader that wants to look at all of it

    async def read(self, most: int) -> bytes:
        """The whole body, at most `most` bytes; it stays in front of what a consumer gets later.

        Raises BodyTooLargeError when there is more, BodyLostError when the client leaves first.
        """
        if isinstance(self.length, int) and self.length > most:
            raise BodyTooLargeError
        while not self._ended:
            if self._lost is not None:
                if self._lost.check(BodyTooLargeError):
                    raise BodyTooLargeError
                raise BodyLostError from self._lost.value
            if sum(map(len, self._held)) > most:
                raise BodyTooLargeError
            more: Deferred[None] = Deferred(lambda _: None)

            def arrived(more: Deferred[None] = more) -> None:
                self._reader = None
                if not more.called:
                    more.callback(None)

            self._reader = arrived
            self._want()
            await more
        whole = b"".join(self._held)
        if len(whole) > most:
            raise BodyTooLargeError
        self._held = deque([whole] if whole else ())
        return whole

    def _want(self) -> None:
        if not self._wanted:
            self._wanted = True
            self._source.want_body()
        self._source.resume_body()

    # IBodyProducer

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":
        finished: Deferred[None] = Deferred(self._cancelled)
        self._finished = finished
        if self._lost is not None:
            lost, self._finished = self._lost, None
            finished.errback(lost)
            return finished
        self._consumer = consumer
        consumer.registerProducer(self, True)
        held = self._held.copy() if self._kept else self._held
        while held:
            consumer.write(held.popleft())
        if self._ended:
            self._finish()
        else:
            self._want()
        return finished

    def _finish(self) -> None:
        consumer, self._consumer = self._consumer, None
        finished, self._finished = self._finished, None
        if consumer is not None:
            consumer.unregisterProducer()
        if finished is not None:
            finished.callback(None)

    def _cancelled(self, _: "Deferred[None]") -> None:
        self._finished = None
        self.stopProducing()

    def pauseProducing(self) -> None:
        if not self._ended:
            self._source.pause_body()

    def resumeProducing(self) -> None:
        if not self._ended:
            self._source.resume_body()

    def stopProducing(self) -> None:
        """The consumer is gone: what is left of the body goes nowhere."""
        self._consumer = None
        finished, self._finished = self._finished, None
        self._held.clear()
        if not self._ended and self._lost is None:
            self._lost = Failure(CancelledError())
            self._source.drop_body()
        if finished is not None:
            finished.errback(Failure(CancelledError()))


class _NoBody(Body):
    """The body of a request that has none. All such requests share it, hence nothing of it can change."""

    __slots__ = ()

    length = 0
    received = 0
    most = None
    _ended = True
    _wanted = False
    _lost = None
    whole = b""

    def __init__(self) -> None: ...

    def end(self) -> None: ...

    async def read(self, most: int) -> bytes:
        return b""

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":
        consumer.registerProducer(self, True)
        consumer.unregisterProducer()
        return succeed(None)

    def stopProducing(self) -> None: ...


NO_BODY: Final[Body] = _NoBody()

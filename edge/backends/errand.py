"""One request on its way out: what is sent, who waits for the answer, and how it is called off."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import Factory, field, frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer

from edge.backends.target import Target
from edge.core.headers import Pair

if TYPE_CHECKING:
    from edge.backends.answer import Answer
    from edge.backends.connection import UpstreamConnection
    from edge.backends.tunnel import Switched

Inform = Callable[[int, Sequence[Pair]], None]
"""Takes an interim answer: its status (102, 103 …) and fields."""


@frozen
class Timeouts:
    """Seconds. None of them limits a whole answer."""

    connect: float = 5.0
    """To a usable connection, TLS included."""
    first_byte: float = 600.0
    """To the end of the answer's head. It counts while it is the upstream's turn: not while a client's upload is what
    we wait for, but from the upload's end, or from the moment when the upstream stops taking it."""
    idle: float = 300.0
    """Between two bytes of the answer's body, while its reader wants them."""
    shortest: float = field(
        init=False, default=Factory(lambda self: min(self.connect, self.first_byte, self.idle), takes_self=True)
    )


DEFAULT_TIMEOUTS = Timeouts()


class Errand:
    """A request that has no answer yet."""

    __slots__ = (
        "accept",
        "body",
        "bodyless",
        "connecting",
        "connection",
        "deferred",
        "inform",
        "last",
        "repeatable",
        "target",
        "timeouts",
        "upgrade",
        "wire",
    )

    def __init__(
        self,
        target: Target,
        wire: bytes,
        body: IBodyProducer | None,
        bodyless: bool,
        repeatable: bool,
        last: bool,
        timeouts: Timeouts,
        inform: Inform | None,
    ) -> None:
        self.target = target
        self.wire = wire
        """The head, and a body that is there already."""
        self.body = body
        """The rest of the body, to be produced; None where there is none."""
        self.bodyless = bodyless
        """Whether the answer has no body whatever its head says (HEAD)."""
        self.repeatable = repeatable
        """Whether it may be sent once more when a kept connection died under it without a byte of an answer."""
        self.last = last
        """Whether its connection serves no further request."""
        self.timeouts = timeouts
        self.inform = inform
        self.upgrade: bytes | None = None
        """The lower-case protocol that a 101 may switch to."""
        self.accept: bytes | None = None
        """The Sec-WebSocket-Accept that a 101 to websocket must carry."""
        self.connection: UpstreamConnection | None = None
        self.connecting: Deferred[Any] | None = None
        self.deferred: Deferred[Any] = Deferred(self._cancel)

    def succeed(self, answer: "Answer | Switched") -> None:
        """The answer's head is here."""
        self.connection = None
        self.deferred.callback(answer)

    def fail(self, reason: Failure) -> None:
        """There will be no answer."""
        self.connection = None
        if not self.deferred.called:
            self.deferred.errback(reason)

    def _cancel(self, _: "Deferred[Any]") -> None:
        connection, self.connection = self.connection, None
        connecting, self.connecting = self.connecting, None
        if connection is not None:
            connection.forget()
        if connecting is not None:
            connecting.cancel()

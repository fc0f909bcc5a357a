"""The turn that waits for a place at the hardware, and keeps a waiting client's stream alive meanwhile."""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, Protocol

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from edge.core.exchange import Exchange
from edge.core.inspect import judged
from edge.core.keepalives import keepalive
from edge.core.refusal import Refusal
from edge.web.drive import drive
from edge.web.pages import said_by_gate
from edge.wire.body import BodyLostError, BodyTooLargeError
from edge.wire.request import Request

log = Logger(namespace="aigate.queue")
_SSE: Final = b"text/event-stream"
_NDJSON: Final = b"application/x-ndjson"
_JSON: Final = b"application/json"
_CALLED_OFF: Final = Refusal("shutting-down", "The wait for a place was called off.", retry_after=5.0)


class Bounds(Protocol):
    """What may be open at once: `edge.limits.limiter.Limiter`."""

    def bounds(self, exchange: Exchange) -> Sequence[tuple[str, int]]: ...


class Gives(Protocol):
    """Who gives the places: `edge.limits.slots.Slots`."""

    open: bool
    """False once nobody gets a place any more."""

    def ask(self, exchange: Exchange, place: Any, bounds: Sequence[tuple[str, int]] = ...) -> Any: ...


@define(eq=False)
class Places:
    """One service's places. `everything` is for kinds whose plugin does not tell work from the rest."""

    limiter: Bounds
    slots: Gives
    place: Any
    """`edge.limits.slots.Place`."""
    clock: IReactorTime
    dialect: str
    everything: bool
    interval: float = 15.0
    """Seconds between two signs of life to a client that waits."""
    most: int = 8 * 1024 * 1024
    json_space: bool = False
    hold: Callable[[str, str, Any], None] | None = None
    """Keeps the place of a server's job, (base address, job, ticket), for kinds that go on after their answer."""

    def turn(self, request: Request) -> Refusal | Coroutine[Deferred[Any], Any, Refusal | None] | None:
        """Waits for a place and gives it back when the request ends; the refusal where there is none to be had."""
        if not (request.rule.work or self.everything):
            return None
        bounds = self.limiter.bounds(request.exchange)
        if not bounds and self.place.size is None and self.slots.open:
            return None
        told = self.slots.ask(request.exchange, self.place, bounds)
        if isinstance(told, Refusal):
            return told
        if hasattr(told, "ready"):
            return self._turn(request, told)
        self._take(request, told)
        return None

    async def _turn(self, request: Request, waiting: Any) -> Refusal | None:
        told = await self._wait(request, waiting)
        if told is None or isinstance(told, Refusal):
            return told
        self._take(request, told)
        return None

    def _take(self, request: Request, told: Any) -> None:
        """The place is the request's until it ends."""
        request.ledger.queued = told.queued
        if request.finished:
            told.release(worked=False)
            return
        request.endings.append((partial(self._ended, request), told))

    def _ended(self, request: Request, ticket: Any) -> None:
        ledger, base = request.ledger, request.exchange.upstream
        if ledger.job and base is not None and self.hold is not None:
            self.hold(base, ledger.job, ticket)
        else:
            ticket.release(worked=ledger.overhead is not None or ledger.local)

    async def _wait(self, request: Request, waiting: Any) -> Any:
        """The place once it is this request's turn; None where the client left first."""
        position, expected = waiting.position, waiting.expected
        request.extra += b"X-Aigate-Queue-Position: %d\r\n" % position
        if expected is not None:
            request.extra += b"X-Aigate-Queue-Wait: %.1f\r\n" % expected
        ready: Deferred[Any] = Deferred.fromCoroutine(waiting.ready())
        request.gone = lambda reason: ready.cancel()
        alive = _Alive(self, request)
        alive.start()
        try:
            return await ready
        except CancelledError:
            # Nobody else calls it off, and a request without a place must not go on.
            return None if request.finished else _CALLED_OFF
        finally:
            alive.stop()
            if not request.finished:
                request.gone = None


class _Alive:
    """Signs of life for one waiting request, if its client wants a stream."""

    def __init__(self, places: Places, request: Request) -> None:
        self._places = places
        self._request = request
        self._kind = b""
        self._asked = False
        self._loop = LoopingCall(self._beat)
        self._loop.clock = places.clock

    def start(self) -> None:
        self._loop.start(self._places.interval, now=False)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def _beat(self) -> None:
        request, places = self._request, self._places
        if request.finished:
            return
        if not self._asked:
            self._asked = True
            drive(self._ask(), lambda failure: log.failure("A client that waits gets no sign of life", failure))
            return
        if self._kind:
            request.send(keepalive(self._dialect, self._kind, places.json_space))

    @property
    def _dialect(self) -> str:
        return self._request.rule.dialect or self._places.dialect

    async def _ask(self) -> None:
        """Finds out from the body whether a stream is wanted, and if so begins the answer with a sign of life."""
        request, places = self._request, self._places
        if request.verb != "POST" or request.rule.units != "tokens" or not self._loop.running:
            return
        try:
            body = await request.body.read(places.most)
        except (BodyTooLargeError, BodyLostError):
            return
        fields = request.fields
        found = judged(body, fields.joined(b"content-type"), ("stream",), fields.joined(b"content-encoding"))
        if isinstance(found, Refusal) or request.finished or not self._loop.running:
            return
        ollama = self._dialect == "ollama"
        wanted = found.get("stream", ollama)
        if wanted is True:
            kind = _NDJSON if ollama else _SSE
        elif places.json_space and wanted is False:
            kind = _JSON
        else:
            return
        sign = keepalive(self._dialect, kind, places.json_space)
        if sign:
            self._kind = request.early = kind
            request.begin(200, early_head(request, kind), None, sign, False)


def early_head(request: Request, kind: bytes) -> list[tuple[bytes, bytes]]:
    """The head of an answer that begins while its request still waits."""
    return [
        (b"Content-Type", kind),
        (b"Cache-Control", b"no-cache"),
        (b"X-Accel-Buffering", b"no"),
        *said_by_gate(request),
    ]

"""The look at a body that a key's model rule or a limit of units asks for: bounded, strict, before anything goes up."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH

from edge.core.exchange import Exchange
from edge.core.inspect import judged, model_of, models_in_head
from edge.core.models import judge_model
from edge.core.refusal import Refusal
from edge.core.tokens import FIELDS, by_length, uncounted, worst_case
from edge.web.drive import drive
from edge.wire.body import BodyLostError, BodyTooLargeError
from edge.wire.request import Request

TOO_LARGE = "This key's rules need a look at the body, which is larger than {most} bytes."
UNMETERED = Refusal(
    "path-not-allowed",
    "Tokens and the like are limited for this key, and what goes over this connection cannot be counted.",
    retry=False,
)
UNCOUNTED = "This key's limits need {name!r} to be a whole number of at most 15 digits."
_EVERYWHERE = frozenset({"bytes"})


class Reserves(Protocol):
    """Who keeps the budgets: `edge.limits.limiter.Limiter`."""

    def metered(self, exchange: Exchange) -> frozenset[str]: ...
    def holds(self, exchange: Exchange) -> bool: ...
    def reserve(self, exchange: Exchange, worst: Any, now: float, dialect: str = ...) -> Any: ...
    def settle(self, reservation: Any, truth: Mapping[str, float], now: float) -> Any: ...


@define(eq=False)
class Inspection:
    """One service's turn for keys that may use certain models only, and for callers whose units are limited."""

    limiter: Reserves
    now: Callable[[], float]
    most: int
    """Bytes of a body that are held to be judged."""
    dialect: str
    upgrades: frozenset[bytes] = frozenset()
    """Protocols that the service's connections may switch to; nothing is counted after that."""
    log: Logger = field(factory=lambda: Logger(namespace="aigate.limits"), repr=False)

    def turn(self, request: Request) -> Coroutine[Deferred[Any], Any, Refusal | None] | None:
        """The refusal of a model or a cost that is not allowed, or of a body that cannot be read in one way only."""
        exchange = request.exchange
        assert exchange.caller is not None
        limited = self.limiter.metered(exchange)
        by_model = bool(request.rule.model and exchange.caller.key.models)
        return self._look(request, limited, by_model) if limited or by_model else None

    async def _look(self, request: Request, limited: frozenset[str], by_model: bool) -> Refusal | None:
        rule = request.rule
        switches = request.upgrade is not None and request.upgrade in self.upgrades
        if switches and rule.units and self.limiter.holds(request.exchange):
            return UNMETERED
        names = FIELDS.get(rule.units, ()) if limited - _EVERYWHERE and not switches else ()
        body: bytes | None = None
        judging = bool(names) or (by_model and rule.model.startswith(("json:", "form:")))
        if judging or (request.body.length is UNKNOWN_LENGTH and by_length(rule.units, limited)):
            try:
                body = await request.body.read(self.most)
            except BodyTooLargeError:
                if judging:
                    return Refusal("body-too-large", TOO_LARGE.format(most=self.most), retry=False)
            except BodyLostError:
                return None
        if by_model:
            refusal = self._model(request, body)
            if refusal is not None:
                return refusal
        if not limited:
            return None
        if names and body is not None:
            fields = request.fields
            found = judged(body, fields.joined(b"content-type"), names, fields.joined(b"content-encoding"))
            if isinstance(found, Refusal):
                return found
            if (name := uncounted(found)) is not None:
                return Refusal("ambiguous-body", UNCOUNTED.format(name=name), retry=False)
            request.ledger.fields = found
        length = len(body) if body is not None else request.body.length
        return await self._reserve(request, length if isinstance(length, int) else None)

    def _model(self, request: Request, body: bytes | None) -> Refusal | None:
        where = request.rule.model
        fields = request.fields
        models: tuple[str | None, ...] | Refusal
        if body is not None and where.startswith(("json:", "form:")):
            model = model_of(body, fields.joined(b"content-type"), where, fields.joined(b"content-encoding"))
            models = model if isinstance(model, Refusal) else (model,)
        else:
            models = models_in_head(request.mapped, request.query, where)
        if isinstance(models, Refusal):
            return models
        request.exchange = request.exchange.asking(models[0])
        assert request.exchange.caller is not None
        key = request.exchange.caller.key
        return next((refusal for model in models if (refusal := judge_model(key, model))), None)

    async def _reserve(self, request: Request, length: int | None) -> Refusal | None:
        """Charges the worst case now, and the truth when the answer has ended."""
        ledger = request.ledger
        worst = worst_case(request.rule.units, ledger.fields, length)
        told = await self.limiter.reserve(request.exchange, worst, self.now(), request.rule.dialect or self.dialect)
        if isinstance(told, Refusal):
            return told
        request.standing += told.told
        if request.finished:
            self._settle((request, told))
        else:
            request.endings.append((self._settle, (request, told)))
        return None

    def _settle(self, reserved: tuple[Request, Any]) -> None:
        """Books what a request has truly cost."""
        request, reservation = reserved
        truth = {**request.ledger.units, "bytes": float(request.sent + request.body.received)}
        drive(self.limiter.settle(reservation, truth, self.now()), self._unsettled)

    def _unsettled(self, failure: Failure) -> None:
        self.log.failure("A request's true cost could not be booked", failure)

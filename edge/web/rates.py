"""The turn of the limits that a request's head decides: so many requests a minute, a day, a month."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from attrs import define
from twisted.internet.defer import Deferred

from edge.core.exchange import Exchange
from edge.core.refusal import Refusal
from edge.wire.request import Request


class Counts(Protocol):
    """Who counts: `edge.limits.limiter.Limiter`."""

    def take_now(self, exchange: Exchange, now: float, dialect: str = ...) -> bytes | Refusal | None: ...
    def take(
        self, exchange: Exchange, now: float, dialect: str = ...
    ) -> Coroutine[Deferred[Any], Any, bytes | Refusal]: ...


@define(eq=False)
class Rates:
    """One service's rates. What a browser's page loads is not work, and costs nobody a request."""

    limiter: Counts
    now: Callable[[], float]
    dialect: str

    def turn(self, request: Request) -> Refusal | Coroutine[Deferred[Any], Any, Refusal | None] | None:
        """The refusal of a caller who asked too often; else where the caller stands goes into the answer's head."""
        rule = request.rule
        if rule.page:
            return None
        told = self.limiter.take_now(request.exchange, self.now(), rule.dialect or self.dialect)
        if told is None:
            return self._wait(request)
        if isinstance(told, Refusal):
            return told
        request.standing += told
        return None

    async def _wait(self, request: Request) -> Refusal | None:
        told = await self.limiter.take(request.exchange, self.now(), request.rule.dialect or self.dialect)
        if isinstance(told, Refusal):
            return told
        request.standing += told
        return None

"""The gate's own addresses: /health for anyone, /status and /ticket for whoever holds a key."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

from attrs import define
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from edge.core.cors import is_preflight
from edge.core.keys import Key
from edge.core.refusal import Refusal
from edge.errors import StoreError
from edge.interfaces import IStreamed
from edge.web.drive import drive
from edge.web.guard import Door
from edge.web.pages import DOUBT, NO_SWITCH, refuse, reply_json
from edge.wire.body import BodyLostError, BodyTooLargeError
from edge.wire.request import Request

TICKET_BODY = 4096


class Tickets(Protocol):
    """Where tickets come from: `edge.auth.tickets.Tickets`."""

    def issue(self, key_id: str, service: str) -> tuple[str, float]: ...


@implementer(IResource, IStreamed)
@define(eq=False, slots=False)
class OwnPage:
    """One address of the gate's own; `answer` takes the request and ends it, at once or later."""

    answer: Callable[[Request], Any]
    isLeaf = True
    log: ClassVar[Logger] = Logger()

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        raise TypeError("the gate's own pages have no children")

    def render(self, request: Any) -> int:
        drive(self._run(request), lambda failure: self._failed(request, failure))
        return NOT_DONE_YET

    async def _run(self, request: Request) -> None:
        waiting = self.answer(request)
        if waiting is not None:
            await waiting

    def _failed(self, request: Request, failure: Failure) -> None:
        self.log.failure("A page of the gate's own failed", failure)
        refuse(request, DOUBT)


@implementer(IResource, IStreamed)
@define(eq=False)
class Public:
    """Stands before a page that anyone may read: no key is asked for, but browsers' pages are judged as everywhere."""

    page: OwnPage
    door: Door
    isLeaf = True

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        raise TypeError("the gate's own pages have no children")

    def render(self, request: Any) -> int:
        refusal = self.door.origin(request) if b"origin" in request.fields.lows else None
        if request.upgrade is not None and request.protocol == "HTTP/2.0":
            refusal = NO_SWITCH
        if refusal is not None:
            refuse(request, refusal)
        elif request.origin_allowed is not None and is_preflight(request.verb, request.fields):
            self.door.preflight(request)
        else:
            self.page.render(request)
        return NOT_DONE_YET


def time_text(at: float | None) -> str | None:
    """RFC 3339 in UTC, None for none."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def health_page(state: Callable[[], str]) -> OwnPage:
    """`/health`; `state` says "ok", "degraded" or "draining"."""

    def answer(request: Request) -> None:
        said = state()
        reply_json(request, 503 if said == "draining" else 200, {"status": said})

    return OwnPage(answer)


class Counting(Protocol):
    """What counts and what gives places: `edge.assemble.limits.Limiting`."""

    @property
    def limiter(self) -> Any: ...
    @property
    def slots(self) -> Any: ...


def status_page(
    services: Mapping[str, Any], state: Callable[[str], str], counting: Counting, now: Callable[[], float]
) -> OwnPage:
    """`/status`: who the key is, how its services are, what its limits leave, and what waits for a place."""

    async def answer(request: Request) -> None:
        caller = request.exchange.caller
        assert caller is not None
        key = caller.key
        mine = [name for name in services if key.serves(name)]
        try:
            limits = {name: await _left(counting.limiter, key, name, now()) for name in mine}
        except StoreError:
            limits = {}
        reply_json(
            request,
            200,
            {
                "user": key.user,
                "key": key.id,
                "services": {name: state(name) for name in mine},
                "scopes": sorted(key.scopes),
                "expires": time_text(key.expires),
                "limits": limits,
                "waiting": [
                    {"service": one.place.name, "position": one.position, "expected": one.expected}
                    for one in counting.slots.waiting(key.user)
                ],
            },
        )

    return OwnPage(answer)


async def _left(limiter: Any, key: Key, service: str, now: float) -> list[dict[str, Any]]:
    return [
        {
            "limit": str(one.level.limit),
            "of": one.level.scope,
            "remaining": int(one.remaining),
            "reset": round(one.reset, 1),
        }
        for one in await limiter.standings(key, service, now)
    ]


def ticket_page(tickets: Tickets, services: Mapping[str, Any]) -> OwnPage:
    """`POST /ticket {"service": NAME}`: a one-time ticket for what cannot send a header."""

    async def answer(request: Request) -> None:
        caller = request.exchange.caller
        assert caller is not None
        try:
            asked = json.loads(await request.body.read(TICKET_BODY))
            service = asked["service"]
        except BodyLostError:
            return
        except BodyTooLargeError:
            refuse(request, Refusal("body-too-large", f"Send at most {TICKET_BODY} bytes.", retry=False))
            return
        except (ValueError, KeyError, TypeError, RecursionError):
            refuse(request, Refusal("bad-request", 'Send {"service": "NAME"} as JSON.', retry=False))
            return
        if not isinstance(service, str) or service not in services or not caller.key.serves(service):
            refuse(request, Refusal("service-not-allowed", "The key does not cover this service.", retry=False))
            return
        ticket, lives = tickets.issue(caller.key.id, service)
        reply_json(request, 201, {"ticket": ticket, "service": service, "expires_in": int(lives)})

    return OwnPage(answer)

"""Layer 1: which resource answers, by host, path and method alone. What no route declares does not exist."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from attrs import define, field
from twisted.web.resource import IResource
from zope.interface import implementer

from edge.core.cors import is_preflight
from edge.core.refusal import Refusal
from edge.core.routing import LONGEST, NO_ROUTE, REMEMBERED, Match, Routes, forms, method_not_allowed
from edge.web.pages import refuse
from edge.wire.request import Request

TICKET: Final = b"/ticket"


@define
class Own:
    """One of the gate's own addresses."""

    resource: IResource
    methods: frozenset[str]
    """Preflights come in beside them."""


@implementer(IResource)
@define(eq=False)
class Router:
    """The root resource. It judges the raw path once and sets `prepath` and `postpath` itself, raw and bounded.

    Twisted's own walk would decode `%2F` and crawl over thousands of segments.
    """

    routes: Routes
    services: Mapping[str, IResource]
    """A guard for each service."""
    own: Mapping[bytes, Own]
    """The gate's own resources by exact path."""
    isLeaf = False
    _remembered: Callable[[str, bytes, str], Match | Refusal] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._judge)

    def _judge(self, host: str, path: bytes, method: str) -> Match | Refusal:
        judged = forms(path)
        return judged if isinstance(judged, Refusal) else self.routes.match(host, path, method)

    def find(self, request: Request) -> IResource | Refusal:
        """The resource for a request, which then knows its route; or the Refusal."""
        path = request.path
        # Clients choose all three, and none may fill the memory.
        short = len(path) + len(request.host) + len(request.verb) <= LONGEST
        judge = self._remembered if short else self._judge
        found = judge(request.host, path, request.verb)
        if isinstance(found, Refusal):
            return found if found.reason == "bad-request" else self._own(request, found)
        if request.path == TICKET and found.route.prefix == b"":
            # A page that has a host to itself fetches its tickets there: elsewhere would be another origin.
            return self._own(request, NO_ROUTE)
        request.route_rest = found.rest
        request.exchange = request.exchange.along(found.route)
        return self.services[found.route.service]

    def _own(self, request: Request, otherwise: Refusal) -> IResource | Refusal:
        own = self.own.get(request.path)
        if own is None:
            return otherwise
        if request.verb in own.methods or is_preflight(request.verb, request.fields):
            return own.resource
        return method_not_allowed(own.methods)

    # IResource, for whoever walks it as one

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        found = self.find(request)
        return _Refused(found) if isinstance(found, Refusal) else found

    def putChild(self, path: bytes, child: IResource) -> None:
        raise TypeError("routes come from the configuration")

    def render(self, request: Any) -> int:
        found = self.find(request)
        if isinstance(found, Refusal):
            refuse(request, found)
        else:
            found.render(request)
        return 1


@implementer(IResource)
@define(eq=False)
class _Refused:
    """The leaf that says no."""

    refusal: Refusal
    isLeaf = True

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        raise TypeError("a refusal has no children")

    def render(self, request: Any) -> int:
        refuse(request, self.refusal)
        return 1

"""The ops listener: health, metrics, and everything about the gate for whoever holds a key with the scope `admin`.

It speaks plain HTTP, usually on loopback, where every page that a browser shows could reach it. So on loopback it
answers to loopback's own names only (a page whose name was pointed at 127.0.0.1 asks under that name: DNS rebinding), and
nowhere to pages of another origin.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, field, frozen
from twisted.internet.interfaces import IAddress
from twisted.web.resource import IResource

from edge.core.headers import Pair
from edge.core.networks import address
from edge.core.refusal import Refusal
from edge.core.routing import NO_ROUTE, Routes, method_not_allowed
from edge.core.service import ANY_METHOD, Rule
from edge.web.guard import Door, Guard
from edge.web.own import OwnPage
from edge.web.pages import reply_json, said_by_gate
from edge.web.router import Router
from edge.wire.request import Request

ADMIN: Final = Rule(ANY_METHOD, "*", scope="admin")
READ: Final = frozenset({"GET", "HEAD"})
WRONG_HOST: Final = Refusal(
    "wrong-host", "The ops listener answers on loopback to localhost, 127.0.0.1 and [::1] only.", retry=False
)
FOREIGN: Final = Refusal("origin-not-allowed", "Pages of another origin may not use the ops listener.", retry=False)


@frozen
class Page:
    """One address: `anyone` may see it, `here` shows it on loopback without a key, else it takes the scope `admin`."""

    answer: Callable[[Request], Any]
    anyone: bool = False
    here: bool = False


@define(eq=False)
class OpsRouter(Router):
    """The root of the ops listener: exact paths, GET and HEAD."""

    pages: Mapping[bytes, Page] = field(factory=dict)
    door: Door = field(kw_only=True)
    _free: dict[bytes, IResource] = field(init=False)
    _guarded: dict[bytes, IResource] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._free = {path: OwnPage(page.answer) for path, page in self.pages.items()}
        self._guarded = {path: Guard(page, self.door, rule=ADMIN) for path, page in self._free.items()}

    def find(self, request: Request) -> IResource | Refusal:
        """The page, guarded where it needs a key; or the Refusal."""
        origin = request.channel.origin
        here = on_loopback(origin.host) and on_loopback(origin.address)
        if here and not is_loopback_name(request.host):
            return WRONG_HOST
        if is_foreign(request):
            return FOREIGN
        page = self.pages.get(request.path)
        if page is None:
            return NO_ROUTE
        if request.verb not in READ:
            return method_not_allowed(READ)
        free = page.anyone or (here and page.here)
        return (self._free if free else self._guarded)[request.path]


def ops_router(door: Door, pages: Mapping[bytes, Page]) -> OpsRouter:
    """The router of a site that shows `pages`, by exact path; `door` judges keys."""
    return OpsRouter(Routes(()), {}, {}, pages, door=door)


def on_loopback(end: IAddress) -> bool:
    """Whether an end of a connection is on this machine only: loopback or a UNIX socket.

    A peer that a proxy on this machine has announced is not, though the connection itself came over loopback.
    """
    host = getattr(end, "host", None)
    if host is None:
        return True
    found = address(host)
    return found is not None and found.is_loopback


def is_loopback_name(host: str) -> bool:
    """Whether a Host field (without port and brackets) is a name of loopback's own. Without one no browser asks."""
    if host in ("", "localhost", "localhost."):
        return True
    found = address(host)
    return found is not None and found.is_loopback


def is_foreign(request: Request) -> bool:
    """Whether a page of another origin asks; browsers say so, and nobody else does."""
    origins = request.fields.all(b"origin")
    scheme = b"https://" if request.channel.origin.secure else b"http://"
    return any(origin.lower() != scheme + request.authority.lower() for origin in origins)


def metrics_page(made: Callable[[], bytes], content_type: bytes) -> Callable[[Request], None]:
    """`/metrics`: what `made` tells in Prometheus's text format."""

    def answer(request: Request) -> None:
        pairs: list[Pair] = [(b"Content-Type", content_type), (b"Cache-Control", b"no-store"), *said_by_gate(request)]
        request.reply(200, pairs, made())

    return answer


def report_page(parts: Mapping[str, Callable[[], object]]) -> Callable[[Request], None]:
    """`/status`: every part as it tells itself; one that fails says so and hides no other."""

    def answer(request: Request) -> None:
        reply_json(request, 200, {name: _told(part) for name, part in parts.items()})

    return answer


def _told(part: Callable[[], object]) -> object:
    try:
        return part()
    except Exception as error:
        return {"problem": type(error).__name__}

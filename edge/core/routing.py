"""Where a request goes: the path in one normal form for judging, and the routes it is matched against.

Nothing is rewritten. A path that two programs could read differently as to where it leads (dot segments however
encoded, backslashes, control characters, overlong UTF-8) is refused; every other one goes on byte for byte, and is
judged in its decoded form, and where it is odd (`//`, `;`, encodings of encodings) in its simplest form as well.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from attrs import field, frozen

from edge.core.exchange import Route
from edge.core.refusal import Refusal
from edge.core.service import ANY_METHOD, POST, READ, Rule, Traits

OWN: Final[Mapping[str, frozenset[str]]] = {
    "/health": READ,
    "/status": READ,
    "/rotate": POST,
    "/ticket": POST,
}
"""The gate's own addresses with their methods; /health is anyone's, the others any valid key's."""
RESERVED: Final = frozenset(
    [
        "v1",
        "login",
        "logout",
        "ticket",
        "status",
        "rotate",
        "health",
        "healthz",
        "readyz",
        "metrics",
        "admin",
        "invite",
        "ca",
        "openapi.json",
        "docs",
        "mcp",
        ".well-known",
    ]
)
"""First segments that are the gate's own, never a route's."""

_PLAIN = re.compile(rb"(?:/[A-Za-z0-9_~!$&'()*+,=:@\-][A-Za-z0-9_~!$&'()*+,=:@.\-]*)+/?|/")
_ILLEGAL = re.compile(rb"[^!-~]|[\\#]|%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
# Also with a plain second byte: a lenient decoder reads 0xc0 0x2e as a dot, since it masks the rest away.
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf./\\]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]")
_DOTS = re.compile(rb"(?:^|[/\\])\.{1,2}(?:[/\\;]|$)")
_SLASHES = re.compile(r"[/\\]+")
_PARAMETERS = re.compile(r";[^/]*")
DEEPEST: Final = 4
"""How many times an encoding of an encoding is looked through; a deeper one is refused."""


REMEMBERED: Final = 1024
"""Paths whose forms are kept, and whose rule each kind of service keeps: a client's differ little."""
LONGEST: Final = 256
"""Bytes; longer paths are judged anew each time, so that what is kept stays small."""


def forms(path: bytes) -> tuple[str, ...] | Refusal:
    """The forms in which a raw path is judged: decoded once, and its simplest reading where that is another one.

    The Refusal is for a path that is malformed, or that leads somewhere else once it is normalised.
    """
    return _remembered_forms(path) if len(path) <= LONGEST else _forms(path)


def _forms(path: bytes) -> tuple[str, ...] | Refusal:
    if _PLAIN.fullmatch(path):
        return (path.decode("ascii"),)
    if _ILLEGAL.search(path):
        return Refusal("bad-request", "The path holds a character or an escape that is not legal there.")
    levels = [path]
    while b"%" in levels[-1]:
        further = unquote_to_bytes(levels[-1])
        if further == levels[-1]:
            break
        if len(levels) > DEEPEST:
            return Refusal("bad-request", "The path is encoded too many times over.")
        levels.append(further)
    for level in levels:
        if _DOTS.search(level):
            return Refusal("bad-request", "The path leads upwards or in place by dot segments.")
        if _CONTROL.search(level) or _OVERLONG.search(level):
            return Refusal("bad-request", "The path holds a control character or overlong UTF-8.")
    once = levels[min(1, len(levels) - 1)].decode("utf-8", "replace")
    simplest = _SLASHES.sub("/", _PARAMETERS.sub("", levels[-1].decode("utf-8", "replace")))
    return (once,) if simplest == once else (once, simplest)


_remembered_forms = lru_cache(maxsize=REMEMBERED)(_forms)


@frozen
class Match:
    """A route, and the raw rest of the path below its prefix: b"" or beginning with a slash."""

    route: Route
    rest: bytes


@frozen
class Routes:
    """All routes, longest prefix first; those with a host before those for any host."""

    routes: tuple[Route, ...]
    _by_host: dict[str, tuple[tuple[bytes, bytes, Route], ...]] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        ordered = sorted(self.routes, key=lambda route: -len(route.prefix))
        table: dict[str, list[tuple[bytes, bytes, Route]]] = {}
        for route in ordered:
            table.setdefault(route.host or "", []).append((route.prefix, route.prefix + b"/", route))
        object.__setattr__(self, "_by_host", {host: tuple(rows) for host, rows in table.items()})

    def match(self, host: str, path: bytes, method: str) -> Match | Refusal:
        """The route for a request, or the Refusal: `no-route`, or `method-not-allowed` with what is."""
        for rows in (self._by_host.get(host, ()) if host else (), self._by_host.get("", ())):
            for prefix, below, route in rows:
                if path.startswith(below) or path == prefix:
                    if method not in route.methods:
                        return method_not_allowed(route.methods)
                    return Match(route, path[len(prefix) :])
        return NO_ROUTE

    def for_host(self, host: str) -> bool:
        """Whether a host has routes of its own."""
        return bool(host) and host in self._by_host


_STRICTEST: Final = {"": 0, "manage": 1, "admin": 2, "never": 3}


def route_to(service: str, written: str) -> Route:
    """`/chat/api` or `comfy.example.org/`, as configuration and plugins write it, as a Route to `service`."""
    host, slash, path = written.partition("/")
    prefix = ("/" + path).rstrip("/").encode("ascii") if slash else b""
    return Route(service, prefix, ANY_METHOD, host.lower() or None)


def needed_rule(traits: Traits, method: str, mapped: bytes) -> Rule | Refusal:
    """The rule of a service for a mapped path: of all readings of the path the one that asks for most."""
    judged = forms(mapped)
    if isinstance(judged, Refusal):
        return judged
    rule = traits.rule_for(method, judged[0])
    if len(judged) > 1:
        simplest = traits.rule_for(method, judged[1])
        if _asked(simplest) > _asked(rule):
            return simplest
    return rule


def _asked(rule: Rule) -> tuple[int, bool]:
    """How much a rule asks for: its scope first, then whether a key's models count."""
    return _STRICTEST.get(rule.scope, 3), bool(rule.model or rule.models)


NO_ROUTE: Final = Refusal("no-route", "There is nothing at this address.")


def method_not_allowed(methods: Iterable[str]) -> Refusal:
    """The Refusal that names the methods of a place (RFC 9110 15.5.6)."""
    allow = ", ".join(sorted(methods)).encode("ascii")
    return Refusal("method-not-allowed", "This method is not allowed here.", extra=((b"Allow", allow),))

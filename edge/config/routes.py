"""Where services may live: `/chat/api`, or a host of their own, `comfy.example.org/`."""

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Final

from edge.config.structure import Problem

RESERVED: Final = frozenset({
    "v1", "login", "logout", "ticket", "status", "rotate", "health", "healthz", "readyz", "metrics", "admin", "invite",
    "ca", "openapi.json", "docs", "mcp", ".well-known",
})  # fmt: skip
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~-]+")


def parse_route(text: str) -> tuple[str | None, str]:
    """The host (None: any) and the prefix without its final slash ("" for a whole host). Raises ValueError."""
    host, slash, path = text.partition("/")
    if not slash:
        raise ValueError('begins with a slash, like "/chat/api", or is a host and a slash, like "comfy.example.org/"')
    if host and not HOST.fullmatch(host.lower()):
        raise ValueError(f"{host!r} is not a host name; a route with a host is written without scheme and port")
    segments = path.removesuffix("/").split("/") if path.removesuffix("/") else []
    if not segments and not host:
        raise ValueError('"/" would take every address; name a first part, like "/chat/api", or a host')
    for segment in segments:
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise ValueError(
                f"the part {segment!r} may hold letters, digits and . _ ~ - only, and not be empty, . or .."
            )
    if segments and segments[0].lower() in RESERVED:
        raise ValueError(f"/{segments[0]} is the gate's own; choose another first part")
    return host.lower() or None, "".join(f"/{segment}" for segment in segments)


def check_routes(routes: Mapping[str, str]) -> list[Problem]:
    """What is wrong with the routes, by service name, alone and beside each other."""
    found: list[Problem] = []
    parsed: dict[str, tuple[str | None, str]] = {}
    for name, text in routes.items():
        try:
            parsed[name] = parse_route(text)
        except ValueError as error:
            found.append((("services", name, "route"), str(error)))
    for (one, (host, prefix)), (other, (other_host, other_prefix)) in combinations(parsed.items(), 2):
        if host != other_host:
            continue
        if prefix == other_prefix:
            found.append((("services", other, "route"), f"is the route of {one!r} already"))
        elif f"{other_prefix}/".startswith(f"{prefix}/") or f"{prefix}/".startswith(f"{other_prefix}/"):
            found.append(
                (
                    ("services", other, "route"),
                    f"overlaps the route of {one!r}, {routes[one]!r}: neither may lie in the other",
                )
            )
    return found

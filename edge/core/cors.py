"""Cross-origin access from browsers' pages (WHATWG Fetch, CORS protocol), answered by the gate for every service."""

import re
from functools import lru_cache
from typing import Final

from edge.core.headers import Fields, Pair

METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
EXPOSED: Final = (
    b"x-request-id, x-aigate-reason, x-aigate-backend, x-aigate-model, x-aigate-overhead-ms, x-aigate-queue-position,"
    b" x-aigate-queue-wait, x-aigate-key-expires, retry-after, retry-after-ms, x-ratelimit-limit-requests,"
    b" x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens,"
    b" x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)


@lru_cache(maxsize=1024)
def allowed(origin: bytes, secure: bool, authority: bytes, origins: tuple[str, ...]) -> bool:
    """Whether a page of `origin` may talk to the gate: its own pages may, and those that the configuration names.

    A named origin may end in `:*` for any port; `*` is any origin.
    """
    own = authority.lower()
    # A tunnel that ends TLS before the plain listener leaves the page's scheme and the Host as the browser knows them.
    if origin.lower() in ((b"https://" + own,) if secure else (b"http://" + own, b"https://" + own)):
        return True
    text = origin.decode("latin-1").lower()
    for named in origins:
        if named == "*" or named.lower() == text:
            return True
        if named.endswith(":*"):
            base = re.escape(named[:-2].lower())
            if re.fullmatch(base + r"(?::\d{1,5})?", text):
                return True
    return False


def is_preflight(method: str, fields: Fields) -> bool:
    """Whether a request is a preflight: it carries no key and must be answered all the same."""
    return method == "OPTIONS" and b"origin" in fields and b"access-control-request-method" in fields


@lru_cache(maxsize=256)
def pairs(origin: bytes) -> tuple[Pair, ...]:
    """What every answer to an allowed origin carries."""
    return (
        (b"Access-Control-Allow-Origin", origin),
        (b"Access-Control-Expose-Headers", EXPOSED),
        (b"Vary", b"Origin"),
    )


def preflight(origin: bytes, fields: Fields, max_age: float) -> list[Pair]:
    """The answer's fields to a preflight of an allowed origin: the headers that it asks for are granted."""
    made = [
        (b"Access-Control-Allow-Origin", origin),
        (b"Access-Control-Allow-Methods", METHODS),
        (b"Access-Control-Max-Age", b"%d" % max_age),
        (b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    asked = fields.get(b"access-control-request-headers")
    if asked:
        made.append((b"Access-Control-Allow-Headers", asked))
    if fields.get(b"access-control-request-private-network") == b"true":
        made.append((b"Access-Control-Allow-Private-Network", b"true"))
    return made

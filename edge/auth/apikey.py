"""Where a request carries its key."""

from typing import Final

from edge.core.headers import Fields
from edge.core.refusal import Refusal

AUTHORIZATION: Final = b"authorization"
CARRIERS: Final = (b"x-api-key", b"api-key")
MOST: Final = 3
"""The most distinct values that a request may show."""


def credentials(fields: Fields) -> tuple[bytes, ...]:
    """The distinct values that may be keys: of `Authorization: Bearer` (RFC 6750; the scheme in any case), `X-API-Key` and `api-key`.

    At most three are returned; a request that shows more is refused by `too_many`.
    """
    return tuple(_distinct(fields)[:MOST])


def too_many(fields: Fields) -> Refusal | None:
    """The refusal of a request that shows more than three distinct values: nobody knows which one it means."""
    if len(_distinct(fields)) <= MOST:
        return None
    return Refusal("two-keys", f"The request shows more than {MOST} different keys.", retry=False)


def _distinct(fields: Fields) -> list[bytes]:
    lows = fields.lows
    found: list[bytes] = []
    if AUTHORIZATION in lows:
        for value in fields.all(AUTHORIZATION):
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer" and (token := token.strip(b" \t")):
                found.append(token)
    for name in CARRIERS:
        if name in lows:
            found += [value for value in fields.all(name) if value]
    return found if len(found) < 2 else list(dict.fromkeys(found))

"""`POST /rotate`: the successor of the key that asks."""

from collections.abc import Awaitable, Callable

from edge.core.keys import Key
from edge.core.refusal import Refusal
from edge.core.rotation import GRACE
from edge.core.times import stamp_utc
from edge.web.own import OwnPage
from edge.web.pages import refuse, reply_json
from edge.wire.request import Request

Fetch = Callable[[Key], Awaitable[tuple[Key, str] | Refusal]]


def rotate_page(fetch: Fetch) -> OwnPage:
    """`/rotate`: 201 with the new key, which is shown this once; the old one lives on for a day at most.

    `fetch` gives the successor of a key and its secret, or the refusal.
    """

    async def answer(request: Request) -> None:
        caller = request.exchange.caller
        assert caller is not None
        made = await fetch(caller.key)
        if isinstance(made, Refusal):
            refuse(request, made)
            return
        new, secret = made
        reply_json(
            request,
            201,
            {
                "id": new.id,
                "key": secret,
                "user": new.user,
                "services": sorted(new.services),
                "expires": None if new.expires is None else stamp_utc(new.expires),
                "replaces": caller.key.id,
                "grace": int(GRACE),
            },
        )

    return OwnPage(answer)

"""`/usage` on the ops listener: the reports of `aigate usage`, as JSON."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from edge.config.schema import Config
from edge.core.quantities import duration
from edge.core.refusal import Refusal
from edge.core.times import DAY
from edge.stores.usage import BY, UsageStore
from edge.stores.usage_requests import FILTERS
from edge.used import requests_json, usage_json, usage_report, usage_store
from edge.web.pages import refuse, reply_json
from edge.wire.request import Request

MOST: Final = 10_000
"""Requests that are listed at once."""
PARAMETERS: Final = 10
"""In a question, at most; there are six to ask with."""
SAY: Final = (
    f"Ask with ?by={'|'.join(BY)}&since=7d, or ?requests=100&since=7d with user, key or service;"
    f" {PARAMETERS} parameters at most."
)


def usage_page(
    config: Config, data: Path, in_thread: Callable[..., Any], now: Callable[[], float]
) -> Callable[[Request], Any]:
    """`/usage?by=user&since=7d` and `/usage?requests=100` on the ops listener."""

    def read(function: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
        # A connection of its own: the gate's other one belongs to the thread that writes.
        store = usage_store(config, data)
        try:
            return function(store, *args)
        finally:
            store.close()

    def summed(store: UsageStore, by: str, since: float) -> dict[str, Any]:
        return usage_json(usage_report(store, config, by, since, None), config, by, since, None)

    async def answer(request: Request) -> None:
        try:
            # More parameters than there may be are a ValueError too.
            asked = dict(parse_qsl((request.query or b"").decode("ascii", "replace"), max_num_fields=PARAMETERS))
            since = now() - min(duration(asked.get("since", "7d")), 3650 * DAY)
        except ValueError:
            refuse(request, Refusal("bad-request", SAY, retry=False))
            return
        by, limit = asked.get("by", "user"), asked.get("requests", "")
        if by not in BY or (limit and not (limit.isdecimal() and len(limit) < 6)):
            refuse(request, Refusal("bad-request", SAY, retry=False))
            return
        if limit:
            only = {name: asked[name] for name in FILTERS if name in asked}
            made = await in_thread(read, requests_json, since, None, min(int(limit), MOST), only)
        else:
            made = await in_thread(read, summed, by, since)
        reply_json(request, 200, made)

    return answer

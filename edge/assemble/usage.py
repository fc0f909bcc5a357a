"""`/usage` on the ops listener: the report of `aigate usage`, as JSON."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from edge.config.schema import Config
from edge.core.quantities import duration
from edge.core.refusal import Refusal
from edge.core.times import DAY
from edge.core.use import Report
from edge.stores.usage import BY
from edge.used import usage_json, usage_report, usage_store
from edge.web.pages import refuse, reply_json
from edge.wire.request import Request


def usage_page(
    config: Config, data: Path, in_thread: Callable[..., Any], now: Callable[[], float]
) -> Callable[[Request], Any]:
    """`/usage?by=user&since=7d` on the ops listener."""

    def read(by: str, since: float) -> Report:
        # A connection of its own: the gate's other one belongs to the thread that writes.
        store = usage_store(config, data)
        try:
            return usage_report(store, config, by, since, None)
        finally:
            store.close()

    async def answer(request: Request) -> None:
        asked = dict(parse_qsl((request.query or b"").decode("ascii", "replace"), max_num_fields=10))
        by = asked.get("by", "user")
        try:
            since = now() - min(duration(asked.get("since", "7d")), 3650 * DAY)
        except ValueError:
            since = -1.0
        if by not in BY or since < 0:
            refuse(request, Refusal("bad-request", f"Ask with ?by={'|'.join(BY)}&since=7d.", retry=False))
            return
        made = await in_thread(read, by, since)
        reply_json(request, 200, usage_json(made, config, by, since, None))

    return answer

"""A key's successor, made off the reactor's thread by the same keyring as the command line's."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from edge.config.timezone import system_timezone
from edge.stores.keyring import Keyring
from edge.stores.sqlite import SqliteKeyRecord


def rotating(
    data: Path, environ: Mapping[str, str], in_thread: Callable[..., "Deferred[Any]"]
) -> Callable[[str], Awaitable[Mapping[str, Any]]]:
    """From the id of a key to its successor, as `keys rotate --json` shows it."""

    def rotate(key_id: str) -> Mapping[str, Any]:
        record = SqliteKeyRecord(data, environ)
        try:
            ring = Keyring(record, f"key:{key_id}", system_timezone())
            (made,) = ring.rotate([ring.pick(key_id)])
            return {"id": made.record.id, "key": made.secret, **made.record.to_json()}
        finally:
            record.close()

    return lambda key_id: in_thread(rotate, key_id)

"""The newest requests one by one, in `usage.sqlite`: kept for so long, and never more than so many."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from attrs import field, fields, frozen

Row = tuple[Any, ...]
"""The fields of a Request in their order, `units` as a JSON object or ""."""
AT_ONCE: Final = 100
"""Rows in one statement: SQLite lets go of the interpreter for each statement, and taking it back is what costs."""


@frozen
class Request:
    """One request that was let in."""

    at: float
    """Its end, Unix seconds."""
    request: str
    """Its id, as in the access log and in `x-request-id`."""
    key: str
    user: str
    service: str
    model: str
    status: int
    reason: str
    ended: str
    sent: int
    received: int
    seconds: float
    """From the end of its head to the end of its answer."""
    waited: float
    units: Mapping[str, float] = field(factory=dict)


NAMES: Final = tuple(attribute.name for attribute in fields(Request))
FILTERS: Final = ("user", "key", "service")
"""What a listing can be narrowed by."""


def insert(connection: sqlite3.Connection, rows: Sequence[Row], most: int) -> None:
    """Add rows in the order of their ends, and let the oldest beyond `most` go. Within a transaction."""
    rows = rows[-most:] if most else ()
    if not rows:
        return
    whole = len(rows) - len(rows) % AT_ONCE
    for start in range(0, whole, AT_ONCE):
        connection.execute(_MANY, list(chain.from_iterable(rows[start : start + AT_ONCE])))
    connection.executemany(_ONE, rows[whole:])
    connection.execute("DELETE FROM requests WHERE number <= (SELECT max(number) FROM requests) - ?", (most,))


def prune(connection: sqlite3.Connection, before: float, most: int) -> None:
    """Let go of what ended before a time (Unix seconds), or is more than `most`. Within a transaction."""
    # Ends are in order but for a clock that was set, so that only what goes is looked at.
    (first,) = connection.execute(
        "SELECT coalesce((SELECT number FROM requests WHERE at >= ? ORDER BY number LIMIT 1),"
        " (SELECT max(number) + 1 FROM requests), 0)",
        (before,),
    ).fetchone()
    (newest,) = connection.execute("SELECT coalesce(max(number), 0) FROM requests").fetchone()
    connection.execute("DELETE FROM requests WHERE number < ?", (max(first, newest - most + 1),))


def newest(
    connection: sqlite3.Connection, since: float, until: float, limit: int, only: Mapping[str, str]
) -> list[Request]:
    """The last `limit` requests that ended from `since` up to, not including, `until`, newest first; `only` has names of FILTERS."""
    wanted = [(name, only[name]) for name in FILTERS if name in only]
    # Names of columns are constants of this module.
    narrowed = "".join(f" AND {name} = ?" for name, _ in wanted)
    statement = (
        f"SELECT {', '.join(NAMES)} FROM requests WHERE at >= ? AND at < ?{narrowed}"  # noqa: S608
        " ORDER BY number DESC LIMIT ?"
    )
    found = connection.execute(statement, (since, until, *(value for _, value in wanted), limit))
    return [Request(**{**dict(zip(NAMES, row, strict=True)), "units": json.loads(row[-1] or "{}")}) for row in found]


def _insert(count: int) -> str:
    row = "(" + ", ".join("?" * len(NAMES)) + ")"
    return f"INSERT INTO requests ({', '.join(NAMES)}) VALUES {', '.join([row] * count)}"  # noqa: S608


_ONE: Final = _insert(1)
_MANY: Final = _insert(AT_ONCE)

"""Rows of the record as values: what reading it and changing it share."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from edge.core.keyrecord import HistoryEntry, KeyRecord
from edge.core.keyrules import to_key
from edge.errors import StoreError

FILE: Final = "keys.sqlite"
COLUMNS: Final = "id, rules, description, created, created_by, origin, replaces, replaced_by, weak, pepper, changed"


def query(connection: sqlite3.Connection, statement: str, values: Sequence[Any] = ()) -> list[Any]:
    """All rows of a statement. Raises StoreError for what SQLite refuses."""
    try:
        return connection.execute(statement, values).fetchall()
    except sqlite3.Error as error:
        raise StoreError(f"{FILE}: cannot be read: {error}") from error


def generation(connection: sqlite3.Connection) -> int:
    """The number that grows with every change."""
    ((generation,),) = query(connection, "SELECT value FROM meta WHERE name = 'generation'")
    return int(generation)


def marks(connection: sqlite3.Connection) -> dict[int, str]:
    """Number → fingerprint of the live peppers."""
    return dict(query(connection, "SELECT number, fingerprint FROM peppers WHERE retired IS NULL"))


def get(connection: sqlite3.Connection, key_id: str) -> KeyRecord | None:
    """The key with exactly this id."""
    rows = query(connection, f"SELECT {COLUMNS} FROM keys WHERE id = ?", (key_id,))  # noqa: S608
    return record_of(rows[0]) if rows else None


def record_of(row: Sequence[Any]) -> KeyRecord:
    """The record of a key from a row of COLUMNS. Raises StoreError where its rules cannot be understood."""
    key_id, rules, description, created, created_by, origin, replaces, replaced_by, weak, pepper, changed = row
    try:
        key = to_key(key_id, json.loads(rules))
    except ValueError as error:
        raise StoreError(f"{FILE}: {error}") from error
    return KeyRecord(
        key=key,
        description=description,
        created=created,
        created_by=created_by,
        origin=origin,
        replaces=replaces,
        replaced_by=replaced_by,
        weak=weak,
        pepper=pepper,
        changed=changed,
    )


def newest(connection: sqlite3.Connection, key_id: str | None, limit: int) -> list[HistoryEntry]:
    """The newest `limit` changes of a key, or of all, oldest first."""
    rows = query(
        connection,
        "SELECT at, key, action, by, detail, generation FROM history WHERE ? IS NULL OR key = ? ORDER BY number DESC LIMIT ?",
        (key_id, key_id, limit),
    )
    made = [
        HistoryEntry(at=at, key=key, action=action, by=by, detail=json.loads(detail), generation=generation)
        for at, key, action, by, detail, generation in rows
    ]
    return made[::-1]

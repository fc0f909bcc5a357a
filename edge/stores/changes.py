"""What one change of the record does, and the history that it leaves."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from attrs import define, evolve, field

from edge.core.keyrecord import KeyRecord, NewKey
from edge.core.keyrules import to_rules
from edge.core.keys import Key
from edge.errors import StoreError
from edge.stores.pepper import Peppers
from edge.stores.rows import generation, get

HISTORY: Final = 200_000
"""The most rows of history that are kept."""
DELETED: Final = 100_000
"""The most digests of deleted keys that are kept."""
LARGEST_RULES: Final = 64 * 1024
"""The most bytes that the rules of one key take."""


@define
class Changes:
    """What one change does; made by `SqliteKeyRecord.change`."""

    _connection: sqlite3.Connection
    _peppers: Peppers
    _by: str
    _now: float
    _notes: list[tuple[str, str, Mapping[str, Any]]] = field(factory=list, init=False)

    def add(self, new: NewKey) -> KeyRecord:
        """Put a key on record. Raises StoreError where its id or its secret is there already."""
        number, digest = self._peppers.digests()[0]
        record = evolve(new.record, pepper=number, changed=self._now)
        row = (
            record.id, digest(new.secret), number, record.key.user, _rules(record.key), record.description, record.created,
            record.created_by, record.origin, record.replaces, record.replaced_by, record.weak, self._now,
        )  # fmt: skip
        try:
            self._connection.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError as error:
            raise StoreError(f"a key with the id {record.id} or with the same secret is on record already") from error
        self._notes.append((record.id, record.origin, to_rules(record.key)))
        return record

    def edit(self, key: Key, action: str = "edited", **about: str) -> KeyRecord:
        """Give a key other rules, and what else is said `about` it: description, replaced_by."""
        before = self.get(key.id)
        after = evolve(before, key=key, changed=self._now, **about)  # type: ignore[arg-type]
        self._connection.execute(
            "UPDATE keys SET user = ?, rules = ?, description = ?, replaced_by = ?, changed = ? WHERE id = ?",
            (key.user, _rules(key), after.description, after.replaced_by, self._now, key.id),
        )
        old, new = _told(before), _told(after)
        changed = {
            name: {"from": old.get(name), "to": new.get(name)}
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        }
        if changed:
            self._notes.append((key.id, action, changed))
        return after

    def delete(self, key_id: str) -> KeyRecord:
        """Take a key off the record; its history stays, and so does its digest, lest an import bring it back."""
        record = self.get(key_id)
        self._connection.execute(
            "INSERT OR REPLACE INTO deleted SELECT digest, id, ? FROM keys WHERE id = ?", (self._now, key_id)
        )
        self._connection.execute("DELETE FROM keys WHERE id = ?", (key_id,))
        self._notes.append((key_id, "deleted", _told(record)))
        return record

    def redigest(self, key_id: str, digest: bytes) -> None:
        """Record a key under the current pepper, after its secret was shown. A key that is gone meanwhile stays gone."""
        number = self._peppers.current
        done = self._connection.execute(
            "UPDATE keys SET digest = ?, pepper = ?, changed = ? WHERE id = ? AND pepper <> ?",
            (digest, number, self._now, key_id, number),
        )
        if done.rowcount:
            self._notes.append((key_id, "repeppered", {"pepper": number}))

    def retire(self, pepper: int) -> None:
        """Mark a pepper as one that nothing is digested with any more."""
        self._connection.execute("UPDATE peppers SET retired = ? WHERE number = ?", (self._now, pepper))
        self._notes.append(("", "repeppered", {"retired": pepper}))

    def get(self, key_id: str) -> KeyRecord:
        """The key as this change finds it. Raises StoreError where there is none."""
        if record := get(self._connection, key_id):
            return record
        raise StoreError(f"there is no key {key_id}")

    @property
    def count(self) -> int:
        """How many lines of history it makes."""
        return len(self._notes)

    def commit(self) -> bool:
        """Grow the generation and write the history; False where nothing was changed."""
        if not self._notes:
            return False
        grow(self._connection)
        for key_id, action, detail in self._notes:
            note(self._connection, self._now, key_id, action, self._by, detail)
        if any(action == "deleted" for _, action, _ in self._notes):
            self._connection.execute(
                "DELETE FROM deleted WHERE digest IN (SELECT digest FROM deleted ORDER BY at DESC LIMIT -1 OFFSET ?)",
                (DELETED,),
            )
        self._connection.execute(
            "DELETE FROM history WHERE number <= (SELECT max(number) FROM history) - ?", (HISTORY,)
        )
        return True


def _rules(key: Key) -> str:
    text = json.dumps(to_rules(key), separators=(",", ":"), sort_keys=True)
    if len(text) > LARGEST_RULES:
        raise StoreError(f"the rules of key {key.id} take {len(text)} bytes; at most {LARGEST_RULES} are kept")
    return text


def _told(record: KeyRecord) -> dict[str, Any]:
    return {**to_rules(record.key), "description": record.description, "replaced_by": record.replaced_by}


def grow(connection: sqlite3.Connection) -> None:
    """Count a change: the export must follow."""
    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'")


def note(
    connection: sqlite3.Connection, at: float, key_id: str, action: str, by: str, detail: Mapping[str, Any]
) -> None:
    """Write a row of history."""
    connection.execute(
        "INSERT INTO history (at, key, action, by, detail, generation) VALUES (?, ?, ?, ?, ?, ?)",
        (at, key_id, action, by, json.dumps(detail, sort_keys=True), generation(connection)),
    )


def register(connection: sqlite3.Connection, peppers: Peppers, now: float) -> None:
    """Note which peppers there are, by fingerprint."""
    for number, mark in peppers.fingerprints().items():
        connection.execute(
            "INSERT OR IGNORE INTO peppers (number, fingerprint, since) VALUES (?, ?, ?)", (number, mark, now)
        )

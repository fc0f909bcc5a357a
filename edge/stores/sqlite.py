"""The record of keys, `keys.sqlite`: every change is one transaction, and has an export made of it before it counts as done.

Order of a change: the folder is locked for writers, rows are changed, the new export is written beside the old one down
to the disk, the transaction is committed, the export is put in its place. A full disk stops it before anything
counts; a process killed between the last two steps leaves an export that lags by its generation, which the gate sees
within a second and makes anew.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from edge.core.keyrecord import HistoryEntry, KeyRecord
from edge.errors import StoreError
from edge.files import lock_within
from edge.stores import export
from edge.stores.changes import Changes, grow, note, register
from edge.stores.database import BUSY, MissingError, open_database, transaction
from edge.stores.pepper import LIVE, Peppers, locate, read_peppers
from edge.stores.rows import COLUMNS, FILE, generation, get, marks, newest, query, record_of

_LOST: Final = (
    f", though it held keys, and none can be changed: put it back from a backup, "
    f"or move {export.FILE} away to begin anew without them"
)


@frozen
class Known:
    """What the record says of a secret: the key it belongs to, or the one it belonged to before that was deleted."""

    key: str
    deleted: bool


@define
class SqliteKeyRecord:
    """The record in a data folder. Every method may block for as long as the disk and other writers take: seconds at worst.

    One object serves one thread at a time. All raise `edge.errors.StoreError`.
    """

    folder: Path
    environ: Mapping[str, str] = field(factory=lambda: dict(os.environ), repr=False)
    clock: Callable[[], float] = time.time
    audit: Callable[[Sequence[HistoryEntry]], None] | None = None
    """Told of each change before it counts; what it raises stops the change."""
    _connection: sqlite3.Connection | None = field(default=None, init=False, repr=False)
    _inode: int = field(default=0, init=False, repr=False)
    _held: bool = field(default=False, init=False, repr=False)
    """Whether there were keys when this object looked last."""

    # Reading

    @property
    def exists(self) -> bool:
        """Whether there is a record, or an export that says that there was one."""
        return (self.folder / FILE).exists() or self._was

    def generation(self) -> int:
        """Grows with every change."""
        found = generation(self._open())
        self._held = self._held or found > 0
        return found

    def find(self, *, user: str | None = None, prefix: str = "") -> list[KeyRecord]:
        """Keys, oldest first: all, those of a person, or those whose id begins with `prefix`."""
        rows = query(
            self._open(),
            # The columns are a constant of this module.
            f"SELECT {COLUMNS} FROM keys WHERE (? IS NULL OR user = ?) AND substr(id, 1, ?) = ? ORDER BY created, id",  # noqa: S608
            (user, user, len(prefix), prefix),
        )
        return [record_of(row) for row in rows]

    def get(self, key_id: str) -> KeyRecord | None:
        """The key with exactly this id."""
        return get(self._open(), key_id)

    def ids(self) -> set[str]:
        """The ids of all keys."""
        return {row[0] for row in query(self._open(), "SELECT id FROM keys")}

    def count(self) -> int:
        ((count,),) = query(self._open(), "SELECT count(*) FROM keys")
        return int(count)

    def history(self, key_id: str | None = None, limit: int = 1000) -> list[HistoryEntry]:
        """The newest `limit` changes of a key, or of all, oldest first; `key_id` may be that of a deleted key."""
        return newest(self._open(), key_id, limit)

    def known(self, secret: bytes) -> Known | None:
        """What is on record of a secret."""
        peppers = self._peppers()
        if peppers is None:
            return None
        connection = self._open()
        for _, digest in peppers.digests():
            made = digest(secret)
            for table, deleted in (("keys", False), ("deleted", True)):
                # The table's name is one of the two above.
                if rows := query(connection, f"SELECT id FROM {table} WHERE digest = ?", (made,)):  # noqa: S608
                    return Known(rows[0][0], deleted)
        return None

    # Changing

    @contextmanager
    def change(self, by: str) -> Iterator[Changes]:
        """One change by somebody (`cli:alice`, `gate`): when the block ends all of it is on record and in the export, or nothing is."""
        with self._writers_lock(), self._change(by) as changes:
            yield changes

    def export(self, *, always: bool = False) -> bool:
        """Make the export anew where it lags, is damaged or missing, or `always`. Returns whether it was made."""
        with self._writers_lock():
            connection = self._open()
            if not always:
                try:
                    if export.read(self.folder / export.FILE)[0].generation == generation(connection):
                        return False
                except StoreError:
                    pass  # whatever is wrong with it, it is made anew below
            with transaction(connection):
                place = self._prepare(connection)
            self._place(place)
            return True

    def renew_pepper(self, by: str) -> int:
        """Begin a new pepper beside the current one. Returns its number."""
        with self._writers_lock():
            connection = self._open()
            with transaction(connection):
                peppers = self._make_peppers(connection)
                if len(peppers.values) >= LIVE:
                    raise StoreError(
                        f"peppers {', '.join(map(str, sorted(peppers.values)))} are live; retire the older one first"
                    )
                ((highest,),) = query(connection, "SELECT max(number) FROM peppers")
                renewed = peppers.with_new(highest + 1)
                # The file first: a pepper that nothing needs does no harm, a record of a lost one would.
                renewed.write()
                register(connection, renewed, self.clock())
                grow(connection)
                note(connection, self.clock(), "", "repeppered", by, {"new": renewed.current})
                place = self._prepare(connection)
                self._tell(connection, 1)
            self._place(place)
            return renewed.current

    def live_peppers(self) -> dict[int, str]:
        """Number → fingerprint of the peppers that keys may be digested with."""
        return marks(self._open())

    def needing(self, pepper: int) -> list[KeyRecord]:
        """The keys that work only as long as this pepper lives."""
        rows = query(self._open(), f"SELECT {COLUMNS} FROM keys WHERE pepper = ? ORDER BY created, id", (pepper,))  # noqa: S608
        return [record_of(row) for row in rows]

    def retire_pepper(self, number: int, by: str, *, force: bool = False) -> list[KeyRecord]:
        """End an old pepper. Keys that still need it stop it, or die with `force`: they are returned."""
        # The file is read and written under one lock, since another command may begin a pepper of its own.
        with self._writers_lock():
            peppers = self._peppers()
            if peppers is None or number not in peppers.values:
                raise StoreError(f"pepper {number} is not live")
            if number == peppers.current:
                raise StoreError(f"pepper {number} is the current one; begin a new one first")
            with self._change(by) as changes:
                dying = self.needing(number)
                if dying and not force:
                    raise StoreError(
                        f"{len(dying)} keys were not used since pepper {number} was replaced, and would die with it"
                    )
                for record in dying:
                    changes.delete(record.id)
                changes.retire(number)
            # The record first: a pepper that is live in the file only does no harm.
            peppers.without(number).write()
        return dying

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Within

    @contextmanager
    def _change(self, by: str) -> Iterator[Changes]:
        """What `change` does, for who holds the lock already."""
        connection = self._open()
        with transaction(connection):
            changes = Changes(connection, self._make_peppers(connection), by, self.clock())
            yield changes
            place = self._prepare(connection) if changes.commit() else None
            if place is not None:
                self._tell(connection, changes.count)
        if place is not None:
            self._place(place)

    def _open(self) -> sqlite3.Connection:
        path = self.folder / FILE
        try:
            status = path.stat()
            inode = status.st_ino if status.st_size else 0
        except OSError:
            inode = 0
        if self._connection is not None and inode != self._inode:
            # Restored, replaced or emptied under our feet: the old file is no longer the truth.
            self.close()
        if self._connection is None:
            self._connection = self._begin(path)
            self._inode = path.stat().st_ino
        return self._connection

    def _begin(self, path: Path) -> sqlite3.Connection:
        was = self._was
        try:
            connection = open_database(path, "keys", whole=True, make=not was)
        except MissingError as error:
            raise MissingError(f"{error}{_LOST}") from None
        if was and not generation(connection):
            connection.close()
            raise MissingError(f"{path}: is a new one{_LOST}")
        return connection

    @property
    def _was(self) -> bool:
        """Whether there were keys, as the export says; one that cannot be read may have had some."""
        try:
            return self._held or export.generation(self.folder / export.FILE) > 0
        except StoreError:
            return True

    def _peppers(self) -> Peppers | None:
        peppers = read_peppers(self.folder, self.environ)
        live = marks(self._open())
        path, _ = locate(self.folder, self.environ)
        if peppers is None:
            if live:
                raise StoreError(
                    f"{path}: the pepper of this record is missing; bring it back from a backup: without it no key works"
                )
            return None
        found = peppers.fingerprints()
        for number, mark in live.items():
            if found.get(number) != mark:
                raise StoreError(
                    f"{path}: pepper {number} is missing or is not the one that this record's keys were made with"
                )
        return peppers

    def _make_peppers(self, connection: sqlite3.Connection) -> Peppers:
        peppers = self._peppers()
        if peppers is None:
            path, credential = locate(self.folder, self.environ)
            peppers = Peppers(path, {}, credential).with_new(1)
            peppers.write()
        register(connection, peppers, self.clock())
        return peppers

    def _prepare(self, connection: sqlite3.Connection) -> Callable[[], None]:
        live = marks(connection)
        rows = connection.execute("SELECT digest, pepper, id, rules FROM keys ORDER BY id")
        try:
            return export.prepare(self.folder, generation(connection), live, (export.line(*row) for row in rows))
        except OSError as error:
            raise StoreError(
                f"{self.folder / export.FILE}: cannot be written: {error.strerror}; nothing was changed"
            ) from error

    def _tell(self, connection: sqlite3.Connection, count: int) -> None:
        if self.audit is not None:
            self.audit(newest(connection, None, count))

    def _place(self, place: Callable[[], None]) -> None:
        try:
            place()
        except OSError as error:
            raise StoreError(
                f"{self.folder / export.FILE}: cannot be replaced: {error.strerror}; "
                "the change is on record and counts once the gate can make its export anew"
            ) from error

    @contextmanager
    def _writers_lock(self) -> Iterator[None]:
        """The folder itself is the lock, so that there is no file to be lost or to belong to the wrong user."""
        try:
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot be opened: {error.strerror}") from error
        try:
            if not lock_within(handle, BUSY, 0.005):
                raise StoreError(f"{self.folder}: another command has been changing keys for {BUSY:.0f} s")
            yield
        finally:
            os.close(handle)

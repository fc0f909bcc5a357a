"""SQLite files of ours: made with the right owner, upgraded step by step with a backup first, refused when newer."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from edge.errors import StoreError
from edge.files import keep_owner

BUSY: Final = 30.0
"""Seconds to wait for another process that writes."""
_SCHEMA = re.compile(r"([a-z]+)-(?:(\d+)-to-)?(\d+)\.sql")


class MissingError(StoreError):
    """A database that must be there is missing or empty."""


def open_database(
    path: Path, name: str, schemas: Traversable | None = None, *, whole: bool = False, make: bool = True
) -> sqlite3.Connection:
    """A connection to the database at `path`, made where it is missing or empty and `make` allows it, upgraded where it is older.

    `schemas` holds `NAME-VERSION.sql` and `NAME-VERSION-to-VERSION.sql`; before an upgrade the file is copied to
    `PATH.vVERSION.bak`. The connection is in autocommit mode; changes go through `transaction`. With `whole` all that was
    committed is in the one file at any time, for what is written rarely; otherwise the newest may be in `PATH-wal` beside
    it. Raises MissingError where it would have to be made and may not, and StoreError where it cannot be read, is damaged, or
    was made by a newer version; then the file is left as it is.
    """
    schemas = schemas or files("edge.stores").joinpath("schema")
    try:
        if not path.exists():
            if not make:
                raise MissingError(f"{path}: is missing")
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            keep_owner(path)
        connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: cannot be opened: {_words(error)}") from error
    try:
        _prepare(connection, path, name, schemas, whole, make)
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"{path}: cannot be used: {_words(error)}") from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Everything inside happens, or nothing; other writers wait meanwhile. Raises StoreError for what SQLite refuses."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise StoreError(f"the database refused: {_words(error)}") from error


def _prepare(
    connection: sqlite3.Connection, path: Path, name: str, schemas: Traversable, whole: bool, make: bool
) -> None:
    found = _version(connection)
    if not (found or make):
        raise MissingError(f"{path}: is empty")
    newest = max(
        int(match[3]) for file in schemas.iterdir() if (match := _SCHEMA.fullmatch(file.name)) and match[1] == name
    )
    if found > newest:
        raise StoreError(
            f"{path}: was made by a newer aigate (schema {found}, this one knows {newest}); install that one again, nothing was changed"
        )
    # Each commit reaches the disk before it is told: a key that was shown must survive a power cut.
    if whole:
        _leave_wal(connection)
        # The end of the journal is the commit, and its name must be gone from the disk too.
        connection.execute("PRAGMA synchronous = EXTRA")
        # A large change waits in memory: written early it would lock readers out until it is committed.
        connection.execute("PRAGMA cache_spill = OFF")
    else:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    if found == newest:
        return
    if found:
        _back_up(connection, path.with_name(f"{path.name}.v{found}.bak"))
    with transaction(connection):
        while (found := _version(connection)) < newest:
            step = f"{name}-{found}-to-{found + 1}.sql" if found else f"{name}-{newest}.sql"
            for statement in _statements(schemas.joinpath(step).read_text("utf-8")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {found + 1 if found else newest}")


def _leave_wal(connection: sqlite3.Connection) -> None:
    """Switch a file that an earlier version left with a write-ahead log, and put into the file what is in that."""
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        # Another process has the file open; it is as safe to use as it was, and whoever opens it alone switches it.
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise


def _back_up(connection: sqlite3.Connection, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    connection.execute("VACUUM INTO ?", (str(copy),))
    copy.chmod(0o600)
    keep_owner(copy)


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _statements(script: str) -> Iterator[str]:
    # `executescript` would commit first, and an upgrade must happen whole or not at all.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _words(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)

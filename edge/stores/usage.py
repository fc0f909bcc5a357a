"""The record of use, `usage.sqlite`: sums by hour and by day, and the newest requests; added to in batches, each one
transaction."""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from datetime import time as clock
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from attrs import define, field, frozen

from edge.core.use import HOUR, NAMES, QUARTER, Hardware, Use
from edge.errors import StoreError
from edge.stores.database import open_database, transaction
from edge.stores.usage_requests import Request, Row, insert, newest, prune

FILE: Final = "usage.sqlite"
HOURS: Final = 45 * 24
"""For how many hours what is summed by hour is kept."""
BY: Final[Mapping[str, str]] = {
    "user": "user",
    "key": "key",
    "service": "service",
    "model": "model",
    "day": "at",
    "hour": "at",
}
Mark = tuple[int, str, str, str, str]
"""Unix quarter of an hour (`edge.core.use.QUARTER`), key, user, service, model."""
_SUMS: Final = ", ".join(NAMES)
_HARDWARE: Final = {"hours": "hardware_hours", "days": "hardware"}


@frozen
class Batch:
    """What is added at once."""

    rows: Mapping[Mark, tuple[float, ...]]
    """Sums in the order of `edge.core.use.NAMES`."""
    hardware: Mapping[str, Hardware]
    """By service."""
    last: Mapping[str, float]
    """Key → Unix seconds."""
    requests: Sequence[Row] = ()
    """Each by itself, in the order of their ends."""


@define(eq=False)
class UsageStore:
    """Every method may block for as long as the disk and other writers take. All raise StoreError.

    One object serves one thread at a time.
    """

    folder: Path
    zone: ZoneInfo
    keep: float = 400 * 86_400.0
    """Seconds for which days are kept."""
    requests: int = 100_000
    """How many requests are kept one by one."""
    keep_requests: float = 30 * 86_400.0
    """Seconds for which they are."""
    now: Callable[[], float] = time.time
    _connection: sqlite3.Connection | None = field(default=None, init=False, repr=False)
    _pruned: int = field(default=0, init=False)

    @property
    def exists(self) -> bool:
        """Whether anything was ever recorded."""
        return (self.folder / FILE).exists()

    def add(self, batch: Batch) -> None:
        """Add a batch: all of it or nothing."""
        connection = self._open()
        with transaction(connection):
            rows = [(int(mark[0] * QUARTER // HOUR), *mark[1:], *sums) for mark, sums in batch.rows.items()]
            connection.executemany(_ADD["hours"], rows)
            days = [(self.day(mark[0] * QUARTER), *mark[1:], *sums) for mark, sums in batch.rows.items()]
            connection.executemany(_ADD["days"], days)
            now = self.now()
            for table, at in (("hours", int(now // HOUR)), ("days", self.day(now))):
                worked = [(at, service, one.busy, one.up) for service, one in batch.hardware.items()]
                connection.executemany(_WORK[table], worked)
            connection.executemany(
                "INSERT INTO last_used VALUES (?, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
                list(batch.last.items()),
            )
            insert(connection, batch.requests, self.requests)
            self._prune(connection)

    def sums(self, by: str, since: float, until: float | None = None) -> list[tuple[str, str, Use]]:
        """(name, service, use) from `since` up to, not including, `until` (Unix seconds); `by` is a key of BY.

        Hours count whole where the span touches them, as far back as they are kept; days beyond, for spans from midnight
        to midnight, and by day.
        """
        table, first, last = self._span(since, until, by)
        # Table and column are constants of this module.
        statement = (
            f"SELECT {BY[by]}, service, {', '.join(f'sum({name})' for name in NAMES)} FROM {table}"  # noqa: S608
            f" WHERE at >= ? AND at <= ? GROUP BY {BY[by]}, service"
        )
        return [(_name(by, row[0]), row[1], Use(*row[2:])) for row in self._read(statement, (first, last))]

    def hardware(self, since: float, until: float | None = None, by: str = "service") -> dict[str, Hardware]:
        """By service, for the same hours or days as `sums` with the same arguments."""
        table, first, last = self._span(since, until, by)
        # Names of tables are constants of this module.
        statement = (
            f"SELECT service, sum(busy), sum(up) FROM {_HARDWARE[table]}"  # noqa: S608
            " WHERE at >= ? AND at <= ? GROUP BY service"
        )
        return {service: Hardware(busy, up) for service, busy, up in self._read(statement, (first, last))}

    def newest(
        self, since: float, until: float | None = None, limit: int = 100, only: Mapping[str, str] = MappingProxyType({})
    ) -> list[Request]:
        """The last requests that ended from `since` up to, not including, `until` (Unix seconds), newest first.

        `only` narrows by user, key and service.
        """
        try:
            return newest(self._open(), since, float("inf") if until is None else until, limit, only)
        except sqlite3.Error as error:
            raise StoreError(f"{self.folder / FILE}: cannot be read: {error}") from error

    def last_used(self) -> dict[str, float]:
        """Key → when it was used last, in Unix seconds."""
        return dict(self._read("SELECT key, at FROM last_used", ()))

    def day(self, when: float) -> str:
        """The day of a time (Unix seconds) in the configured zone."""
        return datetime.fromtimestamp(when, self.zone).date().isoformat()

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_database(self.folder / FILE, "usage")
        return self._connection

    def _read(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        try:
            return self._open().execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self.folder / FILE}: cannot be read: {error}") from error

    def _span(self, since: float, until: float | None, by: str) -> tuple[str, object, object]:
        now = self.now()
        # The last second that belongs to the span.
        last = int(now) if until is None else ceil(until) - 1
        oldest = (now // HOUR - HOURS) * HOUR
        # Where an hour of the record holds midnight, only days have their exact ends.
        whole = self._midnight(since) and (until is None or self._midnight(until))
        if by == "hour" or (by != "day" and since >= oldest and not whole):
            return "hours", int(max(since, oldest) // HOUR), int(last // HOUR)
        return "days", self.day(since), self.day(last)

    def _midnight(self, when: float) -> bool:
        return datetime.fromtimestamp(when, self.zone).time() == clock.min

    def _prune(self, connection: sqlite3.Connection) -> None:
        hour = int(self.now() // HOUR)
        if hour == self._pruned:
            return
        self._pruned = hour
        kept = self.now() - self.keep
        for table, first in (("hours", max(hour - HOURS, int(kept // HOUR))), ("days", self.day(kept))):
            for each in (table, _HARDWARE[table]):
                # Names of tables are constants of this module.
                connection.execute(f"DELETE FROM {each} WHERE at < ?", (first,))  # noqa: S608
        connection.execute("DELETE FROM last_used WHERE at < ?", (kept,))
        prune(connection, self.now() - min(self.keep, self.keep_requests), self.requests)


def _add(table: str) -> str:
    places = ", ".join("?" * (5 + len(NAMES)))
    grown = ", ".join(f"{name} = {name} + excluded.{name}" for name in NAMES)
    # Names of tables and columns are constants of this module.
    return f"INSERT INTO {table} (at, key, user, service, model, {_SUMS}) VALUES ({places}) ON CONFLICT DO UPDATE SET {grown}"  # noqa: S608


def _work(table: str) -> str:
    grown = "busy = busy + excluded.busy, up = up + excluded.up"
    return f"INSERT INTO {table} (at, service, busy, up) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET {grown}"  # noqa: S608


_ADD: Final = {table: _add(table) for table in ("hours", "days")}
_WORK: Final = {span: _work(table) for span, table in _HARDWARE.items()}


def _name(by: str, value: object) -> str:
    if by == "hour":
        return time.strftime("%Y-%m-%dT%H:00Z", time.gmtime(int(str(value)) * HOUR))
    return str(value)

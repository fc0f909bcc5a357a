"""Budgets per day and month on disk, so that a restart gives nobody a second one."""

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from edge.core.budgets import State
from edge.stores.counters_memory import MemoryCounters
from edge.stores.database import open_database, transaction

log = Logger(namespace="aigate.limits")

EVERY: Final = 0.5
"""Seconds between two looks for what changed: with the writing itself, a crash loses less than a second."""


@define(eq=False, repr=False)
class BudgetFile(Service):
    """Keeps the budgets of `counters` in the database at `path`.

    `in_thread` runs a function with its arguments off the reactor and returns a Deferred: `deferToThreadPool` with its
    reactor and pool filled in. Starting reads the file and raises StoreError where it cannot be read.

    What is reserved counts as used: after a crash, requests that were open stay charged with their worst case.
    """

    path: Path
    counters: MemoryCounters
    clock: IReactorTime
    in_thread: Callable[..., "Deferred[Any]"]
    unix_time: Callable[[], float]
    failing: bool = False
    """Whether the last write failed; what it should have written is written again."""
    _connection: sqlite3.Connection | None = None
    _loop: "LoopingCall | None" = None
    _writing: "Deferred[None]" = field(factory=lambda: succeed(None))

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._connection = open_database(self.path, "limits")
        self._read(self._connection)
        self._loop = LoopingCall(self.flush)
        self._loop.clock = self.clock
        self._loop.start(EVERY, now=False)

    def stopService(self) -> "Deferred[None]":
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop is not None and self._loop.running:
            self._loop.stop()
        # A write may be under way; what changed since follows it, and only then is the file closed.
        ended = self._writing.addBoth(lambda _: self.flush())
        return ended.addBoth(lambda _: self._close())

    def flush(self) -> "Deferred[None]":
        """Write what changed; the Deferred fires when it is on disk, or has failed and been logged."""
        changed = self.counters.take_changed()
        if not changed or self._connection is None:
            return succeed(None)
        self._writing = maybeDeferred(self.in_thread, self._write, self._connection, changed)
        return self._writing.addCallbacks(self._written, self._failed, errbackArgs=(changed,))

    def _read(self, connection: sqlite3.Connection) -> None:
        current = {period: self.counters.calendar.at(period, self.unix_time()).number for period in ("day", "month")}
        rows = connection.execute("SELECT name, number, used FROM budgets").fetchall()
        live = [row for row in rows if row[1] >= current[_period(row[0])] - 1]
        self.counters.load(live)
        names = {row[0] for row in live}
        with transaction(connection):
            connection.executemany("DELETE FROM budgets WHERE name = ?", [(r[0],) for r in rows if r[0] not in names])

    @staticmethod
    def _write(connection: sqlite3.Connection, changed: Mapping[str, State]) -> None:
        with transaction(connection):
            connection.executemany(
                "INSERT INTO budgets VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET number = excluded.number, used = excluded.used",
                [(name, number, used) for name, (number, used) in changed.items()],
            )

    def _written(self, _: object) -> None:
        if self.failing:
            log.info("budgets are written again")
        self.failing = False

    def _failed(self, failure: Failure, changed: Mapping[str, State]) -> None:
        self.counters.changed.update(changed)
        if not self.failing:
            log.error("budgets cannot be written, a restart would forget them: {why}", why=failure.getErrorMessage())
        self.failing = True

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _period(name: str) -> str:
    return name.rpartition("/")[2].rstrip("?")

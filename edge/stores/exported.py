"""The keys that the gate asks: read from the export, kept in step with the record, never lost to a broken file.

Once a second a thread compares the record's generation with the export's, makes a lagging or damaged export anew, and
reads it if it changed. The reactor then indexes it in slices, and only a table that is whole takes the old one's place.
Whatever fails on the way leaves the last good table in force, with one line in the log and words in `status`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from edge.core.digests import Digest
from edge.core.keyrecord import HistoryEntry
from edge.core.keys import Key
from edge.core.secrets import LONGEST, PREFIX, well_formed
from edge.errors import StoreError
from edge.interfaces import IKeyStore
from edge.stores import export
from edge.stores.memory import Changed, Subscribers
from edge.stores.pepper import locate, read_peppers
from edge.stores.rows import FILE
from edge.stores.sqlite import SqliteKeyRecord
from edge.stores.table import Slices, Table

EVERY: Final = 1.0
"""Seconds between two looks at the files."""
PENDING: Final = 10_000
"""The most keys that wait to be recorded under the current pepper; the others wait for their next use."""

InThread = Callable[..., Deferred[Any]]
Signature = tuple[int, int, int]


@frozen
class _Reading:
    """What a look at the files brought."""

    signature: Signature | None = None
    problem: str = ""
    notice: str = ""
    table: Table | None = None
    start: int = 0
    count: int = 0


@implementer(IKeyStore)
class ExportedKeyStore(Service):
    """Keys from the export in `folder`. `in_thread(function, *args)` runs it in a thread and gives a Deferred.

    Before `startService` it has no keys and says so: `StoreError`.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        folder: Path,
        environ: Mapping[str, str],
        in_thread: InThread,
        now: Callable[[], float] = time.time,
        audit: Callable[[Sequence[HistoryEntry]], None] | None = None,
    ) -> None:
        self._clock = clock
        self._folder = folder
        self._environ = environ
        self._in_thread = in_thread
        self._now = now
        # Used by one thread at a time: the loop waits for a look to end before it begins the next.
        self._record = SqliteKeyRecord(folder, environ, now, audit)
        self._table = Table(0)
        self._ready = False
        self._reads = self._failures = 0
        self._problem = "the keys have not been read yet"
        self._told = ""
        self._signature: Signature | None = None
        self._loaded: float | None = None
        self._pending: dict[str, bytes] = {}
        self._subscribers = Subscribers()
        self._loop = LoopingCall(self.look)
        self._loop.clock = clock
        self._ended: Deferred[Any] = succeed(None)

    # What requests ask

    def find(self, secret: bytes) -> Key | None:
        if not self._ready:
            raise StoreError(self._problem)
        # `possible`, written out: this is asked for every request.
        if well_formed(secret) if secret[:4] == PREFIX else 0 < len(secret) <= LONGEST:
            table = self._table
            digests = table.digests
            if len(digests) == 1:
                offset = table.of_digest(digests[0](secret))
                return None if offset is None else table.key(offset)
            return self._find_under_two(table, secret)
        return None

    def _find_under_two(self, table: Table, secret: bytes) -> Key | None:
        # Both digests are made whether or not the first one hits, so that the time tells nothing.
        made = [digest(secret) for digest in table.digests]
        offsets = [table.of_digest(each) for each in made]
        found = next((offset for offset in offsets if offset is not None), None)
        if found is None:
            return None
        key = table.key(found)
        if offsets[0] is None:
            self._note_old_pepper(key, made[0])
        return key

    def get(self, key_id: str) -> Key | None:
        if not self._ready:
            raise StoreError(self._problem)
        offset = self._table.of_id(key_id.encode("ascii", "replace"))
        return None if offset is None else self._table.key(offset)

    @property
    def generation(self) -> int:
        return self._table.generation

    @property
    def epoch(self) -> object:
        return self._table if self._ready else None

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        return self._subscribers.add(changed)

    def status(self) -> Mapping[str, object]:
        return {
            "generation": self._table.generation,
            "keys": self._table.count,
            "loaded": self._loaded,
            "problem": self._problem,
            "reads": self._reads,
            "failures": self._failures,
        }

    # The watch

    def startService(self) -> None:
        """Read the keys before the first request can come, then look once a second."""
        super().startService()  # type: ignore[no-untyped-call]
        reading = self._read({})
        changed: set[str] = set()
        if reading.table is not None:
            try:
                for _ in reading.table.index(reading.start, reading.count, self._table, changed):
                    pass
            except StoreError as error:
                self._say(str(error), reading.signature)
            else:
                self._take(reading, changed)
        else:
            self._say(reading.problem, reading.signature)
        self._ended = self._loop.start(EVERY, now=False).addErrback(self._broken)

    def stopService(self) -> Deferred[Any]:
        """Stop looking, once a look that is under way has ended; the last table stays in force for requests that are still open."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop.running:
            self._loop.stop()
        return self._ended.addCallback(lambda _: self._record.close())

    def look(self) -> Deferred[None]:
        """One look at the files; the Deferred fires when what it brought counts. It never fails."""
        pending, self._pending = self._pending, {}
        return Deferred.fromCoroutine(self._look(pending))

    async def _look(self, pending: Mapping[str, bytes]) -> None:
        try:
            reading: _Reading = await self._in_thread(self._read, pending)
        except OSError as error:
            # The folder itself: files that cannot be read are told of by those who read them.
            self._say(f"{error.filename}: {error.strerror}", self._signature)
            return
        except Exception:
            self.log.failure("The keys could not be looked at; those that were read last stay in force")
            self._problem = "the keys could not be looked at; see the log"
            return
        if reading.notice:
            self.log.warn("{notice}", notice=reading.notice)
        if reading.table is None:
            self._say(reading.problem, reading.signature)
            return
        changed: set[str] = set()
        before = self._table
        try:
            await self._in_slices(reading.table.index(reading.start, reading.count, before, changed))
        except StoreError as error:
            self._say(str(error), reading.signature)
            return
        self._take(reading, changed)
        await self._in_slices(before.take_down())

    def _in_slices(self, slices: Slices) -> Deferred[None]:
        """Run a slice in each turn of the reactor, so that streams flow in between."""
        done: Deferred[None] = Deferred()

        def step() -> None:
            try:
                next(slices)
            except StopIteration:
                done.callback(None)
            except Exception:
                done.errback()
            else:
                self._clock.callLater(0, step)

        step()
        return done

    def _take(self, reading: _Reading, changed: set[str]) -> None:
        assert reading.table is not None
        self._table, self._ready = reading.table, True
        self._loaded = self._now()
        self._reads += 1
        self._say(reading.problem, reading.signature)
        self.log.info(
            "{count} read, generation {generation}",
            count=f"{reading.count} key{'' if reading.count == 1 else 's'}",
            generation=reading.table.generation,
        )
        self._subscribers.tell(frozenset(changed))

    def _say(self, problem: str, signature: Signature | None) -> None:
        self._signature = signature
        if problem and problem != self._told:
            self._failures += 1
            force = "those that were read last stay in force" if self._ready else "nobody is let in"
            self.log.error("Keys: {problem}; {force}", problem=problem, force=force)
        elif self._told and not problem:
            self.log.info("Keys: all is well again")
        self._told = problem
        if problem or self._ready:
            self._problem = problem

    def _broken(self, failure: Any) -> None:
        self.log.failure("The watch over the keys ended", failure)
        self._problem = "the watch over the keys ended; restart the gate"

    def _note_old_pepper(self, key: Key, digest: bytes) -> None:
        if len(self._pending) < PENDING:
            self._pending[key.id] = digest

    # In the thread

    def _read(self, pending: Mapping[str, bytes]) -> _Reading:
        """Bring the export up to date with the record, and read it if it is not the one in force."""
        notice, problems = "", []
        path = self._folder / export.FILE
        if self._record.exists:
            try:
                if pending:
                    with self._record.change("gate") as changes:
                        for key_id, digest in pending.items():
                            changes.redigest(key_id, digest)
                generation = self._record.generation()
                # The table in force says what the export holds, unless the file was touched since.
                if (
                    generation != self._table.generation or _signature(path) != self._signature
                ) and self._record.export():
                    notice = f"{path} lagged behind the record, was damaged or missing, and was made anew"
            except StoreError as error:
                problems.append(str(error))
        elif self._table.generation:
            problems.append(f"{self._folder / FILE} is missing, and so is {path}; put them back from a backup")
        signature = _signature(path)
        if self._ready and signature == self._signature and signature is not None:
            return _Reading(signature, "; ".join(problems), notice)
        if signature is None and not problems and not self._record.exists:
            # A data folder before its first key: no keys, which is not the same as not knowing.
            return _Reading(None, "", "", None if self._ready else Table(0))
        try:
            header, data, start = export.read(path)
            if self._ready and header.sum == self._table.sum and header.generation == self._table.generation:
                return _Reading(signature, "; ".join(problems), notice)
            table = Table(header.generation, header.sum, data, self._digests(header))
        except StoreError as error:
            problems.append(str(error))
            # Not remembered, so that the next look tries again.
            return _Reading(None, "; ".join(problems), notice)
        return _Reading(signature, "; ".join(problems), notice, table, start, header.count)

    def _digests(self, header: export.Header) -> tuple[Digest, ...]:
        peppers = read_peppers(self._folder, self._environ)
        path, _ = locate(self._folder, self._environ)
        if peppers is None:
            raise StoreError(f"{path}: the pepper is missing: without it no key works; bring it back from a backup")
        marks = peppers.fingerprints()
        for number, mark in header.peppers.items():
            if marks.get(number) != mark:
                raise StoreError(f"{path}: pepper {number} is missing or is not the one that the keys were made with")
        return tuple(digest for number, digest in peppers.digests() if number in header.peppers)


def _signature(path: Path) -> Signature | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino

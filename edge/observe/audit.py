"""The audit log on disk: one chain of lines that the gate and the command line both append to, each under its lock.

`log/audit.jsonl` is the newest part; a full one is set aside as `log/audit-FIRST.jsonl` after the number of its first
line, and the oldest go when all together take more than they may, which the chain itself records. `log/audit.head` says
with a signature which line was the last; `log/audit.lock` is who may write.

Whoever writes compares the log with what it remembers and with the head. A line that must not be there, or one that is
gone, is put on record as `broken`.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.core.chain import START, Link, seal, seal_all
from edge.errors import StoreError
from edge.files import keep_owner, lock_within, make_folder, sync_folder, write_atomically
from edge.observe.auditdoubt import Known, doubt
from edge.observe.auditparts import FILE, end_of, first_of, last_place, part_name, parts
from edge.observe.auditproof import Reading, Verdict, judge, key_of
from edge.observe.heads import Head, keep_key, marked, sign, stored_key

MAX: Final = 2**30
ENDLESS: Final = 2**62
"""What to say of a log of which nothing may go, since nobody knows how long it may be."""
PARTS: Final = 8
"""The log is kept in about so many parts, so that the oldest that goes is an eighth of it."""
SMALLEST: Final = 64 * 2**10
"""No part is set aside before it has so many bytes."""
AT_ONCE: Final = 1000
"""Lines that are written and acknowledged together: all or none."""
PATIENCE: Final = 30.0
"""Seconds to wait for another writer."""


@define(eq=False)
class AuditTrail:
    """The audit log of a data folder. Its methods may block for as long as the disk and other writers take.

    One object serves one thread at a time. All raise StoreError where the log cannot be written or read.
    """

    data: Path
    most: int = MAX
    """The most bytes in all."""
    now: Callable[[], float] = time.time
    unsigned: str = ""
    """Why the head could not be signed last, "" where it could. What was to be written is on disk all the same."""
    _link: Link = field(default=START, init=False)
    _inode: int = field(default=0, init=False)
    _size: int = field(default=-1, init=False)
    _key: Ed25519PrivateKey | None = field(default=None, init=False, repr=False)
    _notes: list[str] = field(factory=list, init=False)
    """What was found, until it is on record."""
    _alone: bool = field(default=False, init=False)
    """Whether this is the gate's: the only one whose lines are unsigned for a while, so that all others bear a mark."""

    @property
    def folder(self) -> Path:
        """Where the log lies."""
        return self.data / "log"

    @property
    def path(self) -> Path:
        """The newest part."""
        return self.folder / FILE

    @property
    def head_path(self) -> Path:
        """The signed head."""
        return self.folder / "audit.head"

    def record(self, *entries: Mapping[str, Any]) -> None:
        """Append entries, each an object with a member `what`, and sign. They are on disk when this returns."""
        at = moment(self.now())
        with self._writing() as handle:
            self._write(handle, [body(at, entry) for entry in entries], mark=True)
            self._try_to_sign()

    def append(self, bodies: Sequence[str]) -> None:
        """The same for members that are JSON already; the head waits for `sign`. For the one gate of the folder.

        Of `AT_ONCE` at most, all are on disk or none is.
        """
        self._alone = True
        with self._writing() as handle:
            self._write(handle, bodies, mark=False)

    def sign(self) -> Head:
        """The signed head as it is now."""
        with self._writing():
            return self._sign()

    def head(self) -> Head | None:
        """The head as it was last signed, None where there is none."""
        try:
            return Head.from_json(self.head_path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.head_path}: cannot be read: {error}") from error

    def verify(self, heads: Iterable[Head] = ()) -> Verdict:
        """Read the whole log and judge it, by its own head and by `heads` that were kept elsewhere."""
        if not self.folder.is_dir():
            raise StoreError(f"{self.folder}: there is no audit log here")
        try:
            with ExitStack() as open_files:
                with self._lock():
                    files = [open_files.enter_context(part.open("rb")) for part in self.parts()]
                    sized = [(file, os.fstat(file.fileno()).st_size) for file in files]
                    reading = Reading(sized, self.head(), *key_of(self.data))
                return judge(reading, heads)
        except OSError as error:
            raise StoreError(f"{error.filename or self.path}: cannot be read: {error.strerror or error}") from error

    def parts(self) -> list[Path]:
        """The files of the log, oldest first."""
        return parts(self.folder)

    @contextmanager
    def _writing(self) -> Iterator[int]:
        """The newest part, open, with the lock held and the end of the chain known."""
        try:
            with self._lock():
                handle = self._open()
                try:
                    self._catch_up(handle)
                    yield handle
                finally:
                    os.close(handle)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    # Within the lock

    @contextmanager
    def _lock(self) -> Iterator[None]:
        make_folder(self.folder)
        path = self.folder / "audit.lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            keep_owner(path)
            if not lock_within(handle, PATIENCE, 0.002):
                raise StoreError(f"{path}: another program has held the audit log for {PATIENCE:.0f} s")
            yield
        finally:
            os.close(handle)

    def _open(self) -> int:
        new = not self.path.exists()
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if new:
            keep_owner(self.path)
            sync_folder(self.folder)
        return handle

    def _catch_up(self, handle: int) -> None:
        """Find the last line, where somebody else has written since, and put on record what is wrong with the log."""
        status = os.fstat(handle)
        if (status.st_ino, status.st_size) != (self._inode, self._size):
            self._look(handle, status)
        if self._notes:
            self._chunk(handle, self._notes, mark=True)
            self._notes.clear()
            # The head is that of the log as it is now; what it was before stands in the line just written.
            self._try_to_sign()

    def _look(self, handle: int, status: os.stat_result) -> None:
        size = last_place(handle, b"\n", status.st_size) + 1
        if torn := status.st_size - size:
            # Never acknowledged: a line counts once it is on disk with its line feed.
            os.ftruncate(handle, size)
            self._notes.append(body(moment(self.now()), {"what": "repaired", "bytes": torn}))
        missing = self._read_key()
        files = self.parts()
        last, readable = end_of(files)
        known = Known(self._stored_head(), self._key, missing, self._link, self._alone)
        if say := doubt(files, last, known) or ("" if readable else "its last line cannot be read"):
            self._notes.append(body(moment(self.now()), {"what": "broken", "say": say}))
        self._link, self._inode, self._size = last, status.st_ino, size
        if missing:
            # From now on a head that is missing was taken away.
            self._try_to_sign()

    def _read_key(self) -> bool:
        """Read the key anew, since it may be another one by now; whether there is none."""
        try:
            self._key = stored_key(self.data)
        except StoreError as error:
            self._key, self.unsigned = None, str(error)
            return False
        return self._key is None

    def _stored_head(self) -> Head | None:
        try:
            return self.head()
        except StoreError:
            return None

    def _write(self, handle: int, bodies: Sequence[str], mark: bool) -> None:
        for start in range(0, len(bodies), AT_ONCE):
            self._chunk(handle, bodies[start : start + AT_ONCE], mark)

    def _chunk(self, handle: int, bodies: Sequence[str], mark: bool) -> None:
        made, link = self._sealed(bodies, mark)
        data = "".join(made).encode()
        if self._size and self._size + len(data) > max(SMALLEST, self.most // PARTS):
            self._set_aside(handle)
            self._chunk(handle, bodies, mark)
            return
        done = 0
        try:
            while done < len(data):
                done += os.write(handle, data[done:])
            os.fsync(handle)
        except OSError:
            # All or nothing, so that what is tried again later is not there twice.
            os.ftruncate(handle, self._size)
            raise
        self._size += len(data)
        self._inode = os.fstat(handle).st_ino
        self._link = link

    def _sealed(self, bodies: Sequence[str], mark: bool) -> tuple[list[str], Link]:
        if not mark or self._key is None:
            return seal_all(bodies, self._link)
        made, link = [], self._link
        for each in bodies:
            line, link = seal(marked(self._key, each, link), link)
            made.append(line)
        return made, link

    def _set_aside(self, handle: int) -> None:
        number = first_of([self.path]) or self._link.number
        self.path.rename(self.folder / part_name(number))
        fresh = self._open()
        try:
            os.dup2(fresh, handle, inheritable=False)
        finally:
            os.close(fresh)
        self._size, self._inode = 0, os.fstat(handle).st_ino
        self._discard(handle)

    def _discard(self, handle: int) -> None:
        """Let the oldest parts go where there are too many bytes: recorded first, so that the log never lacks the reason."""
        aside = self.parts()[:-1]
        sizes = {part: part.stat().st_size for part in aside}
        room = self.most - max(SMALLEST, self.most // PARTS)
        going: list[Path] = []
        while aside and sum(sizes[part] for part in aside) > room:
            going.append(aside.pop(0))
        if not going:
            return
        last, _ = end_of(going)
        entry = {"what": "discarded", "through": last.number, "through_hash": last.hash}
        self._chunk(handle, [body(moment(self.now()), entry)], mark=True)
        # A reader believes it only below a signature: everybody could say so.
        self._try_to_sign()
        for part in going:
            part.unlink()
        sync_folder(self.folder)

    def _sign(self) -> Head:
        """Sign what is there. Raises StoreError."""
        stored = self._key or stored_key(self.data)
        key = stored or Ed25519PrivateKey.generate()
        head = sign(key, self._link, self.now())
        try:
            write_atomically(self.head_path, head.to_json().encode())
        except OSError as error:
            raise StoreError(f"{self.head_path}: cannot be written: {error.strerror or error}") from error
        if stored is None:
            keep_key(self.data, key)
        self._key, self.unsigned = key, ""
        return head

    def _try_to_sign(self) -> None:
        try:
            self._sign()
        except StoreError as error:
            self.unsigned = str(error)


def body(at: str, entry: Mapping[str, Any]) -> str:
    """An entry as members of a JSON object, its time first."""
    return f'"at":"{at}",' + json.dumps(entry, separators=(",", ":"))[1:-1]


def moment(when: float) -> str:
    """Unix seconds as RFC 3339 in UTC with milliseconds."""
    second = int(when)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + f".{int((when - second) * 1000):03d}Z"

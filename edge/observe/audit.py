"""The audit log on disk: one chain of lines that the gate and the command line both append to, each under its lock.

`log/audit.jsonl` is the newest part; a full one is set aside as `log/audit-FIRST.jsonl` after the number of its first
line, and the oldest go when all together take more than they may, which the chain itself records. `log/audit.head` says
with a signature which line was the last; `log/audit.lock` is who may write.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.core.chain import START, Check, Link, seal_all, unseal
from edge.errors import StoreError
from edge.files import keep_owner, lock_within, make_folder, sync_folder, write_atomically
from edge.observe.heads import Head, sign, signing_key

FILE: Final = "audit.jsonl"
MAX: Final = 2**30
ENDLESS: Final = 2**62
"""What to say of a log of which nothing may go, since nobody knows how long it may be."""
PARTS: Final = 8
"""The log is kept in about so many parts, so that the oldest that goes is an eighth of it."""
SMALLEST: Final = 64 * 2**10
"""No part is set aside before it has so many bytes."""
LONGEST: Final = 256 * 2**10
"""No line is longer; that of one change of a key has 64 KiB of rules twice at most."""
PATIENCE: Final = 30.0
"""Seconds to wait for another writer."""
_PART: Final = re.compile(r"audit-(\d{12})\.jsonl")


@define(eq=False)
class AuditTrail:
    """The audit log of a data folder. Its methods may block for as long as the disk and other writers take.

    One object serves one thread at a time. All raise StoreError where the log cannot be written or read.
    """

    data: Path
    most: int = MAX
    """The most bytes in all."""
    now: Callable[[], float] = time.time
    _link: Link = field(default=START, init=False)
    _inode: int = field(default=0, init=False)
    _size: int = field(default=-1, init=False)
    _key: Ed25519PrivateKey | None = field(default=None, init=False, repr=False)

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

    def record(self, *entries: Mapping[str, Any]) -> Link:
        """Append entries, each an object with a member `what`, and sign. They are on disk when this returns."""
        at = moment(self.now())
        return self.append([body(at, entry) for entry in entries])

    def append(self, bodies: Sequence[str], *, signed: bool = True) -> Link:
        """The same for members that are JSON already; with `signed` False the head waits for the next time."""
        try:
            with self._lock():
                handle = self._open()
                try:
                    self._repair(handle)
                    self._write(handle, bodies)
                finally:
                    os.close(handle)
                if signed:
                    self._sign()
                return self._link
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def sign(self) -> Head:
        """The signed head as it is now."""
        try:
            with self._lock():
                handle = self._open()
                try:
                    self._repair(handle)
                finally:
                    os.close(handle)
                return self._sign()
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def head(self) -> Head | None:
        """The head as it was last signed, None where there is none."""
        try:
            return Head.from_json(self.head_path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.head_path}: cannot be read: {error}") from error

    def verify(self, heads: Iterable[Head] = ()) -> "Verdict":
        """Read the whole log and judge it, by its own head and by `heads` that were kept elsewhere."""
        if not self.folder.is_dir():
            raise StoreError(f"{self.folder}: there is no audit log here")
        try:
            with self._lock():
                parts = [(part, part.stat().st_size) for part in self.parts()]
                own = self.head()
            problems: list[str] = []
            known: dict[int, str] = {}
            for head in (*heads, *((own,) if own else ())):
                if not head.valid:
                    problems.append(f"{'the head' if head is own else 'a head kept elsewhere'} is not rightly signed")
                elif own is not None and head.key != own.key:
                    problems.append(f"a head kept elsewhere, of line {head.link.number}, was signed with another key")
                if known.setdefault(head.link.number, head.link.hash) != head.link.hash:
                    problems.append(f"two heads say different things of line {head.link.number}")
            if own is None and parts:
                problems.append(f"{self.head_path.name} is missing: nothing says which line was the last")
            made = Check(known)
            for part, size in parts:
                for number, line in enumerate(_lines(part, size), 1):
                    made.feed(f"{part.name}:{number}", line)
            made.finish()
        except OSError as error:
            raise StoreError(f"{error.filename or self.path}: cannot be read: {error.strerror or error}") from error
        return Verdict(made, tuple(problems), own)

    def parts(self) -> list[Path]:
        """The files of the log, oldest first."""
        if not self.folder.is_dir():
            return []
        aside = sorted(file for file in self.folder.iterdir() if _PART.fullmatch(file.name))
        return [*aside, self.path] if self.path.exists() else aside

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

    def _repair(self, handle: int) -> None:
        """Find the last line, where somebody else has written since; a torn one goes, and the chain says so."""
        status = os.fstat(handle)
        if (status.st_ino, status.st_size) == (self._inode, self._size):
            return
        tail = os.pread(handle, LONGEST, max(0, status.st_size - LONGEST))
        whole = tail.rfind(b"\n") + 1
        torn = len(tail) - whole
        notes: list[str] = []
        if torn:
            # Never acknowledged: a line counts once it is on disk with its line feed.
            os.ftruncate(handle, status.st_size - torn)
            notes.append(body(moment(self.now()), {"what": "repaired", "bytes": torn}))
        lines = tail[:whole].splitlines()
        self._link, readable = self._last(lines)
        self._inode, self._size = status.st_ino, status.st_size - torn
        if (broken := self._disagreement(lines)) or not readable:
            say = broken or "its last line cannot be read"
            notes.append(body(moment(self.now()), {"what": "broken", "say": say}))
        if self._link == START and self._stored_head() is None:
            # A head of nothing: from now on one that is missing was taken away.
            self._sign()
        if notes:
            self._write(handle, notes)
            # The head is that of the log as it is now; what it was before stands in the line just written.
            self._sign()

    def _last(self, lines: Sequence[bytes]) -> tuple[Link, bool]:
        """Where the chain goes on, and whether the log's last line could be read."""
        if not lines:
            before = self.parts()[:-1]
            if not before:
                return START, True
            size = before[-1].stat().st_size
            with before[-1].open("rb") as file:
                file.seek(max(0, size - LONGEST))
                lines = file.read().splitlines()
        for at, line in enumerate(reversed(lines)):
            if sealed := unseal(line):
                return sealed.link, at == 0
        head = self._stored_head()
        return (head.link if head else START), False

    def _disagreement(self, lines: Sequence[bytes]) -> str:
        """What the signed head says otherwise, "" where it agrees: the log may have been cut while nobody wrote."""
        head = self._stored_head()
        if head is None or not head.valid:
            return "" if self._link == START else "the signed head was missing or false"
        if head.link.number > self._link.number:
            return f"it ended with line {self._link.number}, where line {head.link.number} had been signed"
        for line in lines:
            if (sealed := unseal(line)) and sealed.link.number == head.link.number and sealed.link != head.link:
                return f"line {head.link.number} is not the one that had been signed"
        return ""

    def _stored_head(self) -> Head | None:
        try:
            return self.head()
        except StoreError:
            return None

    def _write(self, handle: int, bodies: Sequence[str]) -> None:
        for start in range(0, len(bodies), 1000):
            handle = self._chunk(handle, bodies[start : start + 1000])

    def _chunk(self, handle: int, bodies: Sequence[str]) -> int:
        made, link = seal_all(bodies, self._link)
        data = "".join(made).encode()
        if self._size and self._size + len(data) > max(SMALLEST, self.most // PARTS):
            self._set_aside(handle)
            return self._chunk(handle, bodies)
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
        return handle

    def _set_aside(self, handle: int) -> None:
        with self.path.open("rb") as file:
            first = unseal(file.readline(LONGEST).rstrip(b"\n"))
        number = first.link.number if first else self._link.number
        self.path.rename(self.folder / f"audit-{number:012d}.jsonl")
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
        with going[-1].open("rb") as file:
            file.seek(max(0, sizes[going[-1]] - LONGEST))
            last = unseal(file.read().splitlines()[-1])
        if last is not None:
            entry = {"what": "discarded", "through": last.link.number, "through_hash": last.link.hash}
            self._chunk(handle, [body(moment(self.now()), entry)])
        for part in going:
            part.unlink()
        sync_folder(self.folder)

    def _sign(self) -> Head:
        if self._key is None:
            self._key = signing_key(self.data)
        head = sign(self._key, self._link, self.now())
        write_atomically(self.head_path, head.to_json().encode())
        return head


@frozen
class Verdict:
    """What a reading of the log found."""

    check: Check
    problems: tuple[str, ...]
    """What is wrong with the heads."""
    head: Head | None

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.check.faults and not self.problems

    @property
    def unsigned(self) -> int:
        """Lines after the signed head, which only their own chain holds."""
        last = self.check.last.number if self.check.last else 0
        return max(0, last - (self.head.link.number if self.head else 0))


def body(at: str, entry: Mapping[str, Any]) -> str:
    """An entry as members of a JSON object, its time first."""
    return f'"at":"{at}",' + json.dumps(entry, separators=(",", ":"))[1:-1]


def moment(when: float) -> str:
    """Unix seconds as RFC 3339 in UTC with milliseconds."""
    second = int(when)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + f".{int((when - second) * 1000):03d}Z"


def _lines(part: Path, size: int) -> Iterator[bytes]:
    with part.open("rb") as file:
        left = size
        while left > 0:
            line = file.readline(min(left, LONGEST))
            if not line:
                return
            left -= len(line)
            yield line.rstrip(b"\n")

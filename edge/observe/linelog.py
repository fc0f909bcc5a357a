"""A file of lines that requests add to without waiting: held in memory, written several times a second by a thread.

What cannot be written is kept up to `HELD` bytes, then counted as dropped: a full or hanging disk costs lines, never a
request. A line that was begun is finished where it broke off, so that no line is torn by a disk that was full for a while;
where its file was moved or cut off meanwhile, it is written anew.
"""

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from attrs import define, field, frozen
from twisted.logger import Logger

from edge.files import keep_owner, make_folder

HELD: Final = 8 * 2**20
"""The most bytes that wait to be written; about 10,000 requests."""
AT_ONCE: Final = 64 * 2**10
"""Bytes after which no more go into one write: what is larger than 128 KiB costs memory fresh from the kernel each time."""
_STAMP: Final = "%Y%m%dT%H%M%SZ"


@frozen
class Rotation:
    """When a file is set aside, and how many of those are kept."""

    size: int = 100 * 2**20
    """Bytes."""
    every: float | None = None
    """Seconds: at each full multiple since 1970, `24h` at midnight UTC."""
    keep: int | None = 5
    """None keeps all."""


@define(eq=False)
class LineLog:
    """`append` belongs to the reactor's thread, `flush` to the writer's; both end at once but for the disk."""

    path: Path
    rotation: Rotation = Rotation()
    now: Callable[[], float] = time.time
    held: int = HELD
    mode: int = 0o600
    dropped: int = 0
    """Lines that were given up."""
    problem: str = ""
    """Why the last writing failed, "" where it did not."""
    log: Logger = field(factory=lambda: Logger(namespace="aigate.log"), repr=False)
    _waiting: deque[str] = field(factory=deque, init=False, repr=False)
    """Lines, many or one at a time."""
    # Each counter has one thread that writes it, so that neither needs a lock.
    _taken: int = field(default=0, init=False)
    _popped: int = field(default=0, init=False)
    _done: int = field(default=0, init=False)
    _rest: bytes = field(default=b"", init=False, repr=False)
    """Lines that are to be written next."""
    _begun: int = field(default=0, init=False)
    """Bytes of them, of their first line, that stand in the file already."""
    _handle: int | None = field(default=None, init=False)
    _inode: int = field(default=0, init=False)
    _size: int = field(default=0, init=False)
    _period: int = field(default=0, init=False)
    _reopen: bool = field(default=False, init=False)
    _told: int = field(default=0, init=False)

    def append(self, line: str) -> None:
        """Take a line, which ends in a line feed and is ASCII."""
        length = len(line)
        if self._taken - self._done + length > self.held:
            self.dropped += 1
            return
        self._taken += length
        self._waiting.append(line)

    def extend(self, lines: Iterable[str]) -> None:
        """Take several. Where they come to an end with an error, those before it are taken."""
        made: list[str] = []
        try:
            made.extend(lines)
        finally:
            text = "".join(made)
            if self._taken - self._done + len(text) > self.held:
                for line in made:
                    self.append(line)
            elif made:
                self._taken += len(text)
                self._waiting.append(text)

    def reopen(self) -> None:
        """Another program has moved the file: the next line goes to a new one."""
        self._reopen = True

    def flush(self) -> None:
        """Write what is there. Never raises: what fails is said once, and tried again the next time."""
        if not self._waiting and not self._rest and not self._reopen:
            return
        try:
            self._write()
        except OSError as error:
            if not self.problem:
                self.log.error("{path}: cannot be written: {why}", path=self.path, why=error.strerror)
            self.problem = error.strerror or str(error)
            self.close()
        else:
            if self.problem:
                self.log.info("{path}: can be written again", path=self.path)
            self.problem = ""
        if self.dropped > self._told and not self.problem:
            self.log.warn("{path}: {count} lines were lost", path=self.path, count=self.dropped - self._told)
            self._told = self.dropped

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _write(self) -> None:
        waiting = self._waiting
        # Only what is there now: the other thread may go on adding.
        left = len(waiting)
        while True:
            text = ""
            while left and len(text) < AT_ONCE:
                text += waiting.popleft()
                left -= 1
            self._popped += len(text)
            self._rest += text.encode("ascii", "backslashreplace")
            handle = self._open(len(self._rest))
            while self._rest:
                written = os.write(handle, self._rest[self._begun :])
                self._size += written
                self._begun += written
                # A line that was begun is kept from its first byte, in case its file is taken away before it is whole.
                whole = self._rest.rfind(b"\n", 0, self._begun) + 1
                self._rest = self._rest[whole:]
                self._begun -= whole
            self._done = self._popped
            if not left:
                return

    def _open(self, coming: int) -> int:
        if self._reopen or self._moved():
            self._reopen = False
            self.close()
        if self._handle is None:
            self._make()
        every = self.rotation.every
        full = self._size + coming > self.rotation.size or (every and int(self.now() / every) != self._period)
        if full and self._size and self._ends_whole():
            self._rotate()
        assert self._handle is not None
        return self._handle

    def _ends_whole(self) -> bool:
        """Whether the file ends with a whole line; a torn one is finished before anything is set aside."""
        assert self._handle is not None
        return os.pread(self._handle, 1, self._size - 1) == b"\n"

    def _moved(self) -> bool:
        if self._handle is None:
            return False
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return True
        if status.st_ino != self._inode:
            return True
        self._measure(status)
        return False

    def _measure(self, status: os.stat_result) -> None:
        """Believe the file, not what was written to it: it may be another one, or have been cut off by copytruncate."""
        if status.st_ino != self._inode or status.st_size < self._size:
            self._begun = 0
        self._inode, self._size = status.st_ino, status.st_size

    def _make(self) -> None:
        make_folder(self.path.parent)
        handle = os.open(
            self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, self.mode
        )
        self._handle = handle
        status = os.fstat(handle)
        self._measure(status)
        if not status.st_size:
            keep_owner(self.path)
        every = self.rotation.every
        self._period = int((status.st_mtime if status.st_size else self.now()) / every) if every else 0

    def _rotate(self) -> None:
        stamp = f"{self.path.stem}-{time.strftime(_STAMP, time.gmtime(self.now()))}"
        same = [file for file in set_aside(self.path) if file.stem.startswith(stamp)]
        # Never a name from before the last: their order is that of the lines.
        number = f"-{int(same[-1].stem[len(stamp) :].strip('-') or 0) + 1:06d}" if same else ""
        aside = self.path.with_name(f"{stamp}{number}{self.path.suffix}")
        self.path.rename(aside)
        self.close()
        self._make()
        if self.rotation.keep is not None:
            for old in set_aside(self.path)[: -self.rotation.keep or None]:
                old.unlink(missing_ok=True)


def set_aside(path: Path) -> list[Path]:
    """The files that `path` was rotated to, oldest first."""
    shape = re.compile(re.escape(path.stem) + r"-\d{8}T\d{6}Z(?:-\d{6})?" + re.escape(path.suffix))
    return sorted(
        (file for file in path.parent.iterdir() if shape.fullmatch(file.name)),
        # A dot sorts after the dash of a second one in the same second.
        key=lambda file: file.stem,
    )

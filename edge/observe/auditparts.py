"""The files of the audit log: which there are, and where in them a line stands."""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

from edge.core.chain import START, Link, unseal

FILE: Final = "audit.jsonl"
"""The newest part."""
LONGEST: Final = 256 * 2**10
"""No line is longer; that of one change of a key has 64 KiB of rules twice at most."""
_PART: Final = re.compile(r"audit-\d{12}\.jsonl")
_BLOCK: Final = 64 * 2**10


def part_name(first: int) -> str:
    """The name of a part that was set aside, after the number of its first line."""
    return f"audit-{first:012d}.jsonl"


def parts(folder: Path) -> list[Path]:
    """The files of the log, oldest first."""
    if not folder.is_dir():
        return []
    aside = sorted(file for file in folder.iterdir() if _PART.fullmatch(file.name))
    newest = folder / FILE
    return [*aside, newest] if newest.exists() else aside


def lines(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The lines of the next `size` bytes of a file, each without its line feed; what is longer than any line comes in pieces."""
    left = size
    while left > 0:
        line = file.readline(min(left, LONGEST))
        if not line:
            return
        left -= len(line)
        yield line.rstrip(b"\n")


def last_place(handle: int, what: bytes, end: int) -> int:
    """Where `what` stands last before the byte `end` of an open file, -1 where it does not."""
    while end > 0:
        begin = max(0, end - _BLOCK)
        at = os.pread(handle, end - begin, begin).rfind(what)
        if at >= 0:
            return begin + at
        # So far that one which lies across the border is found whole.
        end = begin + len(what) - 1 if begin else 0
    return -1


def end_of(files: Sequence[Path]) -> tuple[Link, bool]:
    """The last line that can be read, START where there is none; and whether it is the very last."""
    readable = True
    for file in reversed(files):
        with file.open("rb") as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - LONGEST))
            for line in reversed(opened.read(LONGEST).splitlines()):
                if sealed := unseal(line):
                    return sealed.link, readable
                readable = False
    return START, readable


def first_of(files: Sequence[Path]) -> int:
    """The number of the first line, 0 where it cannot be read."""
    for file in files[:1]:
        with file.open("rb") as opened:
            if sealed := unseal(opened.readline(LONGEST)):
                return sealed.link.number
    return 0


def lines_after(files: Sequence[Path], link: Link) -> Iterator[bytes] | None:
    """The lines after that of `link`, None where the log does not hold just that line."""
    if link == START:
        return chain.from_iterable(_from(file, 0) for file in files)
    for at in reversed(range(len(files))):
        first = first_of(files[at:])
        if first > link.number:
            continue
        place = _end_of_line(files[at], link)
        if place >= 0:
            return chain(_from(files[at], place), chain.from_iterable(_from(file, 0) for file in files[at + 1 :]))
        if first:
            return None
    return None


def _from(file: Path, place: int) -> Iterator[bytes]:
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(place)
        yield from lines(opened, size - place)


def _end_of_line(file: Path, link: Link) -> int:
    """The byte after the line of `link`, -1 where it is not in this file."""
    end = f'"hash":"{link.hash}"}}\n'.encode()
    with file.open("rb") as opened:
        handle = opened.fileno()
        at = last_place(handle, end, opened.seek(0, os.SEEK_END))
        if at < 0:
            return -1
        begin = last_place(handle, b"\n", at) + 1
        after = at + len(end)
        if after - begin > LONGEST:
            return -1
        sealed = unseal(os.pread(handle, after - 1 - begin, begin))
    return after if sealed and sealed.honest and sealed.link == link else -1

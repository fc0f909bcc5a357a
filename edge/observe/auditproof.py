"""Is the audit log whole? What a reading of it from its first line to its last, and of its heads, comes to."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from edge.core.chain import Check
from edge.errors import StoreError
from edge.observe.auditparts import lines
from edge.observe.heads import KEY, Head, public_of, stored_key


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


@frozen
class Reading:
    """The log as it was at one moment: opened under its lock, it stays so whatever is set aside or let go meanwhile."""

    parts: Sequence[tuple[BinaryIO, int]]
    """Each part, oldest first, and how many bytes of it there were."""
    head: Head | None
    key: str
    """The public key that the head must be signed with, "" where there is none."""
    trouble: str
    """Why the key cannot be read, "" where it can or where there is none."""


def key_of(data: Path) -> tuple[str, str]:
    """The `key` and the `trouble` of a reading."""
    try:
        key = stored_key(data)
    except StoreError as error:
        return "", str(error)
    return ("" if key is None else public_of(key)), ""


def judge(reading: Reading, heads: Iterable[Head]) -> Verdict:
    """Read the whole log and judge it, by its own head and by `heads` that were kept elsewhere. Raises OSError."""
    own = reading.head
    problems = [f"{reading.trouble}; whether the head is ours cannot be told"] if reading.trouble else []
    if own is None and (reading.parts or reading.key or reading.trouble):
        problems.append("audit.head is missing: nothing says which line was the last")
    known: dict[int, str] = {}
    if own is not None and reading.key not in ("", own.key):
        problems.append(f"the head was signed with another key than {KEY}")
    for head in (*heads, *((own,) if own else ())):
        if not head.valid:
            problems.append(f"{'the head' if head is own else 'a head kept elsewhere'} is not rightly signed")
        elif own is not None and head.key != own.key:
            problems.append(f"a head kept elsewhere, of line {head.link.number}, was signed with another key")
        if known.setdefault(head.link.number, head.link.hash) != head.link.hash:
            problems.append(f"two heads say different things of line {head.link.number}")
    made = Check(known)
    for file, size in reading.parts:
        name = Path(file.name).name
        for number, line in enumerate(lines(file, size), 1):
            made.feed(f"{name}:{number}", line)
    made.finish()
    return Verdict(made, tuple(problems), own)

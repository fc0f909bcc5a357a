"""What whoever is about to write finds wrong with the audit log: by its head, and by what is remembered of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.core.chain import START, Link, unseal
from edge.observe.auditparts import first_of, lines_after
from edge.observe.heads import KEY, Head, bears_mark, public_of

MARKED: Final = ("key", "discarded", "repaired", "broken")
"""What lines say that are marked whoever writes them."""


@frozen
class Known:
    """What a writer knows of the log before it looks."""

    head: Head | None
    """The head as it lies there, None also where it cannot be read."""
    key: Ed25519PrivateKey | None
    new: bool
    """Whether there is no key yet, rather than one that cannot be read."""
    last: Link
    """The last line that was there the last time, START where nobody has looked."""
    alone: bool
    """Whether every line since then must bear a mark, since only this writer leaves lines unsigned for a while."""


def doubt(files: Sequence[Path], last: Link, known: Known) -> str:
    """What speaks against the log of `files` that ends with `last`, "" where nothing does. Raises OSError.

    Attempts after the head that nobody remembers are believed: a gate that was killed leaves them.
    """
    head = known.head
    if head is not None and (not head.valid or (known.key is not None and head.key != public_of(known.key))):
        head = None
    if head is not None:
        say = _by_head(files, last, head, known.key)
    else:
        # The first head is made before the key.
        say = "" if known.new else "the signed head was missing or false"
    return say or ("" if known.last == START else _by_memory(files, head, known))


def _by_head(files: Sequence[Path], last: Link, head: Head, key: Ed25519PrivateKey | None) -> str:
    since = lines_after(files, head.link)
    if since is not None:
        return _put_in(filter(_not_of_a_gate, since), key)
    if head.link.number > last.number:
        return f"it ended with line {last.number}, where line {head.link.number} had been signed"
    return f"line {head.link.number}, which had been signed, was gone or another one"


def _by_memory(files: Sequence[Path], head: Head | None, known: Known) -> str:
    since = lines_after(files, known.last)
    if since is None and head is not None and known.last.number < min(first_of(files), head.link.number):
        # Let go by another writer, which signed that.
        since = lines_after(files, head.link)
    if since is None:
        return f"line {known.last.number}, which had been written, was gone or another one"
    return _put_in(since, known.key) if known.alone else ""


def _put_in(lines: Iterable[bytes], key: Ed25519PrivateKey | None) -> str:
    """The first line without a mark. Where the key cannot be read, nobody can tell."""
    if key is None:
        return ""
    for line in lines:
        if not bears_mark(key, line):
            found = unseal(line)
            which = f"line {found.link.number}" if found else "something"
            return f"{which} was put in by somebody who had not {KEY}"
    return ""


def _not_of_a_gate(line: bytes) -> bool:
    """Whether it is of a kind that always bears a mark, so that no gate that was killed has left it."""
    if b"\\" not in line and line.count(b'"what"') == 1 and b'"what":"attempt"' in line:
        # Most are, and a gate that could not sign for long leaves millions: too many to be read.
        return False
    found = unseal(line)
    return found is not None and found.entry.get("what") in MARKED

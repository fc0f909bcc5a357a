"""The fields of one message in parts: a block that is the same for many messages, and what is added for this one."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, cast

from edge.core.headers import Pair

_colon: Final = b": ".join


class Block:
    """Fields that are sent again and again, with their lines as HTTP/1.1 writes them."""

    __slots__ = ("checked", "dated", "lines", "notes", "pairs")

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.pairs = tuple(pairs)
        self.lines = lines(self.pairs)
        self.dated = dated(self.pairs)
        self.checked = False
        """Whether whoever sends them has found that they can be."""
        self.notes: dict[Any, Any] = {}
        """As `Fields.notes`: what was worked out of them, by whoever did."""


class Batch:
    """The fields of one message, the block's first."""

    __slots__ = ("block", "own", "rest")

    def __init__(self, block: Block, rest: Sequence[Pair], own: bytes = b"") -> None:
        self.block = block
        self.rest = rest
        self.own = own
        """The lines of what the gate says of every answer, between the block and the rest."""

    def __iter__(self) -> Iterator[Pair]:
        return chain(self.block.pairs, split(self.own), self.rest)

    def __len__(self) -> int:
        return len(self.block.pairs) + self.own.count(b"\n") + len(self.rest)


def dated(pairs: Iterable[Pair]) -> bool:
    """Whether one of these fields is a Date."""
    if type(pairs) is Batch:
        return pairs.block.dated
    return any(name.lower() == b"date" for name, _ in pairs)


def lines(pairs: Iterable[Pair]) -> bytes:
    """Fields as HTTP/1.1 writes them, each line with its end; b"" for none."""
    joined = b"\r\n".join(map(_colon, pairs))
    return joined + b"\r\n" if joined else b""


def split(written: bytes) -> list[Pair]:
    """The fields that `lines` wrote."""
    return cast("list[Pair]", [tuple(line.split(b": ", 1)) for line in written.split(b"\r\n")[:-1]])

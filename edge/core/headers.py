"""Header fields as they came: order, case and repetition kept, looked up by lower-case name."""

from collections.abc import Iterable, Iterator
from typing import Any

Pair = tuple[bytes, bytes]


class Fields:
    """The fields of one head.

    `pairs` are (name, value) as received, values without surrounding white space; `lows` are the lower-case names at
    the same positions. Both are read-only by agreement: a head is judged once and never changed.

    A head that comes again on its connection is the same object, so that what was worked out of it need not be again:
    `notes` is for that, by whoever worked it out. Whatever else it depends on is to be noted, and compared, beside it.
    """

    __slots__ = ("lows", "notes", "pairs")

    def __init__(self, pairs: list[Pair], lows: list[bytes] | None = None) -> None:
        self.pairs = pairs
        self.lows = [name.lower() for name, _ in pairs] if lows is None else lows
        self.notes: dict[Any, Any] = {}

    def get(self, low: bytes) -> bytes | None:
        """The first value under a lower-case name, or None."""
        lows = self.lows
        return self.pairs[lows.index(low)][1] if low in lows else None

    def all(self, low: bytes) -> list[bytes]:
        """Every value under a lower-case name, in order."""
        lows = self.lows
        if low not in lows:
            return []
        at = lows.index(low)
        if low not in lows[at + 1 :]:
            return [self.pairs[at][1]]
        return [pair[1] for pair, name in zip(self.pairs, self.lows, strict=True) if name == low]

    def joined(self, low: bytes) -> bytes | None:
        """All lines of a field as the one value that they mean together (RFC 9110 5.3), or None."""
        return b", ".join(self.all(low)) if low in self.lows else None

    def listed(self, low: bytes) -> list[bytes]:
        """The members of a comma-separated list field over all its lines, stripped, empty ones dropped (RFC 9110 5.6.1)."""
        return [part for value in self.all(low) for raw in value.split(b",") if (part := raw.strip(b" \t"))]

    def without(self, names: frozenset[bytes]) -> list[Pair]:
        """The pairs whose lower-case name is not in `names`."""
        return [pair for pair, low in zip(self.pairs, self.lows, strict=True) if low not in names]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __contains__(self, low: object) -> bool:
        return low in self.lows


def fields(pairs: Iterable[tuple[bytes | str, bytes | str]]) -> Fields:
    """Fields from names and values given as bytes or str (latin-1): for tests and cold paths."""

    def raw(value: bytes | str) -> bytes:
        return value.encode("latin-1") if isinstance(value, str) else value

    return Fields([(raw(name), raw(value)) for name, value in pairs])

"""An index over one reading of the export: digest → line, id → line; a line is parsed when its key is first used."""

from collections.abc import Generator
from typing import Final

from attrs import define, field

from edge.core.digests import Digest
from edge.core.keys import Key
from edge.errors import StoreError
from edge.stores import export

PARSED: Final = 20_000
"""The most parsed keys that are kept, about 40 MB; a further one takes the place of the first."""
SLICE: Final = 1000
"""Lines between two breaths of whoever builds or takes down a table: two or three milliseconds."""

Slices = Generator[None, None, None]


@define
class Table:
    """The keys of one export. `data` are its bytes; offsets into it stand for keys."""

    generation: int
    sum: str = ""
    data: bytes = field(default=b"", repr=False)
    digests: tuple[Digest, ...] = ()
    """One for each live pepper that its keys were made with, the current one first."""
    by_digest: dict[bytes, int] = field(factory=dict, repr=False)
    by_id: dict[bytes, int] = field(factory=dict, repr=False)
    _parsed: dict[int, Key] = field(factory=dict, init=False, repr=False)

    def index(self, start: int, count: int, before: "Table", changed: set[str]) -> Slices:
        """Fill the index from `data`, which begins at `start`; into `changed` go the ids of `before` that are different now or gone.

        Yields after every slice. Raises StoreError, and is of no use then, where a line has not its form or the count
        is not as announced.
        """
        by_digest, by_id, data = self.by_digest, self.by_id, self.data
        old_ids, old_data = before.by_id, before.data
        number = 0
        for number, (offset, digest, _, key_id, end) in enumerate(export.entries(data, start), 1):
            by_digest[digest] = by_id[key_id] = offset
            old = old_ids.get(key_id)
            # Lines end with a newline, so equal lengths of bytes at the old place mean an equal line.
            if old is not None and old_data[old : old + end - offset] != data[offset:end]:
                changed.add(key_id.decode())
            if number % SLICE == 0:
                yield
        if not number == count == len(by_id) == len(by_digest):
            raise StoreError(f"{export.FILE}: holds {number} keys and announces {count}, or names one twice")
        for number, key_id in enumerate(list(old_ids), 1):
            if key_id not in by_id:
                changed.add(key_id.decode())
            if number % SLICE == 0:
                yield

    def take_down(self) -> Slices:
        """Let a table that is no longer used go piece by piece: all at once would take tens of milliseconds."""
        for table in (self.by_digest, self.by_id, self._parsed):
            while table:
                for _ in range(min(SLICE, len(table))):
                    table.popitem()
                yield

    def key(self, offset: int) -> Key:
        """The key of a line. Raises StoreError where it cannot be understood."""
        key = self._parsed.get(offset)
        if key is None:
            key = export.parse(self.data, offset)
            if len(self._parsed) >= PARSED:
                del self._parsed[next(iter(self._parsed))]
            self._parsed[offset] = key
        return key

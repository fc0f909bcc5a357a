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
SLICE: Final = 500
"""Lines between two breaths of whoever builds or takes down a table: one or two milliseconds."""
SHARDS: Final = 64
"""An index is so many small dicts: one large one would copy all its entries at once whenever it grows."""

Slices = Generator[None, None, None]
Index = tuple[dict[bytes, int], ...]


def _index() -> Index:
    return tuple({} for _ in range(SHARDS))


def _by_id(key_id: bytes) -> int:
    return (key_id[-1] * 7 + key_id[-2]) % SHARDS


@define
class Table:
    """The keys of one export. `data` are its bytes; offsets into it stand for keys."""

    generation: int
    sum: str = ""
    data: bytes = field(default=b"", repr=False)
    digests: tuple[Digest, ...] = ()
    """One for each live pepper that its keys were made with, the current one first."""
    count: int = field(default=0, init=False)
    _digests: Index = field(factory=_index, init=False, repr=False)
    _ids: Index = field(factory=_index, init=False, repr=False)
    _parsed: dict[int, Key] = field(factory=dict, init=False, repr=False)

    def of_digest(self, digest: bytes) -> int | None:
        """The offset of the key with a digest."""
        return self._digests[digest[0] % SHARDS].get(digest)

    def of_id(self, key_id: bytes) -> int | None:
        """The offset of the key with an id."""
        return self._ids[_by_id(key_id)].get(key_id) if len(key_id) > 1 else None

    def key(self, offset: int) -> Key:
        """The key of a line. Raises StoreError where it cannot be understood."""
        key = self._parsed.get(offset)
        if key is None:
            key = export.parse(self.data, offset)
            if len(self._parsed) >= PARSED:
                del self._parsed[next(iter(self._parsed))]
            self._parsed[offset] = key
        return key

    def index(self, start: int, count: int, before: "Table", changed: set[str]) -> Slices:
        """Fill the index from `data`, which begins at `start`; into `changed` go the ids of `before` that are different now or gone.

        Yields after every slice. Raises StoreError, and is of no use then, where a line has not its form or the count
        is not as announced.
        """
        digests, ids, data = self._digests, self._ids, self.data
        old_data = before.data
        number = 0
        for number, (offset, digest, _, key_id, end) in enumerate(export.entries(data, start), 1):
            digests[digest[0] % SHARDS][digest] = ids[_by_id(key_id)][key_id] = offset
            old = before.of_id(key_id)
            # Lines end with a newline, so equal lengths of bytes at the old place mean an equal line.
            if old is not None and old_data[old : old + end - offset] != data[offset:end]:
                changed.add(key_id.decode())
            if number % SLICE == 0:
                yield
        if not number == count == sum(map(len, ids)) == sum(map(len, digests)):
            raise StoreError(f"{export.FILE}: holds {number} keys and announces {count}, or names one twice")
        self.count = count
        for shard, old_ids in zip(ids, before._ids, strict=True):
            changed.update(key_id.decode() for key_id in old_ids if key_id not in shard)
            yield

    def take_down(self) -> Slices:
        """Let a table that is no longer used go piece by piece: all at once would take tens of milliseconds."""
        for shard in (*self._digests, *self._ids):
            shard.clear()
            yield
        while self._parsed:
            for _ in range(min(SLICE, len(self._parsed))):
                self._parsed.popitem()
            yield

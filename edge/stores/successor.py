"""`POST /rotate`: a key fetches its own successor, once, in its last days."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from edge.core.keyrecord import HistoryEntry
from edge.core.keys import Key
from edge.core.refusal import Refusal
from edge.core.rotation import GRACE, may_rotate
from edge.errors import StoreError
from edge.stores.keyring import Keyring, Made, RotatedError
from edge.stores.sqlite import SqliteKeyRecord

DONE: Final = Refusal("path-not-allowed", "This key has fetched its successor already.", retry=False)
DOUBT: Final = Refusal("store-unavailable", "Keys cannot be changed at the moment.", retry_after=5.0)


@frozen
class Successors:
    """Makes successors on record. `in_thread(function, *args)` runs it in a thread and gives a Deferred, since the disk is slow."""

    folder: Path
    environ: Mapping[str, str]
    in_thread: Callable[..., Deferred[Any]]
    now: Callable[[], float]
    audit: Callable[[Sequence[HistoryEntry]], None] | None = None
    """Told of each successor before it counts."""
    log: ClassVar[Logger] = Logger()

    async def fetch(self, key: Key) -> tuple[Key, str] | Refusal:
        """The successor of `key` with its secret, or why there is none. The record has the last word: of two that ask at once, one gets it."""
        refusal = may_rotate(key, self.now())
        if refusal is not None:
            return refusal
        try:
            made: Made | Refusal = await self.in_thread(self._rotate, key.id)
        except StoreError as error:
            self.log.error("Key {key} could not get its successor: {error}", key=key.id, error=str(error))
            return DOUBT
        return made if isinstance(made, Refusal) else (made.record.key, made.secret)

    def _rotate(self, key_id: str) -> Made | Refusal:
        record = SqliteKeyRecord(self.folder, self.environ, self.now, self.audit)
        try:
            current = record.get(key_id)
            if current is None or current.replaced_by:
                return DONE
            refusal = may_rotate(current.key, self.now())
            if refusal is not None:
                return refusal
            try:
                return Keyring(record, f"key:{key_id}").rotate([current], GRACE)[0]
            except (ValueError, RotatedError):
                # Switched off since it was let in, or another that asked at once was first.
                return DONE
        finally:
            record.close()

"""Changes of keys on the audit log: on disk before the change itself counts."""

from collections.abc import Callable, Sequence
from pathlib import Path

from edge.core.keyrecord import HistoryEntry
from edge.observe.audit import AuditTrail


def key_changes(
    data: Path, most: int, warn: Callable[[str], object] | None = None
) -> Callable[[Sequence[HistoryEntry]], None]:
    """A function that puts changes on the audit log of a data folder, of which all together may take `most` bytes.

    It raises StoreError where it cannot; `warn` is told in a line where they are on record, but cannot be signed.
    """
    trail = AuditTrail(data, most)

    def note(entries: Sequence[HistoryEntry]) -> None:
        trail.record(
            *(
                {
                    "what": "key",
                    "action": each.action,
                    "key": each.key,
                    "by": each.by,
                    "detail": dict(each.detail),
                    "generation": each.generation,
                }
                for each in entries
            )
        )
        if trail.unsigned and warn is not None:
            warn(f"{trail.unsigned}; the change is on the audit log without a signature")

    return note

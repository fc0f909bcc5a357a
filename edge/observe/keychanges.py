"""Changes of keys on the audit log: on disk before the change itself counts."""

from collections.abc import Callable, Sequence
from pathlib import Path

from edge.core.keyrecord import HistoryEntry
from edge.observe.audit import AuditTrail


def key_changes(data: Path, most: int) -> Callable[[Sequence[HistoryEntry]], None]:
    """A function that puts changes on the audit log of a data folder, of which all together may take `most` bytes.

    It raises StoreError where it cannot.
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

    return note

"""Everything that is on record of a key, beside its rules; and one line of its history."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from edge.core.keyrules import to_rules
from edge.core.keys import Key
from edge.core.times import stamp


@frozen(kw_only=True)
class KeyRecord:
    """A key and where it comes from. Times are Unix seconds. The secret is nowhere."""

    key: Key
    description: str = ""
    created: float
    created_by: str = ""
    origin: str = "created"
    """created · rotated · imported · first"""
    replaces: str = ""
    """The id of the key that this one is the successor of."""
    replaced_by: str = ""
    weak: str = ""
    """Why an imported key is easy to guess, "" where it is not known to be."""
    pepper: int = 0
    """The number of the pepper that its digest was made with."""
    changed: float = 0.0

    @property
    def id(self) -> str:
        return self.key.id

    def to_json(self) -> dict[str, Any]:
        """What `--json` shows: rules with times as RFC 3339, then what is known besides."""
        rules = {**to_rules(self.key), "disabled": self.key.disabled}
        for name in ("not_before", "expires"):
            rules[name] = stamp(rules.get(name))
        return {
            "id": self.id,
            **rules,
            "description": self.description,
            "created": stamp(self.created),
            "created_by": self.created_by,
            "origin": self.origin,
            "replaces": self.replaces or None,
            "replaced_by": self.replaced_by or None,
            "weak": self.weak or None,
        }


@frozen(kw_only=True)
class NewKey:
    """A key to be put on record, with its secret, which goes no further than its digest."""

    record: KeyRecord
    secret: bytes = field(repr=False)


@frozen(kw_only=True)
class HistoryEntry:
    """One change of one key."""

    at: float
    key: str
    action: str
    """created · imported · rotated · edited · disabled · enabled · expiry · deleted · repeppered"""
    by: str
    detail: Mapping[str, Any]
    generation: int

    def to_json(self) -> dict[str, Any]:
        return {
            "at": stamp(self.at),
            "key": self.key,
            "action": self.action,
            "by": self.by,
            "detail": dict(self.detail),
            "generation": self.generation,
        }

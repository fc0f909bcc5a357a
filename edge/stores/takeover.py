"""Taking over simple keys: first a plan, then one change; however often it runs, each key comes in once."""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any, Final

from attrs import evolve, field, frozen

from edge.core.keydraft import blank, redrafted
from edge.core.keyrecord import KeyRecord, NewKey
from edge.core.keys import Key
from edge.core.oldkeys import OldKey, OldKeys
from edge.core.rules import ended
from edge.core.times import stamp
from edge.stores.keyring import Keyring

NEW: Final = "new"
KNOWN: Final = "known"
DELETED: Final = "deleted"
SKIPPED: Final = "skipped"


@frozen
class Step:
    """What becomes of one key of the file; the key itself is not in it."""

    place: str
    verdict: str
    """new · known · deleted · skipped"""
    words: str = ""
    key: Key | None = None
    description: str = ""
    weak: str = ""
    ignored: tuple[str, ...] = ()
    secret: bytes = field(default=b"", repr=False)

    def to_json(self) -> dict[str, Any]:
        rules = (
            {"user": self.key.user, "services": sorted(self.key.services), "expires": stamp(self.key.expires)}
            if self.key
            else {}
        )
        return {
            "place": self.place,
            "verdict": self.verdict,
            "words": self.words or None,
            **rules,
            "weak": self.weak or None,
            "ignored": list(self.ignored),
        }


def plan(ring: Keyring, old: OldKeys, defaults: Mapping[str, Any], weak_end: float | None = None) -> list[Step]:
    """What an import would do. `defaults` are rules for what the file leaves open; weak keys end at `weak_end` at the latest."""
    now = ring.record.clock()
    return [_step(ring, each, defaults, weak_end, now) for each in old.keys]


def carry_out(ring: Keyring, steps: list[Step]) -> list[KeyRecord]:
    """Put the new keys of a plan on record, all or none; what came on record meanwhile stops it."""
    now, taken = ring.record.clock(), ring.record.ids()
    records = []
    with ring.record.change(ring.by) as changes:
        for step in steps:
            if step.verdict != NEW or step.key is None:
                continue
            while (key_id := token_hex(4)) in taken:
                pass
            taken.add(key_id)
            record = KeyRecord(
                key=evolve(step.key, id=key_id),
                description=step.description,
                created=now,
                created_by=ring.by,
                origin="imported",
                weak=step.weak,
            )
            records.append(changes.add(NewKey(record=record, secret=step.secret)))
    return records


def _step(ring: Keyring, old: OldKey, defaults: Mapping[str, Any], weak_end: float | None, now: float) -> Step:
    if old.problem:
        return Step(old.place, SKIPPED, old.problem)
    secret = old.secret.encode()
    if known := ring.record.known(secret) if ring.record.exists else None:
        if known.deleted:
            return Step(old.place, DELETED, f"was deleted here as {known.key}, and is not brought back")
        return Step(old.place, KNOWN, f"is {known.key} already")
    raw = {**old.raw, **{name: value for name, value in defaults.items() if name not in old.raw or _open(name, old)}}
    try:
        key = redrafted(blank("00000000"), raw, now, ring.zone)
    except ValueError as error:
        return Step(old.place, SKIPPED, str(error).replace("\n", "; "))
    if old.disabled:
        key = evolve(key, disabled=True)
    if old.weak and weak_end is not None and (key.expires is None or key.expires > weak_end):
        key = evolve(key, expires=weak_end)
    words = "is switched off or over already" if ended(key, now) else ""
    return Step(old.place, NEW, words, key, old.description, old.weak, old.ignored, secret)


def _open(name: str, old: OldKey) -> bool:
    # '*' is what an old key gets that names no service: an option of the command says it better.
    return name == "service" and old.raw.get("service") == ["*"]

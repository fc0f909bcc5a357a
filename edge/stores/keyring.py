"""What can be done to keys, each as one change on record: for the command line, the menu, the first start and `/rotate`."""

from collections.abc import Callable, Iterable, Sequence
from secrets import token_hex
from typing import Final
from uuid import uuid4

from attrs import evolve, field, frozen

from edge.core.keydraft import Raw, blank, redrafted
from edge.core.keyrecord import KeyRecord, NewKey
from edge.core.keys import Key
from edge.core.rotation import GRACE, succession
from edge.core.secrets import mint
from edge.errors import StoreError
from edge.stores.sqlite import SqliteKeyRecord

MOST_AT_ONCE: Final = 100_000
"""The most keys that one command makes."""


class RotatedError(StoreError):
    """A key that has its successor already."""


@frozen
class Made:
    """A new key and its secret, for the one time that it is shown."""

    record: KeyRecord
    secret: str = field(repr=False)
    before: KeyRecord | None = None
    """The key that it is the successor of, as that was."""


@frozen
class Keyring:
    """Keys on record, changed in somebody's name (`cli:alice`). Methods raise StoreError, and ValueError for rules that cannot be."""

    record: SqliteKeyRecord
    by: str
    zone: str = "UTC"
    """The time zone of hours that come without one."""

    def pick(self, start: str) -> KeyRecord:
        """The one key whose id begins with `start`; a whole key of ours is refused, since it does not belong in a command."""
        start = start.strip().lower()
        if len(start) > 8:
            raise StoreError("that is no key id; an id has 8 hex digits, the ones after aig_")
        found = self.record.find(prefix=start) if start else []
        if not found:
            raise StoreError(f"no key has an id that begins with {start!r}; `aigate keys list` shows them")
        if len(found) > 1:
            told = ", ".join(record.id for record in found[:5])
            raise StoreError(
                f"{start!r} is the beginning of {len(found)} ids ({told}{', …' if len(found) > 5 else ''}); say more of it"
            )
        return found[0]

    def of(self, user: str) -> list[KeyRecord]:
        """All keys of a person; StoreError where there are none."""
        if found := self.record.find(user=user):
            return found
        raise StoreError(f"{user!r} has no keys; `aigate keys list` shows whose there are")

    def create(self, raw: Raw, description: str = "", *, origin: str = "created") -> Made:
        """Make one key with rules as `edge.core.keydraft` reads them."""
        return self.create_all([(raw, description)], origin=origin)[0]

    def create_all(self, drafts: Sequence[tuple[Raw, str]], *, origin: str = "created") -> list[Made]:
        """Make keys, all or none."""
        now, taken = self.record.clock(), self.record.ids()
        keys = [(redrafted(blank(_fresh(taken)), raw, now, self.zone), description) for raw, description in drafts]
        made = [
            Made(
                KeyRecord(key=key, description=described(text), created=now, created_by=self.by, origin=origin),
                mint(key.id, uuid4()),
            )
            for key, text in keys
        ]
        with self.record.change(self.by) as changes:
            return [Made(changes.add(_new(each)), each.secret) for each in made]

    def edit(self, records: Iterable[KeyRecord], raw: Raw, description: str | None = None) -> list[KeyRecord]:
        """Change the rules of keys, and what is said about them."""
        now = self.record.clock()
        about = {} if description is None else {"description": described(description)}
        return self._each(records, lambda key: redrafted(key, raw, now, self.zone), "edited", **about)

    def disable(self, records: Iterable[KeyRecord]) -> list[KeyRecord]:
        """Switch keys off; what they have open ends within a second."""
        return self._each(records, lambda key: evolve(key, disabled=True), "disabled")

    def enable(self, records: Iterable[KeyRecord]) -> list[KeyRecord]:
        """Switch keys on again."""
        return self._each(records, lambda key: evolve(key, disabled=False), "enabled")

    def expire(self, records: Iterable[KeyRecord], at: float | None) -> list[KeyRecord]:
        """Set when keys end (Unix seconds), or that they do not."""
        return self._each(records, lambda key: evolve(key, expires=at), "expiry")

    def delete(self, records: Iterable[KeyRecord]) -> list[KeyRecord]:
        """Take keys off the record for good; their history stays."""
        with self.record.change(self.by) as changes:
            return [changes.delete(record.id) for record in records]

    def rotate(self, records: Iterable[KeyRecord], grace: float = GRACE, *, lost: bool = False) -> list[Made]:
        """Give keys successors, once each; the old ones live on for `grace` seconds at most.

        With `lost`, keys that are switched off have successors too, which are on.
        """
        taken, made = self.record.ids(), []
        with self.record.change(self.by) as changes:
            now = self.record.clock()
            for record in records:
                current = changes.get(record.id)
                if current.replaced_by:
                    raise RotatedError(f"key {current.id} was rotated already; its successor is {current.replaced_by}")
                off = current.key.disabled
                key, old = succession(evolve(current.key, disabled=off and not lost), _fresh(taken), now, grace)
                successor = Made(
                    evolve(
                        current, key=key, created=now, created_by=self.by, origin="rotated", replaces=current.id, weak="",
                    ),
                    mint(key.id, uuid4()),
                )  # fmt: skip
                made.append(Made(changes.add(_new(successor)), successor.secret, current))
                changes.edit(evolve(old, disabled=off), "rotated", replaced_by=key.id)
        return made

    def take_back(self, made: Iterable[Made]) -> None:
        """Delete new keys that nobody saw; what they were to replace has its old end again, and no successor."""
        with self.record.change(self.by) as changes:
            for each in made:
                changes.delete(each.record.id)
                if each.before is not None:
                    old = changes.get(each.before.id).key
                    changes.edit(evolve(old, expires=each.before.key.expires), replaced_by="")

    def _each(
        self, records: Iterable[KeyRecord], change: Callable[[Key], Key], action: str, **about: str
    ) -> list[KeyRecord]:
        # The rules are read again inside: another command may have changed them since.
        with self.record.change(self.by) as changes:
            return [changes.edit(change(changes.get(record.id).key), action, **about) for record in records]


def described(text: str) -> str:
    """A description: up to 200 printable characters. Raises ValueError."""
    if len(text) > 200 or not text.isprintable():
        raise ValueError("--description: up to 200 printable characters")
    return text


def _new(made: Made) -> NewKey:
    return NewKey(record=made.record, secret=made.secret.encode())


def _fresh(taken: set[str]) -> str:
    while (key_id := token_hex(4)) in taken:
        pass
    taken.add(key_id)
    return key_id

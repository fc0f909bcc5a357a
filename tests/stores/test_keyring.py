"""What can be done to keys, each as one change."""

from pathlib import Path

import pytest

from edge.stores.keyring import Keyring
from edge.stores.sqlite import SqliteKeyRecord


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring(SqliteKeyRecord(tmp_path, {}, lambda: 1000.0), "test")


def test_a_lost_key_that_is_switched_off_stays_so_and_has_a_successor_that_is_on(ring: Keyring) -> None:
    lost = ring.create({"user": "alice", "service": "chat", "model": "gemma*"}).record
    (off,) = ring.disable([lost])
    with pytest.raises(ValueError, match="switched off"):
        ring.rotate([off])
    (made,) = ring.rotate([off], 0.0, lost=True)
    assert (made.record.key.disabled, made.record.key.models, made.record.replaces) == (False, ("gemma*",), lost.id)
    old = ring.pick(lost.id)
    assert (old.key.disabled, old.key.expires, old.replaced_by) == (True, 1000.0, made.record.id)


def test_keys_that_are_taken_back_are_gone_and_what_they_were_to_replace_is_as_before(ring: Keyring) -> None:
    ring.take_back([ring.create({"user": "alice", "service": "chat"})])
    assert ring.record.count() == 0
    first, second = (ring.create({"user": "bob", "service": "chat", "expires": at}).record for at in ("9d", "never"))
    ring.take_back(ring.rotate([first, second]))
    assert {(each.id, each.key, each.replaced_by) for each in ring.record.find()} == {
        (first.id, first.key, ""),
        (second.id, second.key, ""),
    }
    assert len(ring.rotate([first, second])) == 2

"""The record of keys: whole changes, their history, and nothing lost."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy2

import pytest
from attrs import evolve

from edge.core.keyrecord import KeyRecord, NewKey
from edge.errors import StoreError
from edge.stores import changes as of_change
from edge.stores import export, sqlite
from edge.stores.keyring import Keyring
from edge.stores.sqlite import SqliteKeyRecord
from edge.testing import key, secret


@pytest.fixture
def record(tmp_path: Path) -> SqliteKeyRecord:
    return SqliteKeyRecord(tmp_path, {}, lambda: 1000.0)


def add(record: SqliteKeyRecord, key_id: str = "0badcafe", shown: str | None = None, user: str = "alice") -> str:
    shown = shown or secret(key_id)
    with record.change("test") as changes:
        made = KeyRecord(key=key(key_id, user), created=1.0, description="phone")
        changes.add(NewKey(record=made, secret=shown.encode()))
    return shown


def test_what_is_on_record_is_found(record: SqliteKeyRecord) -> None:
    shown = add(record)
    add(record, "0bad0000", user="bob")
    found = record.get("0badcafe")
    assert found is not None
    assert (found.key, found.description, found.pepper) == (key(), "phone", 1)
    assert [each.id for each in record.find(prefix="0bad")] == ["0bad0000", "0badcafe"]
    assert [each.id for each in record.find(user="bob")] == ["0bad0000"]
    assert record.known(shown.encode()) == sqlite.Known("0badcafe", False)
    assert record.known(b"foreign") is None
    assert record.find(prefix="%") == []


def test_neither_a_secret_nor_its_plain_hash_is_in_any_file(record: SqliteKeyRecord) -> None:
    import hashlib

    shown = add(record)
    record.close()
    for file in record.folder.iterdir():
        content = file.read_bytes()
        assert shown.encode() not in content
        assert shown[13:45].encode() not in content
        assert hashlib.sha256(shown.encode()).digest() not in content
        assert hashlib.sha256(shown.encode()).hexdigest().encode() not in content
        assert file.stat().st_mode & 0o077 == 0


def test_a_change_that_fails_half_way_leaves_nothing(record: SqliteKeyRecord) -> None:
    add(record)
    before = (record.folder / export.FILE).read_bytes()
    with pytest.raises(RuntimeError), record.change("test") as changes:
        changes.edit(key(user="bob"))
        changes.delete("0badcafe")
        raise RuntimeError("half-way")
    assert record.get("0badcafe") is not None
    assert record.generation() == 1
    assert (record.folder / export.FILE).read_bytes() == before


def test_an_id_and_a_secret_are_there_once(record: SqliteKeyRecord) -> None:
    shown = add(record)
    with pytest.raises(StoreError, match="already"):
        add(record)
    with pytest.raises(StoreError, match="already"):
        add(record, "00000002", shown)
    assert record.count() == 1


def test_every_change_has_a_row_of_history_and_grows_the_generation_once(record: SqliteKeyRecord) -> None:
    add(record)
    with record.change("alice") as changes:
        changes.edit(evolve(key(), disabled=True), "disabled")
        changes.edit(evolve(key(), disabled=True, user="bob"))
    with record.change("alice"):
        pass
    with record.change("alice") as changes:
        changes.edit(evolve(key(), disabled=True, user="bob"))
    with record.change("bob") as changes:
        changes.delete("0badcafe")
    told = [(entry.action, entry.by, entry.generation) for entry in record.history("0badcafe")]
    assert told == [("created", "test", 1), ("disabled", "alice", 2), ("edited", "alice", 2), ("deleted", "bob", 3)]
    assert record.history("0badcafe")[2].detail == {"user": {"from": "alice", "to": "bob"}}
    assert record.generation() == 3


def test_history_and_digests_of_deleted_keys_are_bounded(
    record: SqliteKeyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_change, "HISTORY", 10)
    monkeypatch.setattr(of_change, "DELETED", 3)
    for number in range(12):
        add(record, f"{number:08x}")
        with record.change("test") as changes:
            changes.delete(f"{number:08x}")
    assert len(record.history()) == 10
    ((deleted,),) = record._open().execute("SELECT count(*) FROM deleted")
    assert deleted == 3


def test_a_deleted_keys_secret_is_remembered_as_such(record: SqliteKeyRecord) -> None:
    shown = add(record)
    with record.change("test") as changes:
        changes.delete("0badcafe")
    assert record.known(shown.encode()) == sqlite.Known("0badcafe", True)


def test_the_export_has_digests_and_rules_only(record: SqliteKeyRecord) -> None:
    add(record)
    lines = (record.folder / export.FILE).read_text().splitlines()
    head, line = map(json.loads, lines)
    assert (head["generation"], head["count"], head["version"], len(head["sha256"])) == (1, 1, 1, 64)
    assert set(line) == {"digest", "pepper", "id", "rules"}
    assert line["rules"] == {"user": "alice", "services": ["chat"]}
    assert "phone" not in lines[1]


def test_an_export_is_made_anew_only_where_it_lags(record: SqliteKeyRecord) -> None:
    add(record)
    assert record.export() is False
    (record.folder / export.FILE).write_text("broken")
    assert record.export() is True
    assert record.export() is False
    assert record.export(always=True) is True


def test_what_a_killed_writer_left_is_cleared_away(record: SqliteKeyRecord) -> None:
    add(record)
    stale = record.folder / f".{export.FILE}.7.new"
    stale.write_text("half")
    add(record, "00000002")
    assert not stale.exists()


def test_a_record_that_was_put_in_its_place_is_the_one_that_counts(record: SqliteKeyRecord, tmp_path: Path) -> None:
    add(record)
    other = tmp_path / "other"
    other.mkdir()
    (other / "pepper").write_bytes((tmp_path / "pepper").read_bytes())
    (other / "pepper").chmod(0o600)
    second = SqliteKeyRecord(other, {}, lambda: 1000.0)
    add(second, "00000002")
    second.close()
    (other / "keys.sqlite").replace(tmp_path / "keys.sqlite")
    assert [each.id for each in record.find()] == ["00000002"]


def test_rules_that_take_a_book_are_refused(record: SqliteKeyRecord) -> None:
    ring = Keyring(record, "test")
    with pytest.raises(StoreError, match="rules of key"):
        ring.create({"user": "alice", "service": "chat", "model": ["m" * 190 + f"{n:09}" for n in range(100)], "path": ["/" + "p" * 190 + f"{n:09}" for n in range(100)], "method": "GET", "allow": [f"2001:db8:{n:x}::/48" for n in range(100)], "limit": [f"{n + 10**14} audio_seconds/minute" for n in range(100)], "scope": "manage", "hours": ", ".join(["mon 10:00-11:00"] * 2000)})  # fmt: skip
    assert record.count() == 0


def test_a_copy_that_is_made_while_a_gate_runs_has_every_key(record: SqliteKeyRecord, tmp_path: Path) -> None:
    shown = add(record)
    gate = SqliteKeyRecord(record.folder, {})
    assert gate.count() == 1
    late = add(record, "00000002")
    (tmp_path / "moved").mkdir()
    for name in ("keys.sqlite", "pepper", export.FILE):
        copy2(record.folder / name, tmp_path / "moved" / name)
    moved = SqliteKeyRecord(tmp_path / "moved", {})
    assert [moved.known(each.encode()) for each in (shown, late)] == [
        sqlite.Known("0badcafe", False),
        sqlite.Known("00000002", False),
    ]
    assert moved.export() is False


def test_a_damaged_record_is_told_and_not_mended(tmp_path: Path) -> None:
    (tmp_path / "keys.sqlite").write_bytes(b"no database" * 100)
    record = SqliteKeyRecord(tmp_path, {})
    with pytest.raises(StoreError, match=r"keys\.sqlite"):
        record.find()
    assert (tmp_path / "keys.sqlite").read_bytes() == b"no database" * 100


def test_a_writer_waits_for_another_and_says_so_in_the_end(
    record: SqliteKeyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(record)
    monkeypatch.setattr(sqlite, "BUSY", 0.05)
    other = SqliteKeyRecord(record.folder, {})
    with record._writers_lock(), pytest.raises(StoreError, match="another command"), other.change("test"):
        pass


def test_retiring_a_pepper_leaves_one_that_was_begun_while_it_waited_for_its_turn(
    record: SqliteKeyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(record)
    record.renew_pepper("test")
    with record.change("test") as changes:
        changes.delete("0badcafe")
    other = SqliteKeyRecord(record.folder, {}, lambda: 1000.0)
    lock = record._writers_lock

    @contextmanager
    def overtaken() -> Iterator[None]:
        monkeypatch.undo()
        other.retire_pepper(1, "other")
        assert other.renew_pepper("other") == 3
        with lock():
            yield

    monkeypatch.setattr(SqliteKeyRecord, "_writers_lock", lambda _: overtaken())
    with pytest.raises(StoreError, match="pepper 1 is not live"):
        record.retire_pepper(1, "test")
    shown = add(record, "00000002")
    assert record.known(shown.encode()) == sqlite.Known("00000002", False)


def test_an_unfinished_foreign_transaction_is_told(record: SqliteKeyRecord) -> None:
    add(record)
    connection = record._open()
    connection.execute("PRAGMA busy_timeout = 50")
    blocker = sqlite3.connect(record.folder / "keys.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        add(record, "00000002")
    blocker.execute("ROLLBACK")
    blocker.close()
    add(record, "00000002")

"""The gate's own view of the keys: in step with the record, and never lost."""

import os
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from edge.core.keyrecord import KeyRecord, NewKey
from edge.core.keys import Key
from edge.errors import StoreError
from edge.stores import export
from edge.stores.exported import ExportedKeyStore
from edge.stores.sqlite import SqliteKeyRecord
from edge.stores.table import SLICE
from edge.testing import KeyStoreContract, key, secret


def new(made: Key, shown: str) -> NewKey:
    return NewKey(record=KeyRecord(key=made, created=1.0), secret=shown.encode())


class House:
    """A data folder, its record, and a gate that looks once a second."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, Clock()
        self.record = SqliteKeyRecord(folder, {}, lambda: 1000.0)
        self.gate = ExportedKeyStore(self.clock, folder, {}, maybeDeferred, lambda: 1000.0)

    def add(self, key_id: str = "0badcafe", shown: str | None = None, **rules: Any) -> str:
        shown = shown or secret(key_id)
        with self.record.change("test") as changes:
            changes.add(new(key(key_id, **rules), shown))
        return shown

    def tick(self) -> None:
        self.clock.advance(1.0)

    @property
    def problem(self) -> str:
        return str(self.gate.status()["problem"])


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


class TestExportedKeyStore(KeyStoreContract):
    @pytest.fixture(autouse=True)
    def _house(self, tmp_path: Path) -> None:
        self.house = House(tmp_path)
        self.house.gate.startService()

    def store(self) -> ExportedKeyStore:
        return self.house.gate

    def put(self, store: Any, key: Key, secret: str | None = None) -> None:
        with self.house.record.change("test") as changes:
            changes.edit(key) if secret is None else changes.add(new(key, secret))
        self.house.tick()

    def remove(self, store: Any, key_id: str) -> None:
        with self.house.record.change("test") as changes:
            changes.delete(key_id)
        self.house.tick()


def test_before_it_was_read_nobody_is_told_anything(house: House) -> None:
    with pytest.raises(StoreError):
        house.gate.find(b"anything")
    with pytest.raises(StoreError):
        house.gate.get("0badcafe")


def test_a_new_folder_has_no_keys_and_no_problem(house: House) -> None:
    house.gate.startService()
    house.tick()
    assert house.gate.find(b"anything") is None
    assert house.problem == ""
    assert not (house.folder / "keys.sqlite").exists()
    shown = house.add()
    house.tick()
    assert house.gate.find(shown.encode())


def test_keys_are_there_as_soon_as_it_has_started(house: House) -> None:
    shown = house.add()
    house.gate.startService()
    assert house.gate.find(shown.encode()) == key()


def remove_it(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def corrupt(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"alice", b"malle"))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble_header(path: Path) -> None:
    path.write_bytes(b'{"format":[' + path.read_bytes())


def fold_in(path: Path) -> None:
    path.unlink()
    path.mkdir()


BREAKAGES = [remove_it, truncate, corrupt, empty, garble_header, fold_in]


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_export_is_made_anew_from_the_record(house: House, breakage: Any) -> None:
    shown = house.add()
    house.gate.startService()
    breakage(house.folder / export.FILE)
    house.tick()
    assert house.gate.find(shown.encode()) == key()
    if breakage is not fold_in:
        house.tick()
        assert house.problem == ""
        assert export.read(house.folder / export.FILE)[0].count == 1


@pytest.mark.parametrize("lost", [remove_it, empty])
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_with_the_record_gone_too_the_last_good_keys_stay_in_force(house: House, breakage: Any, lost: Any) -> None:
    shown = house.add()
    house.gate.startService()
    lost(house.folder / "keys.sqlite")
    breakage(house.folder / export.FILE)
    for _ in range(3):
        house.tick()
        assert house.gate.find(shown.encode()) == key()
    assert "keys.sqlite" in house.problem


@pytest.mark.parametrize(("lost", "said"), [(remove_it, "is missing"), (empty, "is empty")])
def test_an_export_alone_is_enough(house: House, lost: Any, said: str) -> None:
    shown = house.add()
    lost(house.folder / "keys.sqlite")
    house.gate.startService()
    assert house.gate.find(shown.encode()) == key()
    assert said in house.problem


@pytest.mark.parametrize("lost", [remove_it, empty])
def test_a_record_that_is_lost_under_a_gate_costs_no_key_and_is_taken_up_once_it_is_back(
    house: House, lost: Any
) -> None:
    shown = house.add()
    house.gate.startService()
    before = [(file, file.read_bytes()) for file in (house.folder / "keys.sqlite", house.folder / export.FILE)]
    lost(before[0][0])
    for _ in range(3):
        house.tick()
        assert house.gate.find(shown.encode()) == key()
        with pytest.raises(StoreError, match=r"put it back from a backup, or move .* away to begin anew"):
            house.add("00000002")
    assert "keys.sqlite" in house.problem
    assert before[1][0].read_bytes() == before[1][1]
    before[0][0].write_bytes(before[0][1])
    house.tick()
    assert (house.gate.find(shown.encode()), house.problem) == (key(), "")


def test_whoever_moves_the_export_away_too_begins_anew(house: House) -> None:
    shown = house.add()
    house.gate.startService()
    (house.folder / "keys.sqlite").unlink()
    (house.folder / export.FILE).rename(house.folder / "aside")
    house.tick()
    assert house.gate.find(shown.encode()) == key()
    house.record = SqliteKeyRecord(house.folder, {}, lambda: 1000.0)
    fresh = house.add("00000002")
    house.tick()
    assert house.gate.find(shown.encode()) is None
    assert house.gate.find(fresh.encode())
    assert house.problem == ""


def test_a_record_replaced_by_nonsense_changes_nothing(house: House) -> None:
    shown = house.add()
    house.gate.startService()
    house.record.close()
    for file in house.folder.glob("keys.sqlite*"):
        file.unlink()
    (house.folder / "keys.sqlite").write_bytes(b"SQLite format 3\0" + os.urandom(5000))
    house.tick()
    assert house.gate.find(shown.encode()) == key()
    assert "keys.sqlite" in house.problem


def test_a_full_disk_changes_nothing_and_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = house.add()
    house.gate.startService()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(export.os, "fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            house.add("00000002")
    assert house.record.count() == 1
    assert not list(house.folder.glob(".keys*"))
    house.tick()
    assert house.gate.find(shown.encode()) == key()
    assert house.problem == ""


def test_a_change_whose_export_never_came_counts_at_the_next_look(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = house.add()
    house.gate.startService()
    with monkeypatch.context() as patch:
        patch.setattr(SqliteKeyRecord, "_place", lambda self, place: None)
        with house.record.change("test") as changes:
            changes.edit(key(disabled=True))
    assert export.read(house.folder / export.FILE)[0].generation == 1
    house.tick()
    found = house.gate.find(shown.encode())
    assert found is not None
    assert found.disabled


def test_the_pepper_must_be_the_right_one(house: House) -> None:
    shown = house.add()
    pepper = house.folder / "pepper"
    saved = pepper.read_bytes()
    pepper.write_text("1 " + "ab" * 32 + "\n")
    pepper.chmod(0o600)
    house.gate.startService()
    with pytest.raises(StoreError, match="pepper 1"):
        house.gate.find(shown.encode())
    with pytest.raises(StoreError, match="pepper 1"):
        house.add("00000002")
    pepper.write_bytes(saved)
    house.tick()
    assert house.gate.find(shown.encode()) == key()
    pepper.unlink()
    with pytest.raises(StoreError, match="missing"):
        house.add("00000003")
    assert not pepper.exists()


def test_a_key_moves_to_the_new_pepper_when_it_is_used(house: House) -> None:
    used, unused = house.add(), house.add("00000002")
    house.gate.startService()
    assert house.record.renew_pepper("test") == 2
    house.tick()
    assert house.gate.find(used.encode()) == key()
    assert house.gate.find(unused.encode()[:-1]) is None
    house.tick()
    assert [record.id for record in house.record.needing(1)] == ["00000002"]
    assert house.gate.find(used.encode()) == key()
    with pytest.raises(StoreError, match="would die"):
        house.record.retire_pepper(1, "test")
    assert [record.id for record in house.record.retire_pepper(1, "test", force=True)] == ["00000002"]
    house.tick()
    assert house.gate.find(used.encode()) == key()
    assert house.gate.find(unused.encode()) is None
    assert (house.folder / "pepper").read_text().splitlines()[1].startswith("2 ")


def test_a_table_is_built_and_taken_down_in_slices(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with house.record.change("test") as changes:
        for number in range(3500):
            changes.add(new(key(f"{number:08x}"), f"secret-{number}"))
    house.gate.startService()
    heard: list[frozenset[str]] = []
    house.gate.subscribe(heard.append)
    with house.record.change("test") as changes:
        changes.edit(key("00000007", "bob"))
        changes.delete("00000008")
    turns = 0
    later = house.clock.callLater

    def count(delay: float, *rest: Any, **more: Any) -> Any:
        nonlocal turns
        turns += delay == 0
        return later(delay, *rest, **more)

    monkeypatch.setattr(house.clock, "callLater", count)
    house.tick()
    assert turns >= 3500 / SLICE
    assert heard == [frozenset({"00000007", "00000008"})]


def test_a_line_that_is_not_understood_lets_nobody_in(house: House) -> None:
    shown = house.add()
    rules = '{"user":"alice","services":["*"],"colour":"blue"}'
    house.record._open().execute("UPDATE keys SET rules = ?", (rules,))
    house.record.export(always=True)
    house.gate.startService()
    with pytest.raises(StoreError, match="colour"):
        house.gate.find(shown.encode())


def test_a_touched_export_is_not_read_as_a_new_one(house: House) -> None:
    house.add()
    house.gate.startService()
    table = house.gate._table
    os.utime(house.folder / export.FILE, (5, 5))
    house.tick()
    assert house.gate._table is table


def test_a_successor_put_in_its_place_is_seen(house: House) -> None:
    shown = house.add()
    house.gate.startService()
    with house.record.change("test") as changes:
        changes.edit(evolve(key(), user="bob"))
    house.tick()
    found = house.gate.find(shown.encode())
    assert found is not None
    assert found.user == "bob"


def test_stopping_waits_for_a_look_that_is_under_way(house: House) -> None:
    house.add()
    house.gate.startService()
    ended: list[None] = []
    house.gate.stopService().addCallback(ended.append)
    assert ended == [None]

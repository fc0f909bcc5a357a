"""`kill -9` at any moment of a change leaves the old keys or the new ones, never a change on record that is not enforced."""

import os
import random
import signal
import time
from pathlib import Path

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from edge.core.keyrecord import KeyRecord, NewKey
from edge.errors import StoreError
from edge.stores import export
from edge.stores.exported import ExportedKeyStore
from edge.stores.keyring import Keyring
from edge.stores.sqlite import SqliteKeyRecord
from edge.testing import key

KILLS = 300
BATCH = 20
RULES = {"user": "alice", "service": ["chat"]}


def create(ring: Keyring, number: int) -> list[str]:
    return [ring.create(RULES, "create").secret]


def rotate(ring: Keyring, number: int) -> list[str]:
    fresh = [record for record in ring.record.find() if not record.replaced_by]
    return [made.secret for made in ring.rotate(fresh[-1:])]


def take_over(ring: Keyring, number: int) -> list[str]:
    secrets = [f"import-{number}-{each}-{os.urandom(8).hex()}" for each in range(BATCH)]
    with ring.record.change("test") as changes:
        for secret in secrets:
            record = KeyRecord(
                key=key(os.urandom(4).hex()), created=1.0, origin="imported", description=f"import {number}"
            )
            changes.add(NewKey(record=record, secret=secret.encode()))
    return secrets


def in_child(folder: Path, number: int, pipe: int) -> None:
    """Announce the start, make one change, and tell its secrets once the change has returned."""
    random.seed(number)
    record = SqliteKeyRecord(folder, {})
    work = (create, rotate, take_over)[number % 3]
    os.write(pipe, b"start\n")
    secrets = work(Keyring(record, "test"), number)
    os.write(pipe, ("\n".join(secrets) + "\ndone\n").encode())


def test_a_killed_change_happened_whole_or_not_at_all(tmp_path: Path) -> None:
    SqliteKeyRecord(tmp_path, {}).close()
    first = SqliteKeyRecord(tmp_path, {})
    Keyring(first, "test").create(RULES)
    first.close()
    chance = random.Random(7)
    promised: list[bytes] = []
    cut = 0
    # Seconds until the kill, at most; it follows the machine's pace, so that about half of the changes are cut.
    window = 0.02
    for number in range(KILLS):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                in_child(tmp_path, number, writer)
            finally:
                os._exit(0)
        os.close(writer)
        heard = os.read(reader, 6)
        time.sleep(chance.uniform(0, window))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        while chunk := os.read(reader, 65536):
            heard += chunk
        os.close(reader)
        if heard.endswith(b"done\n"):
            # What a command has shown must work, from the moment that it is shown.
            window = max(window * 0.9, 0.002)
            promised += heard.split()[1:-1]
            assert export.read(tmp_path / export.FILE)[0].generation == generation(tmp_path)
        elif os.WIFSIGNALED(status):
            window = min(window * 1.1, 0.3)
            cut += 1
        if number % 10 == 9:
            judge(tmp_path, promised)
    judge(tmp_path, promised)
    assert cut > KILLS // 10, "hardly a change was cut: the kills come too late"
    assert len(promised) > KILLS // 10, "hardly a change got through: the kills come too early"


def generation(folder: Path) -> int:
    record = SqliteKeyRecord(folder, {})
    try:
        return record.generation()
    finally:
        record.close()


def judge(folder: Path, promised: list[bytes]) -> None:
    record = SqliteKeyRecord(folder, {})
    gate = ExportedKeyStore(Clock(), folder, {}, maybeDeferred)
    gate.startService()
    records = {each.id: each for each in record.find()}
    told = gate.status()
    assert (told["generation"], told["keys"], told["problem"]) == (record.generation(), len(records), "")
    for secret in promised:
        assert gate.find(secret) is not None
    imports: dict[str, int] = {}
    for key_id, each in records.items():
        assert gate.get(key_id) == each.key
        if each.replaced_by:
            assert records[each.replaced_by].replaces == key_id
        if each.replaces:
            assert records[each.replaces].replaced_by == key_id
        if each.origin == "imported":
            imports[each.description] = imports.get(each.description, 0) + 1
    assert set(imports.values()) <= {BATCH}
    gate.stopService()
    record.close()


def test_many_processes_may_write_at_once(tmp_path: Path) -> None:
    first = SqliteKeyRecord(tmp_path, {})
    Keyring(first, "test").create(RULES)
    first.close()
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                record = SqliteKeyRecord(tmp_path, {})
                for _ in range(5):
                    Keyring(record, f"test-{number}").create(RULES)
                code = 0
            except StoreError as error:
                os.write(2, str(error).encode())
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    judge(tmp_path, [])
    record = SqliteKeyRecord(tmp_path, {})
    assert (record.count(), record.generation()) == (31, 31)
    record.close()

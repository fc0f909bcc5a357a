"""A key fetches its own successor, once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from twisted.internet.defer import maybeDeferred

from edge.core.keyrecord import KeyRecord
from edge.stores.keyring import Keyring, Made
from edge.stores.sqlite import SqliteKeyRecord
from edge.stores.successor import DONE, Successors


def test_of_many_that_ask_at_once_one_gets_it_and_the_others_are_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = SqliteKeyRecord(tmp_path, {}, lambda: 1000.0)
    made = Keyring(record, "test").create({"user": "robot", "service": ["chat"], "rotate-every": "2h"}).record
    all_there, get = Barrier(6), SqliteKeyRecord.get

    def get_together(self: SqliteKeyRecord, key_id: str) -> KeyRecord | None:
        found = get(self, key_id)
        all_there.wait(10)
        return found

    monkeypatch.setattr(SqliteKeyRecord, "get", get_together)
    successors = Successors(tmp_path, {}, maybeDeferred, lambda: 8000.0)
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(successors._rotate, [made.id] * 6))
    assert sorted(type(each) is Made for each in told) == [False] * 5 + [True]
    assert [each for each in told if not isinstance(each, Made)] == [DONE] * 5
    assert record.count() == 2

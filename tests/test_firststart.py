"""The first start makes a first key, and no later one does."""

from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.firststart import HEADER, make_first_key
from edge.observe.audit import ENDLESS
from edge.stores import export
from edge.stores.sqlite import SqliteKeyRecord


def test_a_first_key_is_made_once(tmp_path: Path) -> None:
    header = make_first_key(tmp_path, {}, ENDLESS)
    assert header == tmp_path / HEADER
    shown = header.read_text().split()[-1]
    assert make_first_key(tmp_path, {}, ENDLESS) == header
    record = SqliteKeyRecord(tmp_path, {})
    assert [each.id for each in record.find()] == [shown[4:12]]


@pytest.mark.parametrize("lost", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_where_the_record_was_lost_a_start_makes_no_key_and_leaves_the_export(tmp_path: Path, lost: object) -> None:
    make_first_key(tmp_path, {}, ENDLESS)
    before = (tmp_path / export.FILE).read_bytes()
    lost(tmp_path / "keys.sqlite")  # type: ignore[operator]
    assert make_first_key(tmp_path, {}, ENDLESS) is None
    assert (tmp_path / export.FILE).read_bytes() == before
    with pytest.raises(StoreError, match=r"keys\.sqlite"):
        SqliteKeyRecord(tmp_path, {}).find()

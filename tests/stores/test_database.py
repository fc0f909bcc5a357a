"""SQLite files: upgraded with a backup first, refused unharmed when newer."""

import sqlite3
from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.stores.database import MissingError, open_database, transaction


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    folder = tmp_path / "schema"
    folder.mkdir()
    (folder / "things-1.sql").write_text(
        "CREATE TABLE things (name TEXT);\n-- a note; with a semicolon\nINSERT INTO things VALUES ('a;b');\n"
    )
    return folder


def version_two(schemas: Path, broken: str = "") -> None:
    (schemas / "things-2.sql").write_text("CREATE TABLE things (name TEXT, size INTEGER);\n")
    (schemas / "things-1-to-2.sql").write_text(
        f"ALTER TABLE things ADD COLUMN size INTEGER;\nUPDATE things SET size = 1;\n{broken}"
    )


def rows(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT * FROM things").fetchall()


def test_a_new_file_has_the_newest_schema_and_is_nobody_elses(tmp_path: Path, schemas: Path) -> None:
    path = tmp_path / "x.sqlite"
    connection = open_database(path, "things", schemas)
    assert rows(connection) == [("a;b",)]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert path.stat().st_mode & 0o777 == 0o600
    for name in ("x.sqlite-wal", "x.sqlite-shm"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_a_whole_one_has_all_that_was_committed_in_its_one_file(tmp_path: Path, schemas: Path) -> None:
    path = tmp_path / "x.sqlite"
    reader = open_database(path, "things", schemas, whole=True)
    assert rows(reader) == [("a;b",)]
    with transaction(open_database(path, "things", schemas, whole=True)) as connection:
        connection.execute("INSERT INTO things VALUES ('new')")
    (tmp_path / "copy").write_bytes(path.read_bytes())
    assert rows(sqlite3.connect(tmp_path / "copy")) == [("a;b",), ("new",)]
    assert {file.name for file in tmp_path.iterdir()} == {"schema", "x.sqlite", "copy"}


def test_readers_go_on_while_a_large_change_is_made_to_a_whole_one(tmp_path: Path, schemas: Path) -> None:
    path = tmp_path / "x.sqlite"
    reader = open_database(path, "things", schemas, whole=True)
    reader.execute("PRAGMA busy_timeout = 0")
    with transaction(open_database(path, "things", schemas, whole=True)) as connection:
        connection.executemany("INSERT INTO things VALUES (?)", [(f"{number}" * 1000,) for number in range(10_000)])
        assert rows(reader) == [("a;b",)]
    assert len(rows(reader)) == 10_001


def test_a_log_that_an_earlier_version_left_is_put_into_a_whole_one(tmp_path: Path, schemas: Path) -> None:
    path, killed = tmp_path / "x.sqlite", tmp_path / "killed"
    earlier = open_database(path, "things", schemas)
    earlier.execute("INSERT INTO things VALUES ('late')")
    killed.mkdir()
    for name in ("x.sqlite", "x.sqlite-wal"):
        (killed / name).write_bytes((tmp_path / name).read_bytes())
    now = open_database(killed / "x.sqlite", "things", schemas, whole=True)
    assert rows(now) == [("a;b",), ("late",)]
    assert now.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert [file.name for file in killed.iterdir()] == ["x.sqlite"]


def test_one_that_an_earlier_version_has_open_is_used_as_it_is_and_switched_later(
    tmp_path: Path, schemas: Path
) -> None:
    path = tmp_path / "x.sqlite"
    earlier = open_database(path, "things", schemas)
    now = open_database(path, "things", schemas, whole=True)
    now.execute("INSERT INTO things VALUES ('new')")
    assert rows(earlier) == rows(now) == [("a;b",), ("new",)]
    earlier.close()
    now.close()
    assert open_database(path, "things", schemas, whole=True).execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_one_that_may_not_be_made_is_told_where_it_is_missing_or_empty(tmp_path: Path, schemas: Path) -> None:
    path = tmp_path / "x.sqlite"
    with pytest.raises(MissingError, match="is missing"):
        open_database(path, "things", schemas, make=False)
    assert not path.exists()
    path.touch()
    with pytest.raises(MissingError, match="is empty"):
        open_database(path, "things", schemas, make=False)
    assert path.read_bytes() == b""
    open_database(path, "things", schemas).close()
    assert rows(open_database(path, "things", schemas, make=False)) == [("a;b",)]


def test_an_older_file_is_copied_and_then_upgraded(tmp_path: Path, schemas: Path) -> None:
    path = tmp_path / "x.sqlite"
    open_database(path, "things", schemas).close()
    version_two(schemas)
    connection = open_database(path, "things", schemas)
    assert rows(connection) == [("a;b", 1)]
    backup = sqlite3.connect(tmp_path / "x.sqlite.v1.bak")
    assert rows(backup) == [("a;b",)]
    assert backup.execute("PRAGMA user_version").fetchone() == (1,)
    assert (tmp_path / "x.sqlite.v1.bak").stat().st_mode & 0o777 == 0o600
    assert rows(open_database(path, "things", schemas)) == [("a;b", 1)]


def test_an_upgrade_that_fails_leaves_the_old_file(tmp_path: Path, schemas: Path) -> None:
    path = tmp_path / "x.sqlite"
    open_database(path, "things", schemas).close()
    version_two(schemas, "INSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(StoreError, match="nowhere"):
        open_database(path, "things", schemas)
    connection = sqlite3.connect(path)
    assert rows(connection) == [("a;b",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_newer_file_is_refused_unharmed(tmp_path: Path, schemas: Path) -> None:
    path = tmp_path / "x.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE later (x)")
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="newer aigate"):
        open_database(path, "things", schemas)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b"nonsense" * 200),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("nowhere"),
    ],
)
def test_what_is_no_database_is_told(tmp_path: Path, schemas: Path, make: object) -> None:
    path = tmp_path / "x.sqlite"
    make(path)  # type: ignore[operator]
    with pytest.raises(StoreError, match=r"x\.sqlite"):
        open_database(path, "things", schemas)


def test_a_transaction_happens_whole_or_not_at_all(tmp_path: Path, schemas: Path) -> None:
    connection = open_database(tmp_path / "x.sqlite", "things", schemas)
    with pytest.raises(KeyError), transaction(connection):
        connection.execute("DELETE FROM things")
        raise KeyError
    assert rows(connection) == [("a;b",)]
    with pytest.raises(StoreError), transaction(connection):
        connection.execute("DELETE FROM nothing")
    assert not connection.in_transaction

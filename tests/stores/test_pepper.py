"""The pepper: its own file, numbered, nobody else's."""

from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.stores.pepper import Peppers, read_peppers

ONE, TWO = "1 " + "ab" * 32, "2 " + "cd" * 32


def write(folder: Path, *lines: str, mode: int = 0o600) -> Path:
    file = folder / "pepper"
    file.write_text("\n".join(("# a note", "", *lines)) + "\n")
    file.chmod(mode)
    return file


def test_a_missing_one_is_none(tmp_path: Path) -> None:
    assert read_peppers(tmp_path, {}) is None


def test_what_is_written_is_read_and_only_by_its_owner(tmp_path: Path) -> None:
    made = Peppers(tmp_path / "pepper", {}).with_new(1).with_new(2)
    made.write()
    assert (tmp_path / "pepper").stat().st_mode & 0o777 == 0o600
    assert read_peppers(tmp_path, {}) == made
    assert made.current == 2
    assert [number for number, _ in made.digests()] == [2, 1]
    assert made.without(1).values.keys() == {2}
    assert made.values[1].hex() not in repr(made)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_one_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    write(tmp_path, ONE, mode=mode)
    with pytest.raises(StoreError, match="chmod 600"):
        read_peppers(tmp_path, {})


@pytest.mark.parametrize("lines", [(), ("ab" * 32,), ("1 " + "ab" * 31,), ("0 " + "ab" * 32,), (ONE, ONE), (ONE, TWO, "3 " + "ef" * 32), ("1 " + "AB" * 32,), ("1 ü",)])  # fmt: skip
def test_what_is_no_pepper_file_is_told_without_its_content(tmp_path: Path, lines: tuple[str, ...]) -> None:
    write(tmp_path, *lines)
    with pytest.raises(StoreError) as caught:
        read_peppers(tmp_path, {})
    assert "abab" not in str(caught.value)


def test_a_systemd_credential_comes_first_and_is_not_written(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    write(tmp_path, ONE)
    write(credentials, TWO, mode=0o440)
    environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
    found = read_peppers(tmp_path, environ)
    assert found is not None
    assert (list(found.values), found.credential) == ([2], True)
    with pytest.raises(StoreError, match="credential"):
        found.write()
    (credentials / "pepper").unlink()
    found = read_peppers(tmp_path, environ)
    assert found is not None
    assert list(found.values) == [1]

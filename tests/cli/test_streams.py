"""Standard streams that are closed or full: one line that says so, and no key that nobody saw."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.cli import main
from edge.errors import StoreError
from edge.stores.keyring import Keyring
from edge.stores.sqlite import SqliteKeyRecord

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs `aigate keys …` with the descriptor `closed` closed, or what it prints going to `out`."""

    def run(*words: str, closed: int | None = None, out: Any = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-m", "edge.cli", "--data", str(tmp_path / "data"), "keys", *words],
            env={**os.environ, **home}, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60,
            check=False, preexec_fn=None if closed is None else lambda: os.close(closed),
        )  # fmt: skip

    return run


CREATE = ("create", "--user", "alice", "--service", "chat")


@pytest.mark.parametrize("words", [("validate", "-"), ("validate",), ()])
def test_closed_standard_input_is_empty(run: Any, words: tuple[str, ...]) -> None:
    done = run(*words, closed=0)
    assert done.returncode in (1, 2)
    assert "fault" not in done.stderr
    assert "not known" in done.stdout or "needs a terminal" in done.stderr


@pytest.mark.parametrize("harm", ["closed", "full"])
def test_a_key_that_cannot_be_shown_is_taken_back(run: Any, tmp_path: Path, harm: str) -> None:
    run(*CREATE)
    record = SqliteKeyRecord(tmp_path / "data", {})
    (before,) = record.find()
    with Path("/dev/full").open("wb") as full:
        how: dict[str, Any] = {"closed": 1} if harm == "closed" else {"out": full}
        for words in (CREATE, (*CREATE, "--json"), ("rotate", before.id, "--grace", "0s")):
            done = run(*words, **how)
            assert done.returncode == 1
            assert done.stderr.splitlines()[-1].startswith("aigate: key ")
            assert done.stderr.endswith(" and is taken back\n")
            (left,) = record.find()
            assert (left.key, left.replaced_by) == (before.key, "")


def test_a_key_that_can_neither_be_shown_nor_taken_back_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Keyring, made: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Keyring, "take_back", refuse)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert main(["--data", str(tmp_path / "data"), "keys", *CREATE]) == 1
    (made,) = SqliteKeyRecord(tmp_path / "data", {}).find()
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"key {made.id} could not be shown" in said
    assert "the disk is full): `aigate keys delete ID`" in said


def test_what_is_listed_nowhere_is_a_failure(run: Any) -> None:
    run(*CREATE)
    done = run("list", closed=1)
    assert (done.returncode, done.stderr) == (1, "aigate: standard output: Bad file descriptor\n")


def test_words_for_people_may_go_nowhere(run: Any) -> None:
    done = run(*CREATE, closed=2)
    assert done.returncode == 0
    assert done.stdout.startswith("aig_")

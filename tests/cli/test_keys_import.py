"""Old keys taken over: shown first, once, and working unchanged."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge.cli import main

A, B = "sk-q8Zt4mWx1pLrUe7Hk3vT", "hunter2"


class Gate:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys, self.file = folder / "data", capsys, folder / "keys.json"

    def __call__(self, *words: str, code: int = 0) -> str:
        assert main(["keys", *words, "--data", str(self.folder)]) == code, self.capsys.readouterr()
        self.out, self.err = self.capsys.readouterr()
        return self.out

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code))


@pytest.fixture
def gate(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    made = Gate(tmp_path, capsys)
    made.file.write_text(json.dumps({A: "alice", B: {"user": "bob", "service": "tts"}}))
    return made


def test_a_dry_run_shows_the_plan_and_changes_nothing(gate: Gate) -> None:
    gate("import", str(gate.file), "--dry-run")
    assert "alice" in gate.out
    assert "only 7 characters" in gate.out
    assert not gate.folder.exists()


def test_old_keys_work_unchanged_and_come_in_once(gate: Gate, tmp_path: Path) -> None:
    gate("import", str(gate.file))
    assert "shred -u" in gate.err
    for old in (A, B):
        gate("validate", old)
    listed = {line["user"]: line for line in gate.json("list")}
    assert (listed["alice"]["services"], listed["alice"]["weak"]) == (["*"], None)
    assert (listed["bob"]["services"], listed["bob"]["origin"]) == (["tts"], "imported")
    assert listed["bob"]["weak"]
    again = gate.json("import", str(gate.file))
    assert again["imported"] == []
    assert [step["verdict"] for step in again["plan"]] == ["known", "known"]
    gate.file.write_text(json.dumps([A, B, "another-key-8fK2mQ4z9XcV"]))
    assert len(gate.json("import", str(gate.file))["imported"]) == 1
    assert len(gate.json("list")) == 3


def test_no_key_of_the_file_is_shown_or_copied(gate: Gate) -> None:
    gate("import", str(gate.file))
    seen = gate.out + gate.err
    seen += gate("import", str(gate.file), "--json") + gate("list") + gate("history") + gate("export")
    for old in (A, B):
        assert old not in seen + gate.err
        for file in filter(Path.is_file, gate.folder.rglob("*")):
            assert old.encode() not in file.read_bytes()


def test_a_deleted_key_is_not_brought_back(gate: Gate) -> None:
    gate("import", str(gate.file))
    gate("delete", "--user", "alice")
    plan = gate.json("import", str(gate.file))["plan"]
    assert [step["verdict"] for step in plan] == ["deleted", "known"]
    gate("validate", A, code=1)


def test_with_its_pepper_a_deleted_key_is_forgotten_and_that_is_said(gate: Gate) -> None:
    gate("import", str(gate.file))
    gate("delete", "--user", "alice", "--yes")
    gate("pepper", "--new")
    assert gate.json("import", str(gate.file))["plan"][0]["verdict"] == "deleted"
    gate("pepper", "--retire", "1", "--force")
    assert "deleted under pepper 1 are not known any more" in gate.err
    assert gate.json("import", str(gate.file), "--dry-run")["plan"][0]["verdict"] == "new"


def test_defaults_and_an_end_for_weak_ones(gate: Gate) -> None:
    told = gate.json("import", str(gate.file), "--service", "chat", "--expires", "2099-01-01", "--weak-expires", "30d")
    by_user = {line["user"]: line for line in told["imported"]}
    assert by_user["alice"]["services"] == ["chat"]
    assert by_user["alice"]["expires"].startswith("2099")
    assert by_user["bob"]["services"] == ["tts"]
    assert by_user["bob"]["expires"] < "2099"


def test_what_cannot_be_taken_is_told_and_the_rest_is_taken(gate: Gate) -> None:
    gate.file.write_text(
        json.dumps({A: {"service": "No Such!"}, "another-key-8fK2mQ4z9XcV": "carol", "two words": "dave"})
    )
    told = gate.json("import", str(gate.file), code=1)
    assert [line["user"] for line in told["imported"]] == ["carol"]
    assert [step["verdict"] for step in told["plan"]] == ["skipped", "new", "skipped"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{"])
def test_a_file_that_is_none_is_told_in_a_line(gate: Gate, content: bytes) -> None:
    gate.file.write_bytes(content)
    gate("import", str(gate.file), code=1)
    assert gate.err.count("\n") == 1

"""`aigate keys`: what people type and see."""

import json
import re
import resource
from pathlib import Path
from typing import Any

import pytest

from edge.cli import main

SECRET = re.compile(r"aig_[0-9a-f]{8}_[0-9a-f]{32}_[0-9a-f]{8}")


class Gate:
    """The command with a data folder of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        assert main(["keys", *words, "--data", str(self.folder)]) == code, self.capsys.readouterr()
        self.out, self.err = self.capsys.readouterr()
        return self.out

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Gate:
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("TZ", "Europe/Berlin")
    return Gate(tmp_path / "data", capsys)


def test_create_shows_the_key_once_on_standard_output_and_stores_it_nowhere(keys: Gate) -> None:
    shown = keys("create", "--user", "alice", "--service", "chat").strip()
    assert SECRET.fullmatch(shown)
    assert shown not in keys.err
    assert "alice" in keys.err
    for file in filter(Path.is_file, keys.folder.rglob("*")):
        assert shown[13:45].encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o777 == 0o600


def test_json_of_create_has_the_promised_names(keys: Gate) -> None:
    made = keys.json("create", "--user", "alice", "--service", "chat", "--expires", "2026-12-31T18:00")
    assert SECRET.fullmatch(made["key"])
    assert made["key"][4:12] == made["id"]
    assert (made["user"], made["services"], made["expires"][:19]) == ("alice", ["chat"], "2026-12-31T18:00:00"[:19])
    assert re.search(r"[+-]\d\d:\d\d$", made["expires"])


def test_every_rule_of_the_promise_is_taken_and_shown(keys: Gate) -> None:
    made = keys.json(
        "create", "--user", "alice", "--service", "chat", "--service", "tts", "--description", "phone", "--expires", "2099-01-01",
        "--not-before", "2026-01-01", "--hours", "mon-fri 15:00-20:00", "--tz", "Europe/Berlin", "--allow", "192.168.1.0/24",
        "--limit", "60/minute", "--limit", "100000 tokens/day", "--limit", "concurrent=2", "--model", "gemma*", "--method", "get",
        "--path", "/v1/*", "--scope", "manage", "--rotate-every", "90d", "--weight", "2", "--batch",
    )  # fmt: skip
    shown = keys.json("show", made["id"])
    assert {name: value for name, value in made.items() if name != "key"} == shown
    assert (
        shown
        | {
            "services": ["chat", "tts"],
            "limits": ["60/minute", "100000 tokens/day", "concurrent=2"],
            "hours": "mon-fri 15:00-20:00",
            "tz": "Europe/Berlin",
            "networks": ["192.168.1.0/24"],
            "models": ["gemma*"],
            "methods": ["GET"],
            "paths": ["/v1/*"],
            "scopes": ["manage"],
            "weight": 2.0,
            "batch": True,
            "rotate_every": 7_776_000.0,
            "description": "phone",
        }
        == shown
    )


def test_without_a_service_or_a_user_there_is_no_key(keys: Gate) -> None:
    keys("create", "--user", "alice", code=2)
    assert "--service" in keys.err
    keys("create", "--service", "chat", code=2)
    assert "--user" in keys.err


def test_every_wrong_rule_is_told_at_once(keys: Gate) -> None:
    keys(
        "create", "--user", "a\tb", "--service", "Chat!", "--expires", "tomorrow", "--hours", "noon", "--allow", "lan", "--limit", "lots",
        "--scope", "root", "--path", "v1", "--rotate-every", "5s", "--weight", "0", code=2,
    )  # fmt: skip
    for option in ("user", "service", "expires", "hours", "allow", "limit", "scope", "path", "rotate-every", "weight"):
        assert f"--{option}: " in keys.err
    assert "Traceback" not in keys.err


def test_an_id_may_be_a_unique_prefix_and_a_user_stands_for_all_keys(keys: Gate) -> None:
    first, second = (keys.json("create", "--user", "alice", "--service", "chat")["id"] for _ in range(2))
    other = keys.json("create", "--user", "bob", "--service", "chat")["id"]
    assert keys.json("show", other[:7])["id"] == other
    keys("show", "", code=1)
    keys("show", "zzzz", code=1)
    keys("show", code=2)
    keys("show", other, "--user", "bob", code=2)
    assert {line["id"] for line in keys.json("disable", "--user", "alice")} == {first, second}
    assert {line["id"] for line in keys.json("list") if line["disabled"]} == {first, second}
    keys("disable", "--user", "nobody", code=1)


def test_a_whole_key_is_not_taken_as_an_id(keys: Gate) -> None:
    shown = keys("create", "--user", "alice", "--service", "chat").strip()
    keys("show", shown, code=1)
    assert shown not in keys.err


def test_disable_enable_expire_edit_delete_and_their_history(keys: Gate) -> None:
    made = keys.json("create", "--user", "alice", "--service", "chat")["id"]
    assert keys.json("disable", made)["disabled"] is True
    assert keys.json("enable", made)["disabled"] is False
    assert keys.json("expire", made, "--at", "2099-05-01T10:00")["expires"].startswith("2099-05-01T10:00")
    assert keys.json("expire", made, "--at", "never")["expires"] is None
    edited = keys.json(
        "edit", made, "--model", "gemma*", "--limit", "5/minute", "--to-user", "bob", "--description", "laptop"
    )
    assert (edited["models"], edited["limits"], edited["user"], edited["description"]) == (
        ["gemma*"],
        ["5/minute"],
        "bob",
        "laptop",
    )
    assert "models" not in keys.json("edit", made, "--model", "")
    keys("edit", made, code=2)
    assert keys.json("delete", made)["id"] == made
    actions = [(line["action"], line["by"][:4]) for line in keys.json("history", made)]
    assert actions == [
        (action, "cli:")
        for action in ("created", "disabled", "enabled", "expiry", "expiry", "edited", "edited", "deleted")
    ]
    assert keys.json("list") == []


def test_rotate_makes_a_successor_and_lets_the_old_one_live_for_the_grace_time(keys: Gate) -> None:
    old = keys.json("create", "--user", "alice", "--service", "chat", "--model", "gemma*")
    new = keys.json("rotate", old["id"], "--grace", "2h")
    assert new["replaces"] == old["id"] != new["id"]
    assert new["models"] == ["gemma*"]
    assert SECRET.fullmatch(new["key"])
    before = keys.json("show", old["id"])
    assert before["replaced_by"] == new["id"]
    assert before["expires"]
    keys("rotate", old["id"], code=1)
    assert new["id"] in keys.err
    ended = keys.json("rotate", new["id"], "--grace", "0s")
    assert keys("validate", new["key"], code=1)
    assert keys("validate", ended["key"])


def test_validate_reads_from_standard_input_and_never_shows_a_key(keys: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = keys("create", "--user", "alice", "--service", "chat").strip()
    import io

    for said, code, word in ((shown, 0, "alice"), (shown[:-1], 1, "cut or mistyped"), ("sk-foreign", 1, "not known")):
        for words in (["validate", "-"], ["validate"]):
            monkeypatch.setattr("sys.stdin", io.StringIO(said + "\n"))
            assert word in keys(*words, code=code)
            assert said not in keys.out + keys.err
    keys("validate", shown)
    assert "history" in keys.err
    keys("disable", "--user", "alice")
    assert json.loads(keys("validate", shown, "--json", code=1))["reason"] == "disabled-key"


def test_an_end_that_counts_from_now_may_stand_beside_a_beginning(keys: Gate, tmp_path: Path) -> None:
    words = ("--expires", "9000d", "--not-before", "2030-01-01")
    assert keys.json("create", "--user", "a", "--service", "chat", *words)["not_before"].startswith("2030")
    file = tmp_path / "class.csv"
    file.write_text("user,service,expires,not-before\nanna,chat,9000d,2030-01-01\n")
    assert len(keys.json("create", "--from", str(file))) == 1


def test_a_csv_makes_many_keys_or_none(keys: Gate, tmp_path: Path) -> None:
    file = tmp_path / "class.csv"
    file.write_text("user,service,expires,description,batch\nanna,chat;tts,30d,tablet,\nben,,,,yes\n")
    keys("create", "--from", str(file), code=2)
    assert "key 2: --service" in keys.err
    assert not (keys.folder / "keys.sqlite").exists() or keys.json("list") == []
    made = keys.json("create", "--from", str(file), "--service", "image")
    assert [(line["user"], line["services"], line.get("batch", False)) for line in made] == [
        ("anna", ["chat", "tts"], False),
        ("ben", ["image"], True),
    ]
    file.write_text("user,colour\nanna,blue\n")
    keys("create", "--from", str(file), code=1)
    assert "'colour' is no column" in keys.err
    for nonsense in (b"", b"\xff\xfe", b'user\n"open', b"user,service\na,b,c,d\n"):
        file.write_bytes(nonsense)
        keys("create", "--from", str(file), code=1)


def test_export_holds_no_secret_and_no_digest(keys: Gate) -> None:
    shown = keys("create", "--user", "alice", "--service", "chat").strip()
    (line,) = json.loads(keys("export"))
    assert line["user"] == "alice"
    assert shown[13:] not in keys.out
    assert "digest" not in keys.out
    (keys.folder / "keys.runtime.jsonl").write_text("broken")
    assert keys.json("export", "--runtime")["keys"] == 1


def test_a_pepper_is_renewed_and_retired(keys: Gate) -> None:
    keys("create", "--user", "alice", "--service", "chat")
    assert keys.json("pepper")["peppers"] == [{"number": 1, "current": True, "keys": 1}]
    keys("pepper", "--new")
    keys("pepper", "--new", code=1)
    keys("pepper", "--retire", "1", code=1)
    keys("pepper", "--retire", "2", "--force", code=1)
    keys("pepper", "--retire", "9" * 20, code=2)
    assert "is not in the range" in keys.err
    told = keys.json("pepper", "--retire", "1", "--force")
    assert [line["user"] for line in told["deleted"]] == ["alice"]
    assert told["peppers"] == [{"number": 2, "current": True, "keys": 0}]


def test_a_name_cannot_write_on_the_terminal(keys: Gate) -> None:
    keys("create", "--user", "a\x1b[2Jb", "--service", "chat", code=2)
    keys("create", "--user", "[red]x[/red]", "--service", "chat")
    assert "[red]x[/red]" in keys("list")


def test_nothing_is_there_before_the_first_key(keys: Gate) -> None:
    for verb in ("list", "export", "history", "pepper"):
        keys(verb, code=1)
        assert "no keys yet" in keys.err
    assert not keys.folder.exists()


def test_a_lost_record_is_told_with_the_way_out_and_not_begun_anew(keys: Gate) -> None:
    keys("create", "--user", "alice", "--service", "chat")
    (keys.folder / "keys.sqlite").unlink()
    for words in (("list",), ("create", "--user", "bob", "--service", "chat")):
        keys(*words, code=1)
        (said,) = [line for line in keys.err.splitlines() if "keys.sqlite" in line]
        assert "is missing" in said
        assert "put it back from a backup, or move keys.runtime.jsonl away" in said
        assert not (keys.folder / "keys.sqlite").exists()
    (keys.folder / "keys.runtime.jsonl").unlink()
    keys("create", "--user", "bob", "--service", "chat")
    assert [line["user"] for line in keys.json("list")] == ["bob"]


def test_keys_can_be_looked_at_on_a_full_disk(keys: Gate) -> None:
    keys("create", "--user", "alice", "--service", "chat")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        (listed,) = keys.json("list")
        keys("disable", listed["id"], code=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert listed["user"] == "alice"
    assert keys.json("list") == [listed]


def test_the_group_alone_needs_a_terminal(keys: Gate) -> None:
    keys(code=2)


@pytest.mark.parametrize(
    "verb", ["create", "list", "show", "edit", "disable", "enable", "rotate", "expire", "delete", "history", "validate"]
)
def test_every_verb_has_help_and_json(verb: str, keys: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--json" in keys(verb, "--help")


def test_a_service_that_the_configuration_does_not_know_is_said(keys: Gate, tmp_path: Path) -> None:
    file = tmp_path / "aigate.toml"
    file.write_text('[services.chat]\nplugin = "ollama"\n')
    file.chmod(0o600)
    keys("create", "--user", "alice", "--service", "chatt", "--config", str(file))
    assert "'chatt'" in keys.err


def test_where_a_model_rule_counts_for_nothing_is_said_when_it_is_made_or_changed(
    keys: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "aigate.toml"
    plugins = {"chat": "ollama", "draw": "image", "hear": "whisper", "web": "http"}
    tables = [f'[services.{name}]\nplugin = "{plugin}"\nroute = "/{name}/api"\n' for name, plugin in plugins.items()]
    file.write_text("".join(tables))
    file.chmod(0o600)
    monkeypatch.setenv("AIGATE_CONFIG", str(file))
    said = "aigate: a model rule counts not at all for draw, web and not on every path of hear, where requests do not tell their model"
    made = keys.json("create", "--user", "a", "--service", "*", "--model", "gemma*")
    assert said in keys.err.splitlines()
    for quiet in (("--service", "draw"), ("--service", "chat", "--model", "gemma*")):
        keys("create", "--user", "a", *quiet)
        assert "model rule" not in keys.err
    keys("edit", made["id"], "--service", "chat", "--service", "hear")
    assert "aigate: a model rule counts not on every path of hear, where requests do not tell their model" in keys.err
    keys("edit", made["id"], "--description", "phone")
    assert "model rule" not in keys.err
    keys("edit", made["id"], "--model", "")
    assert "model rule" not in keys.err

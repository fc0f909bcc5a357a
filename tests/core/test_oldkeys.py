"""Files of simple keys: the format is detected, and nothing in them is passed over in silence."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.oldkeys import OldKeys, read

A, B = "sk-" + "q8Zt4mWx1pLr" * 2, "Hk3vT9bQy7NcR2sD5fGj"


def found(text: str, name: str = "keys.txt") -> list[tuple[str, object, object]]:
    return [
        (key.secret, key.raw.get("user"), key.raw.get("service")) for key in read(text, name).keys if not key.problem
    ]


def test_one_a_line_with_notes_comments_and_windows_line_ends() -> None:
    old = read(f"\ufeff# our keys\r\n{A}\r\n\r\n{B} # dad's phone\r\n", "keys.txt")
    assert old.format == "one key a line"
    assert [(key.secret, key.raw["user"], key.raw["service"], key.place, key.description) for key in old.keys] == [
        (A, "keys", ["*"], "line 2", ""),
        (B, "keys", ["*"], "line 4", "dad's phone"),
    ]


def test_keys_to_users() -> None:
    assert found(json.dumps({A: "alice", B: "bob"})) == [(A, "alice", ["*"]), (B, "bob", ["*"])]


def test_keys_to_objects() -> None:
    about = {
        A: {"user": "alice", "service": "chat", "enabled": False},
        B: {"name": "bob", "services": ["chat", "tts"], "email": "b@x"},
    }
    old = read(json.dumps(about), "keys.json")
    assert [(key.raw["user"], key.raw["service"]) for key in old.keys] == [
        ("alice", ["chat"]),
        ("bob", ["chat", "tts"]),
    ]
    assert old.keys[0].disabled
    assert old.keys[1].ignored == ("email",)


def test_lists_of_keys_and_of_objects() -> None:
    assert found(json.dumps([A, B]), "family.json") == [(A, "family", ["*"]), (B, "family", ["*"])]
    assert found(json.dumps([{"key": A, "user": "alice"}, {"token": B, "service": "tts"}]), "x.json") == [
        (A, "alice", ["*"]),
        (B, "x", ["tts"]),
    ]
    assert found(json.dumps({"keys": [A]})) == [(A, "keys", ["*"])]


def test_env_files() -> None:
    text = f"# service\nPORT=8080\nexport ALICE_API_KEY='{A}'\nAPI_KEYS={B},{A[::-1]} # two\nEMPTY_KEY=\n"
    old = read(text, ".env")
    assert old.format == ".env"
    assert [(key.secret, key.raw["user"], key.description) for key in old.keys] == [
        (A, "env", "ALICE_API_KEY"),
        (B, "env", "API_KEYS"),
        (A[::-1], "env", "API_KEYS"),
    ]
    assert read(f"API_KEY={A}\n", "settings").format == ".env"


def test_base64_keys_are_no_variables() -> None:
    assert found("dGhpc2lzYWtleXRoYXQ9\nQUJDREVGR0hJSktMTU5PUA==\n") == [
        ("dGhpc2lzYWtleXRoYXQ9", "keys", ["*"]),
        ("QUJDREVGR0hJSktMTU5PUA==", "keys", ["*"]),
    ]


def test_what_cannot_be_a_key_is_told_with_its_place() -> None:
    old = read(f"{A}\nhas a space\nschlüssel-äöü-lang-genug\n{A}\naig_0badcafe_cut\n", "k")
    assert [(key.place, bool(key.problem)) for key in old.keys] == [
        ("line 1", False), ("line 2", True), ("line 3", True), ("line 4", True), ("line 5", True),
    ]  # fmt: skip
    assert "line 1" in old.keys[3].problem
    old = read(json.dumps([{"user": "alice"}, 7, {"key": A, "token": B}, [A]]), "k")
    assert all(key.problem for key in old.keys)
    assert read(json.dumps({A: 5}), "k").keys[0].problem


def test_a_doubled_member_is_not_lost() -> None:
    old = read(f'{{"{A}": "alice", "{A}": "bob"}}', "k.json")
    assert [bool(key.problem) for key in old.keys] == [False, True]


@pytest.mark.parametrize("text", ["", " \n", "{", "[1,", "[]", "{}", "# only\n", "[" * 100_000])
def test_a_file_without_keys_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text, "k")


def test_times_of_other_programs() -> None:
    old = read(json.dumps({A: {"expires": 1_800_000_000}, B: {"expires_at": 1_800_000_000_000}}), "k")
    assert [key.raw["expires"] for key in old.keys] == ["2027-01-15T08:00:00+00:00"] * 2


def test_a_key_is_in_no_repr() -> None:
    assert A not in repr(read(A, "k"))


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(read(text, "k"), OldKeys)

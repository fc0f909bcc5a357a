"""`aigate audit`: what is typed wrongly is told as such."""

from pathlib import Path

import pytest

from edge.cli import main
from edge.observe.audit import AuditTrail


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (b"", "holds no signed head"),
        (b"\n \n", "holds no signed head"),
        (b"\xff\xfe", "this is no text"),
        (b"a head", ":1: this is no signed head"),
        (b"[" * 100_000, ":1: this is no signed head"),
        (b'{"n":1e999,"hash":"","at":"","key":"","signature":""}', ":1: this is no signed head"),
    ],
)
def test_a_file_without_a_signed_head_proves_nothing(tmp_path: Path, capsys, kept: bytes, said: str):
    AuditTrail(tmp_path / "data").record({"what": "key"})
    file = tmp_path / "heads.jsonl"
    file.write_bytes(kept)
    assert main(["audit", "verify", "--data", str(tmp_path / "data"), "--head", str(file)]) == 2
    out, err = capsys.readouterr()
    assert not out and f"{file}" in err and said in err and "fault of aigate" not in err


def test_a_head_that_was_kept_is_held_against_the_log(tmp_path: Path, capsys):
    trail = AuditTrail(tmp_path / "data")
    trail.record({"what": "key"})
    assert main(["audit", "head", "--data", str(trail.data)]) == 0
    file = tmp_path / "heads.jsonl"
    file.write_text(capsys.readouterr().out)
    assert main(["audit", "verify", "--data", str(trail.data), "--head", str(file)]) == 0
    assert "whole: lines 1 to 1" in capsys.readouterr().out
    trail.path.write_bytes(b"")
    assert main(["audit", "verify", "--data", str(trail.data), "--head", str(file)]) == 1


def test_a_change_of_a_key_that_cannot_be_signed_is_made_and_told(tmp_path: Path, capsys):
    data = tmp_path / "data"
    assert main(["keys", "create", "--user", "alice", "--service", "chat", "--data", str(data)]) == 0
    assert "signature" not in capsys.readouterr().err
    (data / "audit.key").write_bytes(b"")
    assert main(["keys", "create", "--user", "bob", "--service", "chat", "--data", str(data)]) == 0
    assert (
        "audit.key: cannot be read: it is no key; the change is on the audit log without a" in capsys.readouterr().err
    )
    assert main(["audit", "head", "--data", str(data)]) == 1
    assert "audit.key: cannot be read" in capsys.readouterr().err

"""`aigate init`."""

import os
import tomllib

import pytest

from edge.cli import main
from edge.config.read import read


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("AIGATE", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "Asia/Tokyo")


def test_a_file_is_written_where_the_gate_looks_and_is_good(tmp_path, capsys):
    assert main(["init"]) == 0
    file = tmp_path / ".config/aigate/aigate.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[0] == f"{file}: written"
    assert "`aigate check` and `aigate run`" in out
    assert read(file, {}).config.limits.timezone == "Asia/Tokyo"
    assert main(["check"]) == 0


def test_a_file_that_is_there_stays_unless_forced(tmp_path, capsys):
    file = tmp_path / "a.toml"
    file.write_text("mine")
    assert main(["init", "--config", str(file)]) == 1
    assert f"{file} is there already; --force replaces it" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert main(["init", "--force", "--config", str(file)]) == 0
    assert f"aigate run --config {file}" in capsys.readouterr().out
    assert "timezone" in tomllib.loads(file.read_text())["limits"]


def test_the_data_folder_is_written_down(tmp_path):
    file, data = tmp_path / "a.toml", tmp_path / 'a "b" \\c'
    assert main(["--config", str(file), "--data", str(data), "init"]) == 0
    assert read(file, {}).config.data_dir == data


def test_the_named_file_is_written(tmp_path, monkeypatch):
    file = tmp_path / "new" / "a.toml"
    monkeypatch.setenv("AIGATE_CONFIG", str(file))
    assert main(["init"]) == 0
    assert file.is_file()


def test_a_folder_that_cannot_be_written_is_told(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["init", "--config", str(tmp_path / "file" / "a.toml")]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert err.startswith(f"aigate: {tmp_path}/file: ")

"""The command as a whole: verbs, exit codes, and what goes to standard error."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from edge import __version__, cli
from edge.cli.common import Places, common
from edge.errors import ConfigError, ConfigErrors, StoreError


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No configuration and no data of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("AIGATE", "XDG_", "STATE_DIRECTORY")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def verb(monkeypatch):
    """Put a command in the place of a verb."""

    def put(command: click.Command, name: str = "run") -> None:
        module = ModuleType(f"edge.cli.{name}")
        module.command = command
        module.__spec__ = cli.__spec__
        monkeypatch.setitem(sys.modules, f"edge.cli.{name}", module)

    return put


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"aigate {__version__}\n"


def test_help_names_the_verbs_without_loading_them(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("edge.cli.") and name != "edge.cli.common"]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "check" in said
    assert "init" in said
    assert "edge.cli.check" not in sys.modules


@pytest.mark.parametrize("name", sorted(cli.LATER))
def test_a_later_verb_is_not_built_yet(capsys, name):
    assert cli.main([name, "--whatever"]) == 2
    assert f"`aigate {name}` is not built yet" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["nothing"], ["check", "--nothing"], ["check", "too", "many"], ["--config"]])
def test_wrong_usage_is_2_in_two_lines(capsys, argv):
    assert cli.main(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) <= 2
    assert "--help` shows what there is" in said.err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (StoreError("the keys cannot be read"), 1, "aigate: the keys cannot be read\n"),
        (ConfigError("a.b", "is wrong", "f.toml", 3), 78, "f.toml:3: a.b: is wrong\n"),
        (ConfigErrors((ConfigError("a", "x"), ConfigError("b", "y"))), 78, "a: x\nb: y\n"),
        (click.ClickException("no"), 1, "aigate: no\n"),
        (FileNotFoundError(2, "No such file or directory", "/x"), 1, "aigate: /x: No such file or directory\n"),
        (KeyboardInterrupt(), 1, "\n"),
        (EOFError(), 1, "\n"),
    ],
)
def test_each_failure_has_its_code_and_no_traceback(verb, capsys, error, code, said):
    @click.command()
    def command():
        raise error

    verb(command)
    assert cli.main(["run"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.lstrip("\n") == said.lstrip("\n")


def test_a_fault_of_our_own_is_one_line_without_what_it_holds(verb, capsys, monkeypatch):
    @click.command()
    def command():
        raise ValueError("aig_secret")

    verb(command)
    assert cli.main(["run"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("aigate: a fault of aigate itself: ValueError at test_main.py:")
    assert "aig_secret" not in said
    monkeypatch.setenv("AIGATE_TRACEBACK", "1")
    with pytest.raises(ValueError, match="aig_secret"):
        cli.main(["run"])


def test_a_verbs_own_exit_code_stays(verb):
    @click.command()
    @click.pass_context
    def command(ctx):
        ctx.exit(1)

    verb(command)
    assert cli.main(["run"]) == 1


@pytest.mark.parametrize(
    "argv",
    [
        ["--config", "C", "--data", "D", "run", "deep"],
        ["run", "--config", "C", "--data", "D", "deep"],
        ["run", "deep", "--config", "C", "--data", "D"],
        ["--data", "X", "--config", "X", "run", "--data", "Y", "deep", "--config", "C", "--data", "D"],
    ],
)
def test_config_and_data_are_taken_before_and_after_the_verb(verb, argv):
    seen = []

    @click.group()
    @common(passed=False)
    def group():
        pass

    @group.command()
    @common()
    def deep(places: Places):
        seen.append((places.config, places.data))

    verb(group)
    assert cli.main(argv) == 0
    assert seen == [(Path("C"), Path("D"))]


def test_a_verb_that_writes_says_where_and_whether_a_gate_is_there(tmp_path, capsys, monkeypatch):
    from edge.home import Lock

    monkeypatch.chdir(tmp_path)
    folder = Places(data=Path("d")).writing()
    assert folder == tmp_path / "d"
    assert capsys.readouterr().err == f"aigate: data folder {folder}\naigate: no gate is running on this data folder\n"
    lock = Lock.take(folder)
    Places(data=Path("d")).writing()
    assert capsys.readouterr().err == f"aigate: data folder {folder}\n"
    lock.release()


def test_the_data_folder_of_the_configuration_counts_unless_another_is_named(tmp_path, monkeypatch):
    file = tmp_path / "a.toml"
    file.write_text('data_dir = "mine"')
    assert Places(config=file).folder == tmp_path / "mine"
    monkeypatch.setenv("AIGATE_DATA_DIR", "/b")
    assert Places(config=file).folder == Path("/b")
    # A broken configuration stands in nobody's way who has named the folder.
    file.write_text("data_dir = 5")
    assert Places(config=file, data=Path("/a")).folder == Path("/a")


def run(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    script = "import sys; from edge.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", script, *argv], capture_output=True, text=True, env={**os.environ, **environ}, timeout=60
    )


def test_as_a_process(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("lisen = 1\n")
    done = run("check", AIGATE_CONFIG=str(file))
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == f'{file}:1: lisen: is not a setting; did you mean "listen"?\n'
    done = run("check", "--json", "--config", str(file))
    assert done.returncode == 78
    assert json.loads(done.stdout)["errors"][0]["line"] == 1
    assert run().returncode == 2


def test_a_reader_that_leaves_is_no_traceback():
    script = "import sys; from edge.cli import main; sys.exit(main(['--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(30) == 1

"""`aigate check`."""

import json
import os

import pytest

from edge.cli import main


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("AIGATE", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "aigate.toml"


GOOD = """
[services.chat]
plugin = "ollama"
[services.web]
plugin = "http"
route = "web.example.org/"
upstreams = ["http://127.0.0.1:8000", "unix:/run/web.sock"]
"""


def test_a_good_file_is_named_with_its_services(file, capsys):
    file.write_text(GOOD)
    assert main(["check", "--config", str(file)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"{file}: good",
        "SERVICE  PLUGIN  ROUTE             UPSTREAMS",
        "chat     ollama  /chat/api         (the plugin's own)",
        "web      http    web.example.org/  http://127.0.0.1:8000 unix:/run/web.sock",
    ]


def test_the_same_as_json(file, capsys):
    file.write_text(GOOD + '[cors]\norigins = ["*"]\n')
    assert main(["check", "--json", "--config", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert told["file"] == str(file)
    assert len(told["warnings"]) == 1
    assert told["services"]["web"] == {
        "plugin": "http",
        "route": "web.example.org/",
        "upstreams": ["http://127.0.0.1:8000", "unix:/run/web.sock"],
    }


def test_every_error_is_printed_those_of_plugins_too(file, capsys):
    file.write_text(
        '[services.a]\nplugin = "olama"\n[services.b]\nplugin = "http"\noptions = { websockets = true }\nupstreams = ["http://b"]\n[limits]\nbody = "?"\n'
    )
    assert main(["check", "--config", str(file)]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == f'{file}:2: services.a.plugin: "olama" is not a plugin; did you mean "ollama"?'
    assert lines[1] == f'{file}:5: services.b.options.websockets: is not a setting; did you mean "websocket"?'
    assert lines[2].startswith(f"{file}:8: limits.body: ")
    assert len(lines) == 3


def test_a_service_that_needs_an_address_and_has_none_is_told(file, capsys):
    file.write_text('[services.a]\nplugin = "openai"\n[services.b]\nplugin = "http"\n')
    assert main(["check", "--config", str(file)]) == 78
    assert capsys.readouterr().err == f'{file}:3: services.b.upstreams: say where it is: ["http://127.0.0.1:9000"]\n'


@pytest.mark.parametrize("environ", [False, True])
def test_a_service_whose_address_is_wrong_is_told_once(file, capsys, monkeypatch, environ):
    file.write_text('[services.b]\nplugin = "http"\n' + ("" if environ else 'upstreams = ["ftp://b"]\n'))
    if environ:
        monkeypatch.setenv("AIGATE_SERVICES__B__UPSTREAMS", "ftp://b")
    assert main(["check", "--config", str(file)]) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not an upstream" in line


def test_a_file_without_services_is_said_to_start_nothing(file, capsys):
    file.write_text("[drain]\n")
    assert main(["check", "--config", str(file)]) == 0
    good, says = capsys.readouterr().out.splitlines()
    assert good == f"{file}: good"
    assert says.startswith("there are no services yet")
    assert main(["check", "--json", "--config", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == [says]


def test_errors_as_json(file, capsys):
    file.write_text("a = 1\nb = 2\n")
    assert main(["check", "--json", "--config", str(file)]) == 78
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert [(error["file"], error["line"], error["path"]) for error in told["errors"]] == [
        (str(file), 1, "a"),
        (str(file), 2, "b"),
    ]


def test_without_a_file_the_defaults_are_said_to_hold(capsys):
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "no configuration file: the defaults hold\n"


def test_a_file_that_others_may_write_is_not_read(file, capsys):
    file.write_text("nonsense")
    file.chmod(0o666)
    assert main(["check", "--config", str(file)]) == 78
    assert capsys.readouterr().err == f"{file}: the configuration can be changed by others; `chmod go-w {file}`\n"


def test_a_plugin_of_ones_own_is_asked_and_one_that_others_may_write_is_not(file, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir(0o700)
    (folder / "broken.py").write_text("1 / 0\n")
    file.write_text('plugin_dirs = ["mine"]\n')
    assert main(["check", "--config", str(file)]) == 78
    assert f"{folder}/broken.py:1: ZeroDivisionError" in capsys.readouterr().err
    (folder / "broken.py").unlink()
    assert main(["check", "--config", str(file)]) == 0
    folder.chmod(0o777)
    capsys.readouterr()
    assert main(["check", "--config", str(file)]) == 78
    assert capsys.readouterr().err == f"{folder}: the plugin folder can be changed by others; `chmod go-w {folder}`\n"
    folder.chmod(0o700)
    plugin = folder / "broken.py"
    plugin.write_text("1 / 0\n")
    plugin.chmod(0o620)
    assert main(["check", "--config", str(file)]) == 78
    # Judged before it is run.
    assert capsys.readouterr().err == f"{plugin}: the plugin can be changed by others; `chmod go-w {plugin}`\n"


def test_the_one_of_two_that_counts_is_named(tmp_path, monkeypatch, capsys):
    own, system = tmp_path / ".config/aigate/aigate.toml", tmp_path / "system.toml"
    own.parent.mkdir(parents=True)
    own.touch(0o600)
    system.touch(0o600)
    monkeypatch.setattr("edge.config.load.find_configuration", lambda given, environ, _: find(given, environ, system))
    from edge.home import find_configuration as find

    assert main(["check"]) == 0
    assert capsys.readouterr().err == f"aigate: {own}: taken as the configuration; {system} is passed over\n"


CELLAR = """from attrs import frozen
from zope.interface import implementer
from edge.interfaces import IServicePlugin

@implementer(IServicePlugin)
@frozen
class Cellar:
    name: str = "cellar"
    api: int = 1

    def configure(self, settings, bench):
        return bench.openai(settings["upstreams"])

cellar = Cellar()
"""


def test_routes_that_only_the_start_can_judge_are_named(file, capsys):
    plugins = file.parent / "mine"
    plugins.mkdir(mode=0o700)
    (plugins / "cellar.py").write_text(CELLAR)
    table = '[services.{}]\nplugin = "cellar"\n{}'
    file.write_text('plugin_dirs = ["mine"]\n' + table.format("up", "") + table.format("down", ""))
    assert main(["check", "--config", str(file)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "only the start tells whether the route of up, down is free; `route = …` names one here"
    file.write_text('plugin_dirs = ["mine"]\n' + table.format("up", 'route = "/up"\n'))
    assert main(["check", "--config", str(file)]) == 0
    assert "only the start" not in capsys.readouterr().out

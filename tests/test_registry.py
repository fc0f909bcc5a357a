"""Plugins are found by path and by entry point, and whatever is wrong with one stops the start with file, line and reason."""

import os
import sys
from importlib.metadata import EntryPoint, PathDistribution
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger

from edge.backends.bench import Bench
from edge.errors import ConfigError, PluginError
from edge.registry import Registry

SHIPPED = Path(__file__).parents[1] / "plugins"
CELLAR = '''"""Chat completions from the vLLM machine in the cellar."""
from attrs import frozen
from zope.interface import implementer
from edge.interfaces import IServicePlugin

@implementer(IServicePlugin)
@frozen
class Cellar:
    name: str = "cellar"
    api: int = 1

    def configure(self, settings, bench):
        return bench.openai(settings["upstreams"]).with_header("X-Model-Room", "cellar")

cellar = Cellar()
'''


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "mine"
    made.mkdir()
    return made


def load(*folders, points=(), log=None):
    return Registry.load(SHIPPED, folders, points=points, log=log)


def broken(folder, text, name="broken.py"):
    """What loading says of a folder with one more file in it."""
    (folder / name).write_text(text)
    with pytest.raises(PluginError) as caught:
        load(folder)
    said = str(caught.value)
    assert "\n" not in said
    return said


def use(registry, name, tmp_path):
    bench = Bench(name="chat", clock=Clock(), folder=tmp_path, kinds=registry.kinds)
    settings = {"name": "chat", "upstreams": ("http://10.0.0.9:8000",), "route": "", "options": {}}
    return registry.require(name).configure(settings, bench)


def installed(site, text, value="cellar_plugin:cellar", dist="cellar"):
    """An entry point of a package that is really there: metadata and module in a folder on sys.path."""
    (site / "cellar_plugin.py").write_text(text)
    info = site / f"{dist}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[aigate.plugins]\ncellar = {value}\n")
    return list(PathDistribution(info).entry_points)


@pytest.fixture
def site(tmp_path, monkeypatch):
    made = tmp_path / "site"
    made.mkdir()
    monkeypatch.syspath_prepend(str(made))
    yield made
    sys.modules.pop("cellar_plugin", None)


def test_fifteen_lines_in_a_folder_are_a_plugin(folder, tmp_path):
    (folder / "cellar.py").write_text(CELLAR)
    service = use(load(folder), "cellar", tmp_path)
    assert service.name == "chat"
    assert service.upstreams == ("http://10.0.0.9:8000",)
    assert service.fields == ((b"X-Model-Room", b"cellar"),)
    assert service.traits.rule_for("POST", "/v1/chat/completions").work
    assert service.traits.map(b"/chat/completions") == b"/v1/chat/completions"


PROXY = """from attrs import frozen
from zope.interface import implementer
from edge.core.service import Question, Traits
from edge.interfaces import IServicePlugin

@implementer(IServicePlugin)
@frozen
class Odd:
    name: str = "odd"
    api: int = 1

    def configure(self, settings, bench):
        return bench.proxy({upstreams}, Traits(kind="odd"{traits})){more}

odd = Odd()
"""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"upstreams": '["ftp://box"]'}, "an upstream is written"),
        ({"upstreams": '["http://box?secret=hunter2"]'}, "an upstream is written"),
        ({"upstreams": '["http://user:hunter2@box"]'}, "an upstream is written"),
        ({"upstreams": '["http://box:0"]'}, "0 is no port"),
        ({"upstreams": '["unix:x.sock"]'}, "a unix upstream is written"),
        ({"more": '.with_header("Host", "hunter2")'}, "the header field Host is the gate's own to write"),
        ({"more": '.with_header("connection", "close")'}, "the header field connection is the gate's own to write"),
        ({"more": '.with_header("Transfer-Encoding", "chunked")'}, "the header field Transfer-Encoding is the gate's"),
        ({"more": '.with_header("Content-Length", "0")'}, "the header field Content-Length is the gate's"),
        ({"traits": ', headers=((b"HOST", b"hunter2"),)'}, "the header field HOST is the gate's own to write"),
        ({"traits": ', headers=((b"X-Key", b"hunter2\\r\\nHost: x"),)'}, "the header field b'X-Key' cannot be sent"),
        ({"traits": ', headers=((b"X Key", b"hunter2"),)'}, "the header field b'X Key' cannot be sent"),
        ({"traits": ', health=Question("/\u00fc")'}, "the path '/\u00fc' "),
        ({"traits": ', jobs="queue"'}, "the path 'queue' "),
        ({"more": ".with_traits(jobs='queue')"}, "the path 'queue' "),
    ],
)
def test_a_service_that_could_never_be_asked_is_told_with_the_plugins_line(folder, tmp_path, changed, said):
    given = {"upstreams": '["http://box"]', "traits": "", "more": ""} | changed
    (folder / "odd.py").write_text(PROXY.format(**given))
    with pytest.raises(PluginError) as caught:
        use(load(folder), "odd", tmp_path)
    assert str(caught.value).startswith(f"{folder / 'odd.py'}:13: ValueError: {said}")
    assert "hunter2" not in str(caught.value)


def test_fifteen_lines_in_a_package_are_a_plugin(site, tmp_path):
    installed(site, CELLAR)
    registry = Registry.load(SHIPPED)
    assert use(registry, "cellar", tmp_path).fields == ((b"X-Model-Room", b"cellar"),)
    assert registry.require("cellar").source == "cellar (cellar_plugin:cellar)"


def test_an_entry_point_may_name_a_module(site):
    assert "cellar" in load(points=installed(site, CELLAR, value="cellar_plugin"))


def test_loading_leaves_nothing_behind(folder):
    (folder / "cellar.py").write_text(CELLAR)
    before = list(sys.path)
    load(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["cellar.py"]
    assert sys.path == before
    assert "cellar" not in sys.modules


def test_planted_bytecode_is_not_run(folder):
    import py_compile

    (folder / "cellar.py").write_text(CELLAR.replace('"cellar"', '"planted"'))
    stat = (folder / "cellar.py").stat()
    py_compile.compile(str(folder / "cellar.py"))
    (folder / "cellar.py").write_text(CELLAR.replace('"cellar"', '"genuine"'))
    os.utime(folder / "cellar.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    registry = load(folder)
    assert "genuine" in registry
    assert "planted" not in registry


def test_an_operators_plugin_wins_over_a_shipped_one_with_a_line(folder, capsys):
    (folder / "mine.py").write_text(CELLAR.replace('"cellar"', '"ollama"', 1))
    events = []
    registry = load(folder, log=Logger(observer=events.append))
    assert registry.require("ollama").source == str(folder / "mine.py")
    assert not registry.require("ollama").shipped
    (event,) = events
    assert event["name"] == "ollama"
    assert event["source"] == str(folder / "mine.py")


def test_a_clash_among_operators_own_stops(folder, tmp_path):
    (folder / "one.py").write_text(CELLAR)
    said = broken(folder, CELLAR, "two.py")
    assert said == f"{folder / 'two.py'}: the plugin 'cellar' is also in {folder / 'one.py'}; take one of them away"


def test_a_clash_of_a_folder_and_a_package_stops(folder, site):
    (folder / "one.py").write_text(CELLAR)
    with pytest.raises(PluginError, match="also in"):
        load(folder, points=installed(site, CELLAR))


def test_two_folders_may_have_a_file_of_the_same_name(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (folder / "room.py").write_text(CELLAR)
    (other / "room.py").write_text(CELLAR.replace('"cellar"', '"attic"', 1))
    registry = load(folder, other)
    assert {"cellar", "attic"} <= set(registry.plugins)


def test_a_syntax_error_is_told_with_its_line(folder):
    said = broken(folder, "x = 1\ny = = 2\n")
    assert said.startswith(f"{folder / 'broken.py'}:2: SyntaxError: ")


def test_an_exception_is_told_with_the_plugins_own_line(folder):
    said = broken(folder, "import json\n\njson.loads('{')\n")
    assert said.startswith(f"{folder / 'broken.py'}:3: JSONDecodeError: ")


def test_an_exit_is_told_like_any_other_failure(folder):
    assert broken(folder, "raise SystemExit(3)\n") == f"{folder / 'broken.py'}:1: SystemExit: 3"


def test_a_missing_import_is_told(folder):
    said = broken(folder, "import surely_not_installed\n")
    assert said == f"{folder / 'broken.py'}:1: ModuleNotFoundError: No module named 'surely_not_installed'"


def test_bytes_that_are_no_text_are_told(folder):
    (folder / "broken.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PluginError, match=r"broken\.py.*Error: "):
        load(folder)


def test_a_file_that_cannot_be_read_is_told(somebody):
    (somebody / "broken.py").write_text(CELLAR)
    (somebody / "broken.py").chmod(0)
    with pytest.raises(PluginError, match="cannot be read: Permission denied"):
        load(somebody)


def test_a_dangling_link_is_told(folder):
    (folder / "broken.py").symlink_to(folder / "nowhere")
    with pytest.raises(PluginError, match="cannot be read: No such file"):
        load(folder)


def test_a_file_without_a_plugin_is_told(folder):
    assert broken(folder, "x = 1\n").endswith("holds no plugin: nothing in it provides IServicePlugin")


def test_a_class_that_is_never_made_is_told(folder):
    said = broken(folder, CELLAR.replace("cellar = Cellar()\n", ""))
    assert said.endswith("holds no plugin: Cellar is never made: end with `plugin = Cellar()`")


def test_a_plugin_of_another_version_is_told(folder):
    said = broken(folder, CELLAR.replace("api: int = 1", "api: int = 2"))
    assert said.endswith("is written for version 2 of the plugin interface; this gate speaks version 1")


def test_a_missing_method_is_told(folder):
    said = broken(folder, CELLAR.replace("def configure", "def arrange"))
    assert "is no service plugin" in said
    assert "configure" in said


def test_a_wrong_signature_is_told(folder):
    said = broken(folder, CELLAR.replace("(self, settings, bench)", "(self, settings)"))
    assert "is no service plugin" in said
    assert "configure" in said


def test_traits_that_are_none_are_told(folder):
    text = CELLAR.replace("import IServicePlugin", "import IKnownKind, IServicePlugin")
    text = text.replace("@implementer(IServicePlugin)", "@implementer(IServicePlugin, IKnownKind)")
    assert broken(folder, text.replace("api: int = 1", "api: int = 1; traits: str = 'fast'")).endswith(
        "its traits are a str, not edge.core.service.Traits"
    )


def test_a_failure_inside_a_library_is_told_with_the_plugins_line(folder):
    said = broken(folder, "import json\n\ndef read():\n    json.loads('{')\n\nread()\n")
    assert said.startswith(f"{folder / 'broken.py'}:4: JSONDecodeError: ")


def test_a_wrong_name_is_told(folder):
    assert "must be lower-case" in broken(folder, CELLAR.replace('"cellar"', '"The Cellar"', 1))


def test_a_broken_entry_point_is_told_with_its_package_and_line(site):
    points = installed(site, "x = 1\nraise RuntimeError('no\\nGPU')\n")
    with pytest.raises(PluginError) as caught:
        load(points=points)
    assert str(caught.value) == f"cellar (cellar_plugin:cellar): {site / 'cellar_plugin.py'}:2: RuntimeError: no GPU"


def test_an_entry_point_to_nothing_is_told():
    with pytest.raises(PluginError, match=r"\? \(surely_not_there:x\): ModuleNotFoundError"):
        load(points=[EntryPoint("x", "surely_not_there:x", "aigate.plugins")])


def test_an_entry_point_to_something_else_is_told():
    with pytest.raises(PluginError, match="plugin interface"):
        load(points=[EntryPoint("x", "json:dumps", "aigate.plugins")])


def test_a_folder_or_file_that_others_may_write_does_not_load(folder):
    (folder / "cellar.py").write_text(CELLAR)
    (folder / "cellar.py").chmod(0o666)
    with pytest.raises(PluginError, match=r"cellar\.py: this plugin can be changed by others; `chmod go-w"):
        load(folder)
    (folder / "cellar.py").chmod(0o600)
    load(folder)
    folder.chmod(0o777)
    with pytest.raises(PluginError, match="this plugin folder can be changed by others"):
        load(folder)


def test_files_that_begin_with_an_underscore_are_passed_over(folder):
    (folder / "_later.py").write_text("raise RuntimeError")
    load(folder)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(PluginError, match="this plugin folder cannot be read: No such file or directory"):
        load(tmp_path / "nowhere")


def test_an_unknown_name_is_told_with_the_nearest():
    registry = load()
    with pytest.raises(PluginError, match=r"aigate\.toml: there is no plugin called 'olama'; did you mean 'ollama'\?"):
        registry.require("olama", "aigate.toml")
    with pytest.raises(PluginError, match="there are demo, http, image"):
        registry.require("zzzzzz")


def test_what_configure_raises_is_told_with_the_plugins_own_line(folder, tmp_path):
    (folder / "cellar.py").write_text(CELLAR.replace("return bench", "{}['GPU']; return bench"))
    with pytest.raises(PluginError) as caught:
        use(load(folder), "cellar", tmp_path)
    assert str(caught.value) == f"{folder / 'cellar.py'}:13: KeyError: 'GPU'"


def test_what_the_bench_finds_wrong_with_the_configuration_is_told_as_such(folder, tmp_path):
    (folder / "cellar.py").write_text(
        CELLAR.replace("bench.openai", "bench.http").replace('settings["upstreams"]', "[]")
    )
    with pytest.raises(ConfigError, match=r"services\.chat\.upstreams"):
        use(load(folder), "cellar", tmp_path)


def test_a_configure_that_makes_no_service_is_told(folder, tmp_path):
    (folder / "cellar.py").write_text(CELLAR.replace("return bench", "bench"))
    with pytest.raises(PluginError, match=r"cellar\.py: configure\(\) made a NoneType, not a service"):
        use(load(folder), "cellar", tmp_path)


def test_what_plugins_say_beforehand(folder):
    (folder / "cellar.py").write_text(CELLAR)
    registry = load(folder)
    assert registry.known["cellar"] is None
    assert registry.known["ollama"] is registry.kinds["ollama"]
    assert "cellar" not in registry.kinds


def test_a_bench_knows_only_what_plugins_say(tmp_path):
    bench = Bench(name="chat", clock=Clock(), folder=tmp_path)
    with pytest.raises(ConfigError, match=r"services\.chat\.plugin: no plugin knows a kind of service called 'openai'"):
        bench.openai([])


def test_a_service_that_may_be_anywhere_must_be_told_where(tmp_path):
    bench = Bench(name="chat", clock=Clock(), folder=tmp_path, kinds=load().kinds)
    with pytest.raises(ConfigError, match=r"services\.chat\.upstreams"):
        bench.http([])
    assert bench.http("http://10.0.0.2").upstreams == ("http://10.0.0.2",)


@pytest.mark.parametrize(("name", "value"), [("X Y", "a"), ("", "a"), ("X", "a\r\nB: c"), ("X", "ü"), ("X:", "a")])
def test_a_header_that_could_not_be_sent_is_refused(tmp_path, name, value):
    bench = Bench(name="chat", clock=Clock(), folder=tmp_path, kinds=load().kinds)
    with pytest.raises(ValueError, match=r"header|holds"):
        bench.openai([]).with_header(name, value)


def test_what_a_header_holds_is_never_shown(tmp_path):
    bench = Bench(name="chat", clock=Clock(), folder=tmp_path, kinds=load().kinds)
    service = bench.openai([]).with_header("Authorization", "Bearer hunter2")
    assert "hunter2" not in repr(service.with_traits(headers=((b"X-Api-Key", b"hunter2"),)))
    with pytest.raises(ValueError, match="Authorization") as caught:
        service.with_header("Authorization", "Bearer hunter2\n")
    assert "hunter2" not in str(caught.value)

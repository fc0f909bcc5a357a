"""Services beside what their plugins say beforehand."""

import pytest
from attrs import frozen

from edge.config.read import read
from edge.config.services import Settled, settle
from edge.core.service import Traits
from edge.errors import ConfigErrors


@frozen
class Options:
    voice: str = "anna"
    speed: float = 1.0


KNOWN = {
    "ollama": Traits(kind="ollama", route="/chat/api"),
    "tts": Traits(kind="tts", options=Options),
    "cellar": None,
}


def reading(tmp_path, text):
    file = tmp_path / "aigate.toml"
    file.write_text(text)
    return read(file, {})


def test_routes_and_options_are_settled(tmp_path):
    assert settle(
        reading(
            tmp_path,
            """
            [services.chat]
            plugin = "ollama"
            [services.voice]
            plugin = "tts"
            options = { speed = 2 }
            [services.wine]
            plugin = "cellar"
            options = { any = [1] }
            [services.own]
            plugin = "tts"
            route = "/own"
            """,
        ),
        KNOWN,
    ) == {
        "chat": Settled("/chat/api", {}),
        "voice": Settled("/voice/api", Options(speed=2.0)),
        "wine": Settled("", {"any": [1]}),
        "own": Settled("/own", Options()),
    }


@pytest.mark.parametrize(
    ("text", "line", "path", "said"),
    [
        ('[services.a]\nplugin = "olama"', 2, "services.a.plugin", 'did you mean "ollama"?'),
        (
            '[services.a]\nplugin = "tts"\noptions = { voise = 1 }',
            3,
            "services.a.options.voise",
            'did you mean "voice"?',
        ),
        (
            '[services.a]\nplugin = "tts"\n[services.a.options]\nspeed = "x"',
            4,
            "services.a.options.speed",
            "expects a number",
        ),
        ('[services.a]\nplugin = "ollama"\noptions = { x = 1 }', 3, "services.a.options", "has no settings of its own"),
        (
            '[services.a]\nplugin = "ollama"\n[services.b]\nplugin = "ollama"',
            3,
            "services.b.route",
            "is the route of 'a' already",
        ),
        (
            '[services.a]\nplugin = "tts"\nroute = "/b"\n[services.b]\nplugin = "tts"',
            4,
            "services.b.route",
            "overlaps the route of 'a'",
        ),
    ],
)
def test_what_a_plugin_knows_better_is_told_with_file_and_line(tmp_path, text, line, path, said):
    read_so_far = reading(tmp_path, text)
    with pytest.raises(ConfigErrors) as caught:
        settle(read_so_far, KNOWN)
    (error,) = caught.value.errors
    assert (error.file, error.line, error.path) == (read_so_far.file, line, path)
    assert said in error.say

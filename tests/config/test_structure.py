"""A plugin's own settings, judged by its attrs class."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

import pytest
from attrs import field, frozen, validators

from edge.config.kinds import Duration, Size
from edge.config.structure import structure_options
from edge.errors import ConfigErrors


@frozen
class Voice:
    name: str
    pitch: float = 1.0


@frozen
class Options:
    voices: tuple[Voice, ...] = ()
    by_name: dict[str, Voice] = field(factory=dict)
    speed: float = field(default=1.0, validator=validators.ge(0.5))
    format: Literal["wav", "mp3"] = "wav"
    models: Path = Path("models")
    wait: Duration = 1.0
    cache: Size | None = None
    network: IPv4Network | IPv6Network | None = None
    accent: str = field(default="", validator=validators.in_(["", "x"]))

    def __attrs_post_init__(self) -> None:
        if self.wait > 60:
            raise ValueError("voices wait a minute at most")


def test_options_have_the_types_that_their_class_says(tmp_path):
    made = structure_options(
        Options,
        {
            "voices": [{"name": "anna"}, {"name": "bert", "pitch": 2}],
            "by_name": {"x": {"name": "y"}},
            "models": "here",
            "wait": "5s",
            "cache": "1 KiB",
        },
        "services.tts.options",
        tmp_path,
    )
    assert made == Options(
        (Voice("anna"), Voice("bert", 2.0)), {"x": Voice("y")}, models=tmp_path / "here", wait=5.0, cache=1024
    )


def test_every_error_is_told_with_its_path():
    with pytest.raises(ConfigErrors) as caught:
        structure_options(
            Options,
            {
                "voices": [{"name": "anna"}, {"nam": "bert"}, 3],
                "by_name": {"a b": {"name": 1}},
                "format": "ogg",
                "speed": True,
                "cache": [],
                "network": "x",
                "vioces": 1,
            },
            "services.tts.options",
        )
    assert {error.path: error.say for error in caught.value.errors} == {
        "services.tts.options.voices[1].name": "is missing",
        "services.tts.options.voices[1].nam": 'is not a setting; did you mean "name"?',
        "services.tts.options.voices[2]": "expects a table; this is a whole number",
        'services.tts.options.by_name."a b".name': 'expects text in quotes, like "name"; this is a whole number',
        "services.tts.options.format": "expects one of 'wav', 'mp3'",
        "services.tts.options.speed": "expects a number, like 0.5; this is true or false",
        "services.tts.options.cache": 'expects a size, like "64 KiB"; this is a list',
        "services.tts.options.network": "'x' is not a network; write it like 192.168.1.0/24 or fd00::/8",
        "services.tts.options.vioces": 'is not a setting; did you mean "voices"?',
    }


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"speed": 0.1}, "'speed' must be >= 0.5: 0.1"),
        ({"wait": "2m"}, "voices wait a minute at most"),
        ({"accent": "y"}, "'accent' must be in ['', 'x'] (got 'y')"),
    ],
)
def test_the_classs_own_rules_are_told(raw, said):
    with pytest.raises(ConfigErrors) as caught:
        structure_options(Options, raw, "services.tts.options")
    assert [error.say for error in caught.value.errors] == [said]


def test_a_type_that_no_setting_can_have_is_the_plugins_fault():
    class Odd:
        pass

    @frozen
    class Strange:
        odd: Odd | int

    with pytest.raises(ConfigErrors, match="mend the plugin's options class"):
        structure_options(Strange, {"odd": 1}, "services.tts.options")


def test_without_settings_the_defaults_hold():
    assert structure_options(Options, {}, "services.tts.options") == Options()

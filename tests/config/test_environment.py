"""Settings from the environment."""

from pathlib import Path
from typing import Literal

import pytest

from edge.config.environment import settings, value_of
from edge.config.kinds import Address, Count, Upstream
from edge.config.read import read
from edge.errors import ConfigErrors


def test_only_names_with_two_underscores_count():
    kubernetes = {
        "AIGATE_SERVICE_HOST": "10.0.0.1",
        "AIGATE_PORT_8443_TCP_PROTO": "tcp",
        "AIGATE_CONFIG": "/x",
        "AIGATE_DATA_DIR": "/y",
        "OTHER__THING": "1",
    }
    assert settings(kubernetes) == {}
    assert settings({**kubernetes, "AIGATE_LISTEN__HTTPS": "1"}) == {"AIGATE_LISTEN__HTTPS": "1"}


def test_the_environment_wins_over_the_file(tmp_path):
    file = tmp_path / "aigate.toml"
    file.write_text("[listen]\nhttps = 1\nops = 2\n")
    listen = read(file, {"AIGATE_LISTEN__HTTPS": "9443", "AIGATE_LISTEN__HTTP": ""}).config.listen
    assert (listen.https, listen.http, listen.ops) == ((Address(port=9443),), (), (Address(port=2),))


def test_a_service_can_come_from_the_environment_alone():
    chat = read(
        None,
        {
            "AIGATE_SERVICES__CHAT__PLUGIN": "ollama",
            "AIGATE_SERVICES__CHAT__UPSTREAMS": '["http://gpu:11434"]',
            "AIGATE_SERVICES__CHAT__TIMEOUTS__CONNECT": "1s",
            "AIGATE_SERVICES__CHAT__QUEUE": '{"length": 3}',
        },
    ).config.services["chat"]
    assert chat.upstreams == (Upstream("http", "gpu", 11434),)
    assert (chat.timeouts.connect, chat.queue.length) == (1.0, 3)


def test_a_hyphen_is_written_as_an_underscore(tmp_path):
    file = tmp_path / "aigate.toml"
    file.write_text('[services.my-tts]\nplugin = "tts"\n')
    config = read(file, {"AIGATE_SERVICES__MY_TTS__ROUTE": "/voice"}).config
    assert list(config.services) == ["my-tts"]
    assert config.services["my-tts"].route == "/voice"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("9443", Count, 9443),
        ("true", bool, True),
        ("1.2", Literal["1.2", "1.3"], "1.2"),
        ("12345", str, "12345"),
        ('"quoted"', str, "quoted"),
        ("/x/y", Path, "/x/y"),
        ("/x/y", Path | None, "/x/y"),
        ("2001-01-01", str, "2001-01-01"),
        ("*", tuple[str, ...], ["*"]),
        ("1", tuple[str, ...], [1]),
        ("", tuple[str, ...], []),
        ('["a", "b"]', tuple[str, ...], ["a", "b"]),
        ("5s", float, "5s"),
        ('{"a": {"b": 1}}', dict, {"a": {"b": 1}}),
        ("{a = 1}", dict, {"a": 1}),
        ("a\nb = 1", str, "a\nb = 1"),
    ],
)
def test_a_value_is_toml_json_or_plain_text_by_what_the_setting_takes(text, kind, value):
    assert value_of(text, kind) == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("AIGATE_EDGE__HTTP2", "maybe", "expects true or false; this is text"),
        ("AIGATE_EDGE__HTTP3", "true", 'is not a setting; did you mean "http2"?'),
        ("AIGATE_FOO__BAR", "1", "foo is not a setting"),
        ("AIGATE_LISTEN__", "1", "joined by two underscores"),
        ("AIGATE_DATA_DIR__X", "1", "expects a path"),
        ("AIGATE_SERVICES__X__ROUTE", "/x", "services.x.plugin is missing"),
        ("AIGATE_CORS__ORIGINS", '["https://a", "b"]', "cors.origins[1] 'b' is not an origin"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name(name, text, said):
    with pytest.raises(ConfigErrors) as caught:
        read(None, {name: text})
    (error,) = caught.value.errors
    assert (error.file, error.line, error.path) == ("environment", None, name)
    assert said in error.say


def test_a_variable_below_a_value_is_told(tmp_path):
    file = tmp_path / "aigate.toml"
    file.write_text('data_dir = "x"\n')
    with pytest.raises(ConfigErrors) as caught:
        read(file, {"AIGATE_DATA_DIR__X": "1"})
    assert (
        str(caught.value) == "environment: AIGATE_DATA_DIR__X: data_dir is no table, so it has no setting of that name"
    )

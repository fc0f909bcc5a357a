"""The configuration that a person begins with."""

from edge.config.kinds import Upstream
from edge.config.read import read
from edge.config.starter import starter
from edge.home import shipped

EXAMPLE = (shipped("conf") / "aigate.example.toml").read_text("utf-8")


def test_this_machines_values_are_put_in(tmp_path):
    file = tmp_path / "aigate.toml"
    file.write_text(
        starter(
            EXAMPLE,
            timezone="Asia/Tokyo",
            data_dir=tmp_path / 'a "b" \\1 c',
            services={
                "chat": {"plugin": "ollama", "route": "/chat/api", "upstreams": ["http://127.0.0.1:11434"]},
                "demo": {"plugin": "demo", "identify": True, "concurrency": 3},
            },
        )
    )
    config = read(file, {}).config
    assert config.data_dir == tmp_path / 'a "b" \\1 c'
    assert config.limits.timezone == "Asia/Tokyo"
    assert list(config.services) == ["chat", "demo"]
    assert config.services["chat"].upstreams == (Upstream("http", "127.0.0.1", 11434),)
    assert (config.services["demo"].identify, config.services["demo"].concurrency) == (True, 3)


def test_the_rest_stays_as_it_was():
    made = starter(EXAMPLE, timezone="UTC")
    changed = [(was, now) for was, now in zip(EXAMPLE.splitlines(), made.splitlines(), strict=True) if was != now]
    assert [now for _, now in changed] == ['timezone = "UTC"']

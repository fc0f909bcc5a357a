"""`aigate explain`: each decision, by the code that the server runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge.cli import main
from edge.core.routing import OWN
from edge.core.service import ANY_METHOD

RULES = (
    "--user", "kid", "--service", "chat", "--model", "gemma*", "--hours", "mon-fri 15:00-20:00", "--tz", "Europe/Berlin",
    "--allow", "192.168.1.0/24",
)  # fmt: skip
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
MONDAY = "2026-11-23T16:00:00+01:00"


class Gate:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        config = folder / "aigate.toml"
        config.write_text(
            '[services.chat]\nplugin = "ollama"\n[services.tts]\nplugin = "tts"\nroute = "/tts/api"\n'
            + '[services.talk]\nplugin = "openai"\nroute = "/talk/api"\n[services.image]\nplugin = "image"\n'
            + '[services.draw]\nplugin = "image"\nroute = "draw.lan/"\n'
        )
        config.chmod(0o600)
        self.places = ("--data", str(folder / "data"), "--config", str(config))
        assert main(["keys", "create", *RULES, "--json", *self.places]) == 0
        self.key = json.loads(capsys.readouterr().out)["id"]

    def __call__(self, method: str, path: str, *more: str, code: int = 1) -> Any:
        words = ["explain", method, path, "--key", self.key[:6], "--at", MONDAY, *more, "--json", *self.places]
        if "--from" not in more:
            words += ["--from", "192.168.1.7"]
        assert main(words) == code, self.capsys.readouterr()
        told = json.loads(self.capsys.readouterr().out)
        return {step["step"]: step["reason"] for step in told["steps"] if not step["ok"]}


@pytest.fixture
def gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Gate:
    return Gate(tmp_path, capsys)


def test_what_passes(gate: Gate) -> None:
    assert gate("POST", "/chat/api/chat", "--model", "gemma3", code=0) == {}
    assert gate("get", "/status", code=0) == {}


def test_the_gates_own_addresses_have_methods_and_one_is_anyones(gate: Gate) -> None:
    for path, allowed in OWN.items():
        for method in sorted(ANY_METHOD):
            told = gate(method, path, code=0 if method in allowed else 1)
            assert told == ({} if method in allowed else {"route": "method-not-allowed"}), (method, path)
    # No key is asked for there, so none can be in the way.
    assert gate("GET", "/health", "--from", "192.168.2.7", code=0) == {}
    assert gate("GET", "/status", "--from", "192.168.2.7") == {"address": "address-not-allowed"}


def test_a_host_that_a_page_has_to_itself_goes_before_the_gates_own_addresses(gate: Gate) -> None:
    assert gate("GET", "/status", "--host", "draw.lan")["service"] == "service-not-allowed"
    assert gate("POST", "/ticket", "--host", "draw.lan", code=0) == {}


def test_each_rule_has_its_say(gate: Gate) -> None:
    assert gate("POST", "/chat/api/chat", "--model", "llama3") == {"model": "model-not-allowed"}
    assert gate("POST", "/chat/api/chat") == {"model": "model-not-allowed"}
    assert gate("POST", "/chat/api/pull", "--model", "gemma3") == {"scope": "needs-scope"}
    assert gate("POST", "/tts/api/v1/audio/speech", "--model", "gemma3")["service"] == "service-not-allowed"
    assert gate("POST", "/chat/api/chat", "--model", "gemma3", "--from", "192.168.2.7") == {
        "address": "address-not-allowed"
    }
    assert gate("POST", "/chat/api/chat", "--model", "gemma3", "--at", "2026-11-23T21:00:00+01:00") == {
        "hours": "outside-hours"
    }
    assert gate("GET", "/elsewhere") == {"route": "no-route"}
    assert gate("GET", "/chat/api/../status") == {"path": "bad-request"}
    assert gate("POST", "/chat/api/%70ull", "--model", "gemma3")["scope"] == "needs-scope"


def test_a_mapped_address_is_the_one_it_stands_for(gate: Gate) -> None:
    assert gate("POST", "/chat/api/chat", "--model", "gemma3", "--from", "::ffff:192.168.1.7", code=0) == {}


def test_wrong_words_are_told(gate: Gate) -> None:
    for words in (("GET", "no-slash"), ("GET", "/ü")):
        assert main(["explain", *words, "--key", gate.key, "--from", "::1", *gate.places]) == 2
    assert main(["explain", "GET", "/", "--key", gate.key, "--from", "here", *gate.places]) == 2
    assert main(["explain", "GET", "/", "--key", "ffffffff", "--from", "::1", *gate.places]) == 1
    assert "Traceback" not in gate.capsys.readouterr().err


def test_people_read_it_in_lines(gate: Gate) -> None:
    words = [
        "explain",
        "POST",
        "/chat/api/pull",
        "--key",
        gate.key,
        "--from",
        "192.168.1.7",
        "--at",
        MONDAY,
        *gate.places,
    ]
    assert main(words) == 1
    out = gate.capsys.readouterr().out
    assert "NO  scope" in out
    assert "403 needs-scope" in out
    assert out.rstrip().endswith("is refused")


def test_a_route_that_only_the_start_knows_is_not_said_to_lead_nowhere(gate: Gate, tmp_path: Path) -> None:
    plugins = tmp_path / "mine"
    plugins.mkdir(mode=0o700)
    (plugins / "cellar.py").write_text(CELLAR)
    file = tmp_path / "aigate.toml"
    file.write_text('plugin_dirs = ["mine"]\n[services.wine]\nplugin = "cellar"\n' + file.read_text())
    assert gate("GET", "/elsewhere") == {"route": ""}
    assert gate("POST", "/chat/api/chat", "--model", "gemma3", code=0) == {}
    assert main(["explain", "GET", "/x", "--key", gate.key, "--from", "192.168.1.7", *gate.places]) == 1
    out = gate.capsys.readouterr().out
    assert "the plugin of wine names its own when the gate starts" in out
    assert out.rstrip().endswith("cannot be told before the start")


def models(gate: Gate, method: str, path: str, service: str, *more: str, code: int = 0) -> str:
    """What is said of the model, for a key with a model rule for one service."""
    assert main(["keys", "edit", gate.key, "--service", service, *gate.places]) == 0
    gate.capsys.readouterr()
    words = ("explain", method, path, "--key", gate.key, "--from", "192.168.1.7", "--at", MONDAY, *more, "--json")
    assert main([*words, *gate.places]) == code
    (said,) = [step["words"] for step in json.loads(gate.capsys.readouterr().out)["steps"] if step["step"] == "model"]
    return str(said)


def test_where_requests_do_not_tell_their_model_it_says_that_the_rule_counts_for_nothing(gate: Gate) -> None:
    for path in ("/image/api/prompt", "/image/api/sdapi/v1/txt2img"):
        assert "counts for nothing" in models(gate, "POST", path, "image", "--model", "secret")
    assert "counts for nothing" in models(gate, "POST", "/tts/api/dev/ssml", "tts")
    assert "counts" not in models(gate, "POST", "/tts/api/audio/speech", "tts", "--model", "secret", code=1)


def test_a_model_in_the_path_or_the_query_is_judged_as_the_gate_does(gate: Gate) -> None:
    assert models(gate, "GET", "/talk/api/models/gemma3%3A4b", "talk").startswith("gemma3:4b;")
    for path in ("models/llama3", "models%2Fsomeone/gemma3", "v1/realtime?model=llama3"):
        models(gate, "GET", f"/talk/api/{path}", "talk", "--model", "gemma3", code=1)
    assert models(gate, "GET", "/talk/api/v1/realtime?model=gemma3", "talk").startswith("gemma3;")

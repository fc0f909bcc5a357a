"""A real model server behind the gate: Gemma 3 270M in llama.cpp's server. `make test-real` makes it."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.live.gate import Gate

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
SERVER = Path(os.environ.get("AIGATE_REAL", "/nowhere")) / "ready"
PROMPT = "Once upon a time, in a house by the sea,"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base address of a model server that is ready."""
    if not SERVER.exists():
        pytest.skip("there is no model server; `make test-real` makes one")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (tmp_path_factory.mktemp("model") / "log").open("wb") as log:
        process = subprocess.Popen([SERVER, str(port)], stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(base + "/v1/models", timeout=5)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        yield base
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


@pytest.fixture(scope="module")
def gate(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    services = {"chat": {"plugin": "openai", "route": "/chat/api", "upstreams": [model]}}
    with Gate(tmp_path_factory.mktemp("gate"), services) as running:
        yield running
        print(running.log())


@pytest.fixture(scope="module")
def sdk(gate: Gate) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{gate.url}/chat/api/v1", api_key=gate.key, http_client=httpx.Client(verify=gate.context())
    )


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_gets_a_streamed_answer(gate: Gate, version: str):
    body = json.dumps({"model": "gemma3", "prompt": PROMPT, "max_tokens": 24, "stream": True})
    told = subprocess.run(
        ["curl", "-sSN", version, "--cacert", gate.ca, "-H", f"@{gate.header}", "-H", "Content-Type: application/json",
         "-d", body, f"{gate.url}/chat/api/v1/completions"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    events = [line.removeprefix("data: ") for line in told.stdout.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    words = "".join(json.loads(event)["choices"][0]["text"] for event in events[:-1])
    assert len(words.split()) > 5


def test_the_openai_sdk_streams_words_as_the_model_makes_them(sdk: openai.OpenAI):
    assert [one.id for one in sdk.models.list()] == ["gemma3"]
    at, words = [], []
    for event in sdk.completions.create(model="gemma3", prompt=PROMPT, max_tokens=48, stream=True):
        at.append(time.monotonic())
        words.append(event.choices[0].text)
    assert len("".join(words).split()) > 10
    # Words that were held back and sent in one go would all have come in the same moment.
    assert at[-1] - at[0] > 0.05
    assert len(set(at)) > 10


def test_the_openai_sdk_chats(sdk: openai.OpenAI):
    asked = [{"role": "user", "content": "Tell me of a house by the sea."}]
    whole = sdk.chat.completions.create(model="gemma3", messages=asked, max_tokens=24)  # type: ignore[call-overload]
    # A model that was only pretrained may well have nothing to say.
    assert whole.usage.prompt_tokens > 5
    pieces = list(sdk.chat.completions.create(model="gemma3", messages=asked, max_tokens=24, stream=True))  # type: ignore[call-overload]
    assert pieces[-1].choices[0].finish_reason in ("stop", "length")


def test_the_log_tells_who_asked_what_and_how_long_it_took(gate: Gate, sdk: openai.OpenAI):
    sdk.models.list()
    gate.wait_for("GET /chat/api/v1/models first/")
    assert gate.key not in gate.log()

"""The demo, used by the real SDKs over a real socket."""

import base64
import io
import json
import struct
import wave
import zlib

import httpx
import ollama
import openai
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.web.test.requesthelper import DummyRequest

from edge.backends.demo import Demo
from edge.backends.demo_media import SIDES, beep, picture


@pytest.fixture
def base(serve):
    return f"http://127.0.0.1:{serve(Demo(reactor, pace=0.001))[0]}"


@pytest.fixture
def sdk(base):
    return openai.OpenAI(api_key="x", base_url=f"{base}/v1", max_retries=0)


@pytest_twisted.ensureDeferred
async def test_openais_sdk_chats(sdk):
    messages = [{"role": "user", "content": "How are you?"}]
    got = await deferToThread(sdk.chat.completions.create, model="gemma", messages=messages)
    assert "How are you?" in got.choices[0].message.content
    assert "demo" in got.choices[0].message.content
    assert got.model == "demo", "no name that a client chose is told as that of a model"
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens > 3


@pytest_twisted.ensureDeferred
async def test_openais_sdk_streams(sdk):
    messages = [{"role": "user", "content": [{"type": "text", "text": "in parts"}]}]

    def stream():
        return list(
            sdk.chat.completions.create(
                model="m", messages=messages, stream=True, stream_options={"include_usage": True}
            )
        )

    chunks = await deferToThread(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "in parts" in text
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == len(text.split())


@pytest_twisted.ensureDeferred
async def test_a_stream_ends_with_done_and_counts_only_for_who_asks(base):
    body = {"messages": [], "stream": True}
    got = await deferToThread(httpx.post, f"{base}/chat/completions", json=body)
    assert got.headers["content-type"] == "text/event-stream"
    events = got.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert "usage" not in got.text


@pytest_twisted.ensureDeferred
async def test_ollamas_sdk_chats_generates_and_lists(base):
    client = ollama.Client(base)
    got = await deferToThread(client.chat, "m", [{"role": "user", "content": "Hello"}])
    assert "Hello" in got.message.content
    assert got.done
    chunks = await deferToThread(lambda: list(client.chat("m", [{"role": "user", "content": "Hello"}], stream=True)))
    assert "".join(chunk.message.content for chunk in chunks).strip() == got.message.content
    assert [chunk.done for chunk in chunks[-2:]] == [False, True]
    assert chunks[-1].eval_count == len(chunks) - 1
    made = await deferToThread(lambda: list(client.generate("m", "Why?", stream=True)))
    assert "Why?" in "".join(chunk.response for chunk in made)
    assert (await deferToThread(client.generate, "m", "Why?")).response
    (model,) = (await deferToThread(client.list)).models
    assert model.model == "demo"
    assert (await deferToThread(client.ps)).models == []
    assert (await deferToThread(httpx.get, f"{base}/version")).json() == {"version": "0.0.0-demo"}


@pytest_twisted.ensureDeferred
async def test_openais_sdk_lists_models_hears_a_beep_and_gets_pictures(sdk):
    assert [model.id for model in (await deferToThread(sdk.models.list)).data] == ["demo"]
    spoken = await deferToThread(sdk.audio.speech.create, model="m", voice="alloy", input="hello")
    with wave.open(io.BytesIO(spoken.content)) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(0.4)
    made = await deferToThread(sdk.images.generate, model="m", prompt="a cat", n=2, size="256x256")
    assert [base64.b64decode(one.b64_json)[:8] for one in made.data] == [b"\x89PNG\r\n\x1a\n"] * 2
    heard = await deferToThread(sdk.audio.transcriptions.create, model="m", file=("a.wav", beep()))
    assert "demo" in heard.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/none", None, 404),
        ("GET", "/v1/chat/completions", None, 405),
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("POST", "/v1/chat/completions", b"[" * 100_000, 400),
        ("POST", "/api/chat", b"{", 400),
        ("HEAD", "/api/version", None, 200),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_it_cannot_answer_is_said_in_the_clients_dialect(base, method, path, body, status):
    headers = {"content-type": "application/json"}
    got = await deferToThread(httpx.request, method, base + path, content=body, headers=headers)
    assert got.status_code == status
    if status != 200:
        error = got.json()["error"]
        assert isinstance(error, str) == path.startswith("/api/")


@pytest.mark.parametrize(
    "body",
    [
        {"messages": "x"}, {"messages": [1]}, {"messages": [{"content": {"a": 1}}]}, {"messages": [{"content": [1, {"text": 2}]}]},
        {"prompt": 3, "model": 7}, {"size": "axb", "n": "x"}, {"size": "99999999x1", "n": -1}, {"stream_options": 1}, {"prompt": "\ud800"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/generate", "/v1/images/generations"])
@pytest_twisted.ensureDeferred
async def test_odd_values_do_not_break_it(base, path, body):
    content = json.dumps({"stream": False, **body})
    got = await deferToThread(httpx.post, base + path, content=content)
    assert got.status_code == 200
    got.json()


@pytest_twisted.ensureDeferred
async def test_json_that_curl_calls_a_form_is_read(base):
    headers = {"content-type": "application/x-www-form-urlencoded"}
    got = await deferToThread(
        httpx.post, f"{base}/api/generate", content=b'{"prompt": "=&%41", "stream": false}', headers=headers
    )
    assert "=&%41" in got.json()["response"]


def streamed(clock, body):
    request = DummyRequest([b"v1", b"chat", b"completions"])
    request.method = b"POST"
    request.content = io.BytesIO(json.dumps(body).encode())
    assert Demo(clock, pace=0.5).render(request) == 1
    return request


def test_words_come_one_by_one_by_the_given_clock():
    clock = Clock()
    request = streamed(clock, {"messages": [], "stream": True})
    assert len(request.written) == 1
    clock.advance(0.4)
    assert len(request.written) == 1
    clock.advance(0.1)
    assert len(request.written) == 2
    for _ in range(100):
        clock.advance(0.5)
    assert request.finished == 1
    assert not clock.getDelayedCalls()


def test_nothing_more_is_said_when_the_client_left():
    clock = Clock()
    request = streamed(clock, {"messages": [], "stream": True})
    request.processingFailed(ConnectionResetError())
    assert not clock.getDelayedCalls()


def chunks(png):
    """The chunks of a PNG, each checksum proven."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, []
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + data),)
        found.append((kind, data))
        at += 12 + length
    return found


@pytest.mark.parametrize("sides", [(256, 256), (17, 99), (512, 16)])
def test_a_picture_is_a_png_of_that_size(sides):
    (head, data, end) = chunks(picture(*sides, "seed"))
    assert head[0] == b"IHDR"
    width, height, depth, colour = struct.unpack(">IIBB", head[1][:10])
    assert (width, height, depth, colour) == (*sides, 8, 2)
    rows = zlib.decompress(data[1])
    assert len(rows) == height * (1 + 3 * width)
    assert set(rows[:: 1 + 3 * width]) == {0}
    assert end == (b"IEND", b"")


def test_pictures_are_bounded_and_follow_their_seed():
    assert struct.unpack(">II", chunks(picture(10**9, 0))[0][1][:8]) == (SIDES[1], SIDES[0])
    assert picture(64, 64, "a") == picture(64, 64, "a") != picture(64, 64, "b")


def test_a_beep_is_a_wav():
    with wave.open(io.BytesIO(beep())) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        frames = file.readframes(file.getnframes())
    assert max(abs(sample) for (sample,) in struct.iter_unpack("<h", frames)) > 8000

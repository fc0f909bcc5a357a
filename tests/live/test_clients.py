"""Real, unmodified clients: the OpenAI, Ollama and Anthropic SDKs, curl, httpx, aiohttp and websockets."""

import asyncio
import io
import subprocess
import wave
from typing import Any

import aiohttp
import httpx
import ollama
import openai
import pytest
import websockets
from websockets.asyncio.client import connect

from tests.live.gate import Gate
from tests.live.upstream import Upstream

pytestmark = pytest.mark.live
ASKED: list[Any] = [{"role": "user", "content": "Hello!"}]


@pytest.fixture
def sdk(gate: Gate) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{gate.url}/chat/api/v1", api_key=gate.key, http_client=httpx.Client(verify=gate.context())
    )


def test_the_openai_sdk_lists_models_and_gets_whole_and_streamed_answers(sdk: openai.OpenAI) -> None:
    model = sdk.models.list().data[0].id
    whole = sdk.chat.completions.create(model=model, messages=ASKED)
    assert "Hello!" in (whole.choices[0].message.content or "")
    pieces = [
        event.choices[0].delta.content or ""
        for event in sdk.chat.completions.create(model=model, messages=ASKED, stream=True)
        if event.choices
    ]
    assert len(pieces) > 10
    assert "".join(pieces).strip() == (whole.choices[0].message.content or "").strip()


def test_the_openai_sdk_gets_speech_and_pictures(gate: Gate) -> None:
    client = openai.OpenAI(
        base_url=f"{gate.url}/tts/api/v1", api_key=gate.key, http_client=httpx.Client(verify=gate.context())
    )
    speech = client.audio.speech.create(model="demo", voice="alloy", input="beep", response_format="wav")
    with wave.open(io.BytesIO(speech.content)) as sound:
        assert sound.getnframes() > 100
    picture = client.images.generate(model="demo", prompt="a door", response_format="b64_json")
    assert picture.data and picture.data[0].b64_json


def test_the_openai_sdk_reads_a_refusal_as_its_own_kind(gate: Gate) -> None:
    client = openai.OpenAI(
        base_url=f"{gate.url}/chat/api/v1", api_key="sk-wrong", http_client=httpx.Client(verify=gate.context())
    )
    with pytest.raises(openai.AuthenticationError) as refused:
        client.models.list()
    assert refused.value.code == "invalid_api_key"


def test_the_async_openai_sdk_streams(gate: Gate) -> None:
    async def ask() -> int:
        async with httpx.AsyncClient(verify=gate.context()) as http:
            client = openai.AsyncOpenAI(base_url=f"{gate.url}/chat/api/v1", api_key=gate.key, http_client=http)
            stream = await client.chat.completions.create(model="demo", messages=ASKED, stream=True)
            return len([event async for event in stream])

    assert asyncio.run(ask()) > 10


def test_the_ollama_sdk_lists_chats_and_streams(gate: Gate) -> None:
    client = ollama.Client(
        host=f"{gate.url}/chat/api", verify=gate.context(), headers={"Authorization": f"Bearer {gate.key}"}
    )
    assert client.list().models
    assert "Hello!" in (client.chat(model="demo", messages=ASKED).message.content or "")
    assert len(list(client.chat(model="demo", messages=ASKED, stream=True))) > 10
    assert client.generate(model="demo", prompt="Hello!").response


def test_the_ollama_sdk_reads_a_refusal_in_its_own_dialect(gate: Gate) -> None:
    client = ollama.Client(host=f"{gate.url}/chat/api", verify=gate.context(), headers={"X-API-Key": "wrong"})
    with pytest.raises(ollama.ResponseError) as refused:
        client.chat(model="demo", messages=ASKED)
    assert refused.value.status_code == 401
    assert "{" not in refused.value.error


@pytest.mark.parametrize("version", ["--http1.1", "--http2", "--http1.0"])
def test_curl_speaks_every_version(gate: Gate, version: str) -> None:
    command = ["curl", "-sS", version, "--cacert", str(gate.ca), "-H", f"@{gate.header}", "-w", "\n%{http_version}"]
    done = subprocess.run([*command, f"{gate.url}/any/api/events?n=3"], capture_output=True, text=True, check=True)
    body, _, spoken = done.stdout.rpartition("\n")
    assert body.count("data:") == 3
    assert spoken == {"--http1.1": "1.1", "--http2": "2", "--http1.0": "1.1"}[version] or spoken == "1.0"


def test_the_printed_curl_line_works_as_pasted(gate: Gate) -> None:
    line = next(line for line in gate.log().splitlines() if line.startswith("  curl "))
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, timeout=30)
    assert "[DONE]" in done.stdout


def test_http2_carries_many_streams_at_once(gate: Gate) -> None:
    async def all_at_once() -> list[int]:
        async with httpx.AsyncClient(http2=True, verify=gate.context(), headers={"X-API-Key": gate.key}) as client:
            jobs = [client.get(f"{gate.url}/any/api/events?n=5&every=0.05") for _ in range(50)]
            answers = await asyncio.gather(*jobs)
            assert {answer.http_version for answer in answers} == {"HTTP/2"}
            return [answer.text.count("data:") for answer in answers]

    assert asyncio.run(all_at_once()) == [5] * 50


def test_five_hundred_streams_arrive_as_they_come_beside_a_reader_that_does_not_read(gate: Gate) -> None:
    async def one(session: aiohttp.ClientSession) -> float:
        loop = asyncio.get_running_loop()
        async with session.get(f"{gate.url}/any/api/events?n=10&every=0.6") as answer:
            times = [loop.time() async for _ in answer.content.iter_any()]
        return times[-1] - times[0]

    async def all_at_once() -> list[float]:
        connector = aiohttp.TCPConnector(ssl=gate.context(), limit=0)
        async with aiohttp.ClientSession(connector=connector, headers={"X-API-Key": gate.key}) as session:
            async with session.get(f"{gate.url}/any/api/bytes/300000000"):
                return await asyncio.gather(*(one(session) for _ in range(500)))

    spans = asyncio.run(all_at_once())
    # A stream that was held back and delivered in one go would have no span at all.
    assert min(spans) > 1


def test_a_websocket_carries_large_messages_subprotocol_and_close_code(gate: Gate, upstream: Upstream) -> None:
    async def talk() -> tuple[str, int, str | None, int]:
        url = gate.url.replace("https", "wss") + "/image/api/ws"
        async with connect(
            url, ssl=gate.context(), additional_headers={"X-API-Key": gate.key}, subprotocols=["chat"], max_size=None  # type: ignore[list-item]
        ) as socket:  # fmt: skip
            await socket.send("hello")
            said = await socket.recv()
            await socket.send(b"\x01" * 8_000_000)
            size = len(await socket.recv())
            await socket.send("close")
            try:
                await socket.recv()
            except websockets.ConnectionClosed as closed:
                return str(said), size, socket.subprotocol, closed.rcvd.code if closed.rcvd else 0
        return "", 0, None, 0

    assert asyncio.run(talk()) == ("hello", 8_000_000, "chat", 4001)


def test_a_ticket_opens_a_websocket_once(gate: Gate) -> None:
    with httpx.Client(verify=gate.context(), headers={"X-API-Key": gate.key}) as client:
        answer = client.post(f"{gate.url}/ticket", json={"service": "comfy"})
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    ticket = answer.json()["ticket"]

    async def talk(url: str, **more: Any) -> str:
        async with connect(url, ssl=gate.context(), **more) as socket:
            await socket.send("hi")
            return str(await socket.recv())

    url = gate.url.replace("https", "wss") + "/image/api/ws"
    assert asyncio.run(talk(f"{url}?ticket={ticket}")) == "hi"
    with pytest.raises(websockets.InvalidStatus):
        asyncio.run(talk(f"{url}?ticket={ticket}"))
    assert ticket not in gate.log()


def test_a_ticket_may_come_as_a_subprotocol(gate: Gate) -> None:
    with httpx.Client(verify=gate.context(), headers={"X-API-Key": gate.key}) as client:
        ticket = client.post(f"{gate.url}/ticket", json={"service": "comfy"}).json()["ticket"]

    async def talk() -> str | None:
        url = gate.url.replace("https", "wss") + "/image/api/ws"
        offered: Any = ["aigate", f"aigate.ticket.{ticket}"]
        async with connect(url, ssl=gate.context(), subprotocols=offered) as socket:
            await socket.send("hi")
            assert await socket.recv() == "hi"
            return socket.subprotocol

    assert asyncio.run(talk()) == "aigate"


def test_the_plain_listener_serves_the_same_routes_and_keys(gate: Gate) -> None:
    base = f"http://127.0.0.1:{gate.port('plain')}/any/api/x"
    assert httpx.get(base).status_code == 401
    assert httpx.get(base, headers={"api-key": gate.key}).json()["path"] == "/x"

"""The servers on a machine are known by their answers, not by their ports."""

import tomllib
from pathlib import Path

import pytest_twisted
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource

from edge.backends.discovery import Discovered, demo, discover, rendered
from edge.backends.health import LONGEST, recognised, told, well
from edge.core.service import Question, Traits
from edge.registry import Registry

KINDS = Registry.load(Path(__file__).parents[2] / "plugins", points=()).kinds
OLLAMA = {"/api/version": (200, b'{"version": "0.31.0"}'), "/v1/models": (200, b'{"object": "list", "data": []}')}
LLAMA = {"/v1/models": (200, b'{"object": "list", "data": [{"id": "gemma"}]}')}
COMFY = {"/system_stats": (200, b'{"system": {}, "devices": []}')}
KOKORO = {"/v1/audio/voices": (200, b'{"voices": ["af"]}'), "/v1/models": LLAMA["/v1/models"]}
SPEACHES = {"/v1/models": (200, b'{"data": [{"id": "w", "task": "automatic-speech-recognition"}]}')}
ASR = {"/openapi.json": (200, b'{"paths": {"/asr": {}}}')}


def moved(ports, otherwise):
    """The shipped kinds in their order, looking for each usual port at `ports[usual]` and for all others at `otherwise`."""

    def at(port):
        return ports.get(port, otherwise)

    return [
        (
            name,
            evolve(
                traits,
                ports=tuple(at(port) for port in traits.ports),
                others=tuple((at(port), question) for port, question in traits.others),
            ),
        )
        for name, traits in KINDS.items()
    ]


async def found(agent, ports, closed, **more):
    services = await discover(agent, reactor, moved(ports, closed), **{"patience": 10.0, **more})
    by_port = {at: usual for usual, at in ports.items()}
    return [
        (s.name, s.plugin, [by_port[int(base.rpartition(":")[2])] for base in s.upstreams], s.route) for s in services
    ]


@pytest_twisted.ensureDeferred
async def test_everything_at_once(agent, serve, closed):
    ports = {
        11434: serve(OLLAMA)[0],
        8080: serve(LLAMA)[0],
        8000: serve(SPEACHES)[0],
        9000: serve(ASR)[0],
        8880: serve(KOKORO)[0],
        8188: serve(COMFY)[0],
    }
    assert await found(agent, ports, closed) == [
        ("image", "image", [8188], "/image/api"),
        ("chat", "ollama", [11434], "/chat/api"),
        ("openai", "openai", [8080], "/openai/api"),
        ("tts", "tts", [8880], "/tts/api"),
        ("whisper", "whisper", [9000], "/whisper/api"),
        ("whisper-2", "whisper", [8000], "/whisper-2/api"),
    ]


@pytest_twisted.ensureDeferred
async def test_a_lone_openai_style_server_is_the_chat(agent, serve, closed):
    ports = {8000: serve(LLAMA)[0], 1234: serve(LLAMA)[0]}
    assert await found(agent, ports, closed) == [
        ("chat", "openai", [8000], "/chat/api"),
        ("openai", "openai", [1234], "/openai/api"),
    ]


@pytest_twisted.ensureDeferred
async def test_an_open_port_is_not_a_service(agent, serve, closed):
    ports = {
        11434: serve({"/": (200, b"Welcome to nginx!")})[0],
        8080: serve({"/v1/models": (200, b"<html>data</html>")})[0],
        8000: serve({"/v1/models": (500, b'{"data": []}')})[0],
        8188: serve({"/system_stats": (200, b"[" * 100_000)})[0],
    }
    assert [service.plugin for service in await discover(agent, reactor, moved(ports, closed), patience=10.0)] == [
        "demo"
    ] * 4


@pytest_twisted.ensureDeferred
async def test_who_is_silent_or_speaks_no_http_costs_no_more_than_the_patience(agent, serve, closed):
    class Rude(Protocol):
        def dataReceived(self, data):
            self.transport.write(b"\0" * 100)

    rude = reactor.listenTCP(0, Factory.forProtocol(Rude), interface="127.0.0.1")
    try:
        ports = {
            11434: serve({"/api/version": None})[0],
            8080: rude.getHost().port,
            8188: serve(COMFY)[0],
        }
        began = reactor.seconds()
        assert await found(agent, ports, closed, patience=0.3) == [("image", "image", [8188], "/image/api")]
        assert reactor.seconds() - began < 1.5
    finally:
        await rude.stopListening()


@pytest_twisted.ensureDeferred
async def test_where_nothing_is_found_the_demo_stands(agent, closed):
    services = await discover(agent, reactor, moved({}, closed))
    assert services == demo()
    assert services[0] == Discovered("chat", "demo", (), "/chat/api")


@pytest_twisted.ensureDeferred
async def test_questions(agent, serve, closed):
    port, _ = serve({"/": (200, b'{"a": 1, "text": "whisper"}'), "/list": (200, b"[]"), "/busy": (503, b"")})
    base = f"http://127.0.0.1:{port}"

    async def asks(question):
        return await recognised(agent, reactor, base, question, 2)

    assert await asks(Question("/"))
    assert await asks(Question("/", key="a"))
    assert not await asks(Question("/", key="b"))
    assert not await asks(Question("/list", key="a"))
    assert await asks(Question("/", text="whisper"))
    assert not await asks(Question("/", text="kokoro"))
    assert await asks(Question("/", header="Server: told"))
    assert await asks(Question("/", header="server"))
    assert not await asks(Question("/", header="server: other"))
    assert not await asks(Question("/", header="x-none"))
    assert await asks(Question("/busy", status=frozenset({503})))
    assert not await asks(Question("/elsewhere"))


@pytest_twisted.ensureDeferred
async def test_a_server_is_well_that_answers_with_anything_but_its_own_failure(agent, serve, closed):
    port, _ = serve({"/ok": (200, b"x" * 100_000), "/key": (401, b""), "/loading": (503, b""), "/silent": None})

    async def answers(path, port=port, timeout=2):
        return await well(agent, reactor, f"http://127.0.0.1:{port}{path}".encode(), timeout)

    assert await answers("/ok")
    assert await answers("/key")
    assert await answers("/nowhere")
    assert not await answers("/loading")
    assert not await answers("/silent", timeout=0.1)
    assert not await answers("/ok", port=closed)


@pytest_twisted.ensureDeferred
async def test_what_a_server_tells_only_to_who_shows_a_field_is_told(agent, serve):
    class Locked(Resource):
        isLeaf = True

        def render_GET(self, request):
            if request.getHeader(b"x-password") != b"open":
                request.setResponseCode(401)
            return b"[1, 2]"

    port, _ = serve(Locked())
    url = f"http://127.0.0.1:{port}/queue".encode()
    assert await told(agent, reactor, url, 2, 100, [(b"X-Password", b"open")]) == b"[1, 2]"
    assert await told(agent, reactor, url, 2, 2, [(b"X-Password", b"open")]) == b"[1"
    assert await told(agent, reactor, url, 2, 100) == b""


@pytest_twisted.ensureDeferred
async def test_an_endless_answer_is_read_to_a_limit(agent, serve):
    port, _ = serve({"/": (200, b"x" * LONGEST + b"needle"), "/near": (200, b"needle" + b"x" * LONGEST * 2)})
    base = f"http://127.0.0.1:{port}"
    assert not await recognised(agent, reactor, base, Question("/", text="needle"), 5)
    assert await recognised(agent, reactor, base, Question("/near", text="needle"), 5)


def test_what_was_found_is_written_as_toml():
    services = [
        Discovered("chat", "ollama", ("http://127.0.0.1:11434",), "/chat/api"),
        Discovered("tts", "demo", (), "/tts/api"),
    ]
    assert tomllib.loads(rendered(services)) == {
        "services": {
            "chat": {"plugin": "ollama", "route": "/chat/api", "upstreams": ["http://127.0.0.1:11434"]},
            "tts": {"plugin": "demo", "route": "/tts/api"},
        }
    }
    assert rendered(services).startswith('[services.chat]\nplugin = "ollama"\n')


def test_a_kind_without_a_usual_port_is_not_looked_for():
    assert KINDS["http"].probes == ()
    assert KINDS["demo"].probes == ()
    assert Traits(kind="x", ports=(1, 2)).probes == ((1, Question()), (2, Question()))

"""What a plain key may ask of each kind of service, what needs the scope `manage`, and what each request is."""

import pytest
from zope.interface.verify import verifyObject

from edge.core.service import MANAGED, REMEMBERED_PATHS, Rule, Traits
from edge.interfaces import IKnownKind, IService, IServicePlugin

PLAIN = {
    "ollama": [
        "GET /", "HEAD /", "POST /api/chat", "POST /api/generate", "POST /api/embed", "POST /api/embeddings",
        "GET /api/tags", "POST /api/show", "GET /api/ps", "GET /api/version", "HEAD /api/version",
        "POST /v1/chat/completions", "POST /v1/completions", "POST /v1/embeddings", "POST /v1/responses",
        "GET /v1/models", "GET /v1/models/gemma3:270m", "POST /v1/messages",
    ],
    "openai": [
        "POST /v1/chat/completions", "POST /v1/completions", "POST /v1/responses", "POST /v1/embeddings", "GET /v1/models",
        "POST /v1/messages", "POST /v1/messages/count_tokens", "GET /v1/models/qwen/qwen3", "POST /v1/rerank", "GET /health",
        "POST /tokenize", "POST /v1/audio/transcriptions", "POST /infill", "GET /v1/realtime",
    ],
    "whisper": [
        "POST /v1/audio/transcriptions", "POST /v1/audio/translations", "POST /asr", "POST /detect-language",
        "POST /inference", "GET /v1/models", "GET /health", "GET /docs",
    ],
    "tts": [
        "POST /v1/audio/speech", "GET /v1/audio/voices", "GET /v1/models", "POST /v1/voices", "POST /",
        "POST /elevenlabs/v1/text-to-speech/anna", "POST /dev/captioned_speech", "GET /web/index.html",
    ],
    "image": [
        "POST /prompt", "POST /api/prompt", "GET /ws", "GET /api/ws", "GET /queue", "GET /history/9", "GET /view", "POST /upload/image",
        "GET /object_info", "GET /system_stats", "GET /", "GET /assets/index.js", "POST /sdapi/v1/txt2img",
        "POST /sdapi/v1/img2img", "GET /sdapi/v1/options", "GET /sdapi/v1/progress",
    ],
    "demo": ["POST /v1/chat/completions", "POST /api/chat", "GET /api/tags", "POST /v1/audio/speech", "POST /v1/images/generations"],
    "http": ["GET /", "DELETE /anything", "PUT /a/b"],
}  # fmt: skip
MANAGE = {
    "ollama": [
        "POST /api/pull", "POST /api/push", "POST /api/create", "POST /api/copy", "DELETE /api/delete",
        "HEAD /api/blobs/sha256:0", "POST /api/blobs/sha256:0", "POST /api/signout", "GET /api/experimental/aliases",
        "POST /api//chat", "POST /api/chat/", "post /api/chat", "POST /api/CHAT", "GET /api/pull", "DELETE /v1/models/a",
    ],
    "openai": [
        "GET /props", "POST /props", "GET /slots", "POST /slots/0", "GET /metrics", "POST /lora-adapters", "POST /v1/load_lora_adapter",
        "POST /tools", "GET /exit", "POST /api/v1/models/load", "POST /models/apply", "POST /v1/files", "DELETE /v1/models/a",
        "POST /v1/chat/completions/control", "POST /sleep", "POST /shutdown",
    ],
    "whisper": ["POST /load", "POST /v1/models/big", "DELETE /v1/models/big", "POST /api/ps/big", "POST /api/pull/big"],
    "tts": ["POST /dev/unload", "GET /debug/threads", "POST /download", "POST /v1/voices/anna", "DELETE /v1/voices"],
    "image": [
        "POST /queue", "POST /history", "POST /interrupt", "POST /api/interrupt", "POST /free", "GET /internal/logs",
        "GET /manager/reboot", "GET /api/manager/reboot", "GET /v2/manager/reboot", "POST /customnode/install/git_url", "GET /customnode/getlist",
        "GET /externalmodel/getlist", "POST /v2/manager/queue/start", "GET /snapshot/restore", "POST /userdata/x.json",
        "DELETE /userdata/x.json", "POST /settings", "POST /sdapi/v1/options", "POST /sdapi/v1/server-kill",
        "POST /sdapi/v1/unload-checkpoint", "POST /sdapi/v1/interrupt",
    ],
    "demo": ["GET /v1/chat/completions", "POST /api/pull", "GET /elsewhere"],
}  # fmt: skip


def cases(table):
    return [(kind, *line.split(" ")) for kind, lines in table.items() for line in lines]


@pytest.mark.parametrize(("kind", "method", "path"), cases(PLAIN))
def test_a_plain_key_may_ask(registry, kind, method, path):
    assert registry.require(kind).traits.rule_for(method, path).scope == ""


@pytest.mark.parametrize(("kind", "method", "path"), cases(MANAGE))
def test_what_changes_a_service_or_is_not_named_needs_manage(registry, kind, method, path):
    assert registry.require(kind).traits.rule_for(method, path).scope == "manage"


@pytest.mark.parametrize(
    ("kind", "method", "path", "expected"),
    [
        ("ollama", "POST", "/api/chat", (True, "", "json:model", "", "tokens")),
        ("ollama", "GET", "/api/tags", (False, "", "", "ollama", "")),
        ("ollama", "POST", "/v1/chat/completions", (True, "openai", "json:model", "", "tokens")),
        ("ollama", "GET", "/v1/models", (False, "openai", "", "openai", "")),
        ("ollama", "POST", "/v1/messages", (True, "anthropic", "json:model", "", "tokens")),
        ("ollama", "POST", "/v1/unheard", (False, "openai", "", "", "")),
        ("openai", "POST", "/v1/messages", (True, "anthropic", "json:model", "", "tokens")),
        ("openai", "POST", "/v1/messages/count_tokens", (False, "anthropic", "json:model", "", "")),
        ("whisper", "POST", "/v1/audio/transcriptions", (True, "", "form:model", "", "transcription")),
        ("whisper", "POST", "/asr", (True, "", "", "", "transcription")),
        ("tts", "GET", "/v1/models", (False, "", "", "openai", "")),
        ("tts", "GET", "/v1/audio/models", (False, "", "", "openai", "")),
        ("tts", "POST", "/v1/audio/speech", (True, "", "json:model", "", "speech")),
        ("image", "POST", "/prompt", (True, "", "", "", "images")),
        ("image", "POST", "/api/prompt", (True, "", "", "", "images")),
        ("image", "POST", "/sdapi/v1/txt2img", (True, "", "", "", "images")),
        ("image", "GET", "/prompt", (False, "", "", "", "")),
        ("image", "GET", "/ws", (False, "", "", "", "")),
        ("openai", "GET", "/v1/realtime", (True, "", "query:model", "", "tokens")),
    ],
)
def test_what_a_request_is(registry, kind, method, path, expected):
    rule = registry.require(kind).traits.rule_for(method, path)
    assert (rule.work, rule.dialect, rule.model, rule.models, rule.units) == expected


def test_every_shipped_plugin_keeps_its_contract(registry, configure):
    assert sorted(registry.plugins) == ["demo", "http", "image", "ollama", "openai", "tts", "whisper"]
    for found in registry:
        assert found.shipped
        verifyObject(IServicePlugin, found.plugin)
        verifyObject(IKnownKind, found.plugin)
        verifyObject(IService, configure(found.name, ("http://127.0.0.1:9",)))


@pytest.mark.parametrize(
    ("kind", "upstream", "route", "concurrency"),
    [
        ("ollama", "http://127.0.0.1:11434", "/chat/api", 4),
        ("openai", "http://127.0.0.1:8080", "/chat/api", None),
        ("whisper", "http://127.0.0.1:9000", "/whisper/api", 2),
        ("tts", "http://127.0.0.1:5050", "/tts/api", None),
        ("image", "http://127.0.0.1:8188", "/image/api", 1),
    ],
)
def test_defaults(configure, kind, upstream, route, concurrency):
    service = configure(kind)
    assert service.upstreams == (upstream,)
    assert (service.route, service.traits.concurrency, service.name) == (route, concurrency, "thing")


def test_the_demo_answers_in_process(configure):
    service = configure("demo")
    assert service.resource is not None
    assert service.upstreams == ()
    assert service.route == "/thing/api"


def test_plain_keys_may_interrupt_images_where_the_operator_says_so(configure, registry):
    kind = registry.require("image").traits
    service = configure("image", options=kind.options(interrupt=True))
    for path in ("/interrupt", "/api/interrupt", "/sdapi/v1/interrupt"):
        assert service.traits.rule_for("POST", path).scope == ""
    assert service.traits.rule_for("POST", "/free").scope == "manage"


def test_an_http_service_can_keep_paths_for_managers(configure, registry):
    kind = registry.require("http").traits
    service = configure("http", ["http://10.0.0.2"], kind.options(websocket=True, manage=("/admin*",), work=("/run",)))
    rule_for = service.traits.rule_for
    assert rule_for("GET", "/admin/users").scope == "manage"
    assert rule_for("GET", "/").scope == ""
    assert (rule_for("POST", "/run").work, rule_for("POST", "/list").work) == (True, False)
    assert service.traits.upgrades == {b"websocket"}


def test_an_http_service_opens_no_websocket_unless_told(configure):
    assert configure("http", ["http://10.0.0.2"]).traits.upgrades == frozenset()


def test_the_first_rule_decides_and_what_is_remembered_is_bounded():
    traits = Traits(kind="x", rules=(Rule(frozenset({"GET"}), "/a/*", scope="manage"), Rule(frozenset({"GET"}), "*")))
    for turn in range(REMEMBERED_PATHS * 2):
        assert traits.rule_for("GET", f"/{turn}").scope == ""
        assert traits.rule_for("GET", f"/a/{turn}").scope == "manage"
        assert traits.rule_for(f"M{turn}", "/") is MANAGED
    assert traits.rule_for("GET", "/a/" + "x" * 10_000).scope == "manage"
    cache = traits.rule_for.__closure__
    remembered = next(cell.cell_contents for cell in cache if hasattr(cell.cell_contents, "cache_info"))
    assert remembered.cache_info().currsize == REMEMBERED_PATHS


def test_a_newline_does_not_end_a_pattern():
    traits = Traits(kind="x", rules=(Rule(frozenset({"GET"}), "/a"),))
    assert traits.rule_for("GET", "/a\n") is MANAGED

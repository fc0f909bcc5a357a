"""Servers that speak OpenAI's API: llama.cpp, vLLM, SGLang, LM Studio, LocalAI, KoboldCpp, Jan and their like.

Anthropic's `/v1/messages` goes along where the server has it. What such servers offer beyond inference, such as llama.cpp's
slots, adapters and tools, vLLM's adapters or LM Studio's loading of models, needs the scope `manage`.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from zope.interface import implementer

from edge.core.mapping import openai as mapped
from edge.core.service import ANY_METHOD, POST, READ, Question, Rule, Traits
from edge.interfaces import IBench, IKnownKind, IService, IServicePlugin

GET = frozenset({"GET"})


def infers(path: str, dialect: str = "") -> Rule:
    return Rule(POST, path, work=True, dialect=dialect, model="json:model", units="tokens")


TRAITS = Traits(
    kind="openai",
    route="/chat/api",
    ports=(8080, 8000, 1234, 30000, 5001, 1337, 4891),
    health=Question("/v1/models", key="data"),
    rules=(
        infers("/v1/chat/completions"),
        infers("/v1/completions"),
        infers("/v1/responses"),
        Rule(READ, "/v1/responses/*"),
        infers("/v1/embeddings"),
        infers("/v1/rerank"),
        infers("/v1/reranking"),
        infers("/v1/score"),
        infers("/v1/messages", "anthropic"),
        Rule(POST, "/v1/messages/count_tokens", dialect="anthropic", model="json:model"),
        Rule(READ, "/v1/models", models="openai"),
        Rule(READ, "/v1/models/*", model="path:3"),
        Rule(POST, "/v1/moderations", work=True, model="json:model"),
        Rule(POST, "/v1/audio/speech", work=True, model="json:model", units="speech"),
        Rule(POST, "/v1/audio/transcriptions", work=True, model="form:model", units="transcription"),
        Rule(POST, "/v1/audio/translations", work=True, model="form:model", units="transcription"),
        Rule(POST, "/v1/images/generations", work=True, model="json:model", units="images"),
        Rule(POST, "/v1/images/edits", work=True, model="form:model", units="images"),
        Rule(GET, "/v1/realtime", work=True, model="query:model", units="tokens"),
        # llama.cpp's and vLLM's own names for the same work
        infers("/completion"),
        infers("/infill"),
        infers("/embedding"),
        infers("/rerank"),
        infers("/reranking"),
        infers("/score"),
        infers("/pooling"),
        infers("/classify"),
        Rule(POST, "/tokenize", model="json:model"),
        Rule(POST, "/detokenize", model="json:model"),
        Rule(POST, "/apply-template", model="json:model"),
        # LM Studio's
        Rule(READ, "/api/v0/models", models="openai"),
        infers("/api/v0/chat/completions"),
        infers("/api/v0/completions"),
        infers("/api/v0/embeddings"),
        Rule(READ, "/"),
        Rule(READ, "/health"),
        Rule(READ, "/ping"),
        Rule(READ, "/version"),
        # Prompts of others and the machine's insides; `/slots` also costs a running answer its place.
        Rule(ANY_METHOD, "/props", scope="manage"),
        Rule(ANY_METHOD, "/slots*", scope="manage"),
        Rule(ANY_METHOD, "/metrics", scope="manage"),
        Rule(ANY_METHOD, "/lora-adapters", scope="manage"),
        Rule(ANY_METHOD, "/v1/*_lora_adapter", scope="manage"),
    ),
    map=mapped,
    upgrades=frozenset({b"websocket"}),
)


@implementer(IServicePlugin, IKnownKind)
@frozen
class OpenAI:
    name: str = "openai"
    api: int = 1
    traits: Traits = TRAITS

    def configure(self, settings: Mapping[str, Any], bench: IBench) -> IService:
        return bench.proxy(settings["upstreams"], self.traits)


openai = OpenAI()

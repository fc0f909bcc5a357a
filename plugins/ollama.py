"""Ollama: its own API, OpenAI's and Anthropic's, as `ollama serve` offers them on port 11434."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from zope.interface import implementer

from edge.core.mapping import ollama as mapped
from edge.core.service import ANY_METHOD, POST, READ, Question, Rule, Traits
from edge.interfaces import IBench, IKnownKind, IService, IServicePlugin


def own(path: str) -> Rule:
    return Rule(POST, path, work=True, model="json:model", units="tokens")


def openai(path: str) -> Rule:
    return Rule(POST, path, work=True, dialect="openai", model="json:model", units="tokens")


TRAITS = Traits(
    kind="ollama",
    route="/chat/api",
    ports=(11434,),
    health=Question("/api/version", key="version"),
    rules=(
        own("/api/chat"),
        own("/api/generate"),
        own("/api/embed"),
        own("/api/embeddings"),
        Rule(READ, "/api/tags", models="ollama"),
        Rule(POST, "/api/show", model="json:model"),
        Rule(READ, "/api/ps", models="ollama"),
        Rule(READ, "/api/version"),
        Rule(READ, "/"),
        openai("/v1/chat/completions"),
        openai("/v1/completions"),
        openai("/v1/embeddings"),
        openai("/v1/responses"),
        Rule(READ, "/v1/models", dialect="openai", models="openai"),
        Rule(READ, "/v1/models/*", dialect="openai", model="path:3"),
        Rule(POST, "/v1/audio/transcriptions", work=True, dialect="openai", model="form:model", units="transcription"),
        Rule(POST, "/v1/images/generations", work=True, dialect="openai", model="json:model", units="images"),
        Rule(POST, "/v1/messages", work=True, dialect="anthropic", model="json:model", units="tokens"),
        Rule(ANY_METHOD, "/v1/messages/*", scope="manage", dialect="anthropic"),
        Rule(ANY_METHOD, "/v1/*", scope="manage", dialect="openai"),
        # Named so that the list tells what it keeps from a plain key; whatever else Ollama learns needs the scope too.
        Rule(POST, "/api/pull", scope="manage"),
        Rule(POST, "/api/push", scope="manage"),
        Rule(POST, "/api/create", scope="manage"),
        Rule(POST, "/api/copy", scope="manage"),
        Rule(frozenset({"DELETE"}), "/api/delete", scope="manage"),
        Rule(ANY_METHOD, "/api/blobs/*", scope="manage"),
    ),
    map=mapped,
    dialect="ollama",
    concurrency=4,
    unload=("POST", "/api/generate", {"model": "{model}", "keep_alive": 0}),
)


@implementer(IServicePlugin, IKnownKind)
@frozen
class Ollama:
    name: str = "ollama"
    api: int = 1
    traits: Traits = TRAITS

    def configure(self, settings: Mapping[str, Any], bench: IBench) -> IService:
        return bench.proxy(settings["upstreams"], self.traits)


ollama = Ollama()

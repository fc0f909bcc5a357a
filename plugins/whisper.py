"""Speech to text: servers with OpenAI's transcription paths, whisper-asr-webservice, and whisper.cpp's server."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from zope.interface import implementer

from edge.core.mapping import openai as mapped
from edge.core.service import ANY_METHOD, POST, READ, Question, Rule, Traits
from edge.interfaces import IBench, IKnownKind, IService, IServicePlugin


def hears(path: str, model: str = "") -> Rule:
    return Rule(POST, path, work=True, model=model, units="transcription")


TRAITS = Traits(
    kind="whisper",
    route="/whisper/api",
    health=Question("/health"),
    others=(
        (9000, Question("/openapi.json", text='"/asr"')),
        (8000, Question("/v1/models", text="automatic-speech-recognition")),
        (8080, Question("/", text="Whisper.cpp Server")),
    ),
    rules=(
        hears("/v1/audio/transcriptions", "form:model"),
        hears("/v1/audio/translations", "form:model"),
        hears("/asr"),
        hears("/detect-language"),
        hears("/inference"),
        Rule(READ, "/v1/models", models="openai"),
        Rule(READ, "/v1/models/*", model="path:3"),
        Rule(READ, "/"),
        Rule(READ, "/health"),
        Rule(READ, "/docs"),
        Rule(READ, "/openapi.json"),
        Rule(READ, "/assets/*"),
        Rule(POST, "/load", scope="manage"),
        Rule(ANY_METHOD, "/api/ps*", scope="manage"),
        Rule(ANY_METHOD, "/api/pull/*", scope="manage"),
    ),
    map=mapped,
    concurrency=2,
)


@implementer(IServicePlugin, IKnownKind)
@frozen
class Whisper:
    name: str = "whisper"
    api: int = 1
    traits: Traits = TRAITS

    def configure(self, settings: Mapping[str, Any], bench: IBench) -> IService:
        return bench.proxy(settings["upstreams"], self.traits)


whisper = Whisper()

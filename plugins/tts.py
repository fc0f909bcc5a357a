"""Text to speech: openai-edge-tts, Kokoro-FastAPI, Piper's HTTP server and others with OpenAI's speech path."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from zope.interface import implementer

from edge.core.mapping import openai as mapped
from edge.core.service import ANY_METHOD, POST, READ, Question, Rule, Traits
from edge.interfaces import IBench, IKnownKind, IService, IServicePlugin

LISTS = frozenset({"GET", "HEAD", "POST"})
"""openai-edge-tts takes its lists by POST too."""


def speaks(path: str, model: str = "") -> Rule:
    return Rule(POST, path, work=True, model=model, units="speech")


TRAITS = Traits(
    kind="tts",
    route="/tts/api",
    health=Question("/v1/models"),
    others=(
        (5050, Question("/v1/models", key="models")),
        (8880, Question("/v1/audio/voices", key="voices")),
    ),
    rules=(
        speaks("/v1/audio/speech", "json:model"),
        Rule(READ, "/v1/audio/voices"),
        Rule(READ, "/v1/audio/models", models="openai"),
        Rule(LISTS, "/v1/voices"),
        Rule(LISTS, "/v1/voices/all"),
        Rule(LISTS, "/voices"),
        Rule(LISTS, "/voices/all"),
        Rule(READ, "/v1/models", models="openai"),
        Rule(READ, "/v1/models/*", model="path:3"),
        # openai-edge-tts as ElevenLabs and Azure
        speaks("/elevenlabs/v1/text-to-speech/*"),
        speaks("/azure/cognitiveservices/v1"),
        # Kokoro-FastAPI
        speaks("/v1/audio/voices/combine"),
        speaks("/dev/captioned_speech"),
        speaks("/dev/generate_from_phonemes"),
        speaks("/dev/dialogue"),
        speaks("/dev/ssml"),
        Rule(POST, "/dev/phonemize"),
        Rule(READ, "/dev/ssml"),
        Rule(READ, "/v1/download/*"),
        Rule(READ, "/web/*"),
        Rule(READ, "/health"),
        Rule(ANY_METHOD, "/dev/unload", scope="manage"),
        Rule(ANY_METHOD, "/debug/*", scope="manage"),
        # Piper speaks what is posted to its root
        speaks("/"),
        Rule(READ, "/"),
        Rule(POST, "/download", scope="manage"),
    ),
    map=mapped,
)


@implementer(IServicePlugin, IKnownKind)
@frozen
class Tts:
    name: str = "tts"
    api: int = 1
    traits: Traits = TRAITS

    def configure(self, settings: Mapping[str, Any], bench: IBench) -> IService:
        return bench.proxy(settings["upstreams"], self.traits)


tts = Tts()

"""A service in this process with no AI behind it, so that the gate can be tried on any machine."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from zope.interface import implementer

from edge.backends.demo import Demo
from edge.core.mapping import everything
from edge.core.service import POST, READ, Rule, Traits
from edge.interfaces import IBench, IKnownKind, IService, IServicePlugin

TRAITS = Traits(
    kind="demo",
    rules=(
        Rule(POST, "/v1/chat/completions", work=True, model="json:model", units="tokens"),
        Rule(READ, "/v1/models", models="openai"),
        Rule(POST, "/v1/audio/speech", work=True, model="json:model", units="speech"),
        Rule(POST, "/v1/audio/transcriptions", work=True, model="form:model", units="transcription"),
        Rule(POST, "/v1/images/generations", work=True, model="json:model", units="images"),
        Rule(POST, "/api/chat", work=True, dialect="ollama", model="json:model", units="tokens"),
        Rule(POST, "/api/generate", work=True, dialect="ollama", model="json:model", units="tokens"),
        Rule(READ, "/api/tags", dialect="ollama", models="ollama"),
        Rule(READ, "/api/ps", dialect="ollama", models="ollama"),
        Rule(READ, "/api/version", dialect="ollama"),
        Rule(READ, "/"),
    ),
    map=everything,
)


@implementer(IServicePlugin, IKnownKind)
@frozen
class DemoPlugin:
    name: str = "demo"
    api: int = 1
    traits: Traits = TRAITS

    def configure(self, settings: Mapping[str, Any], bench: IBench) -> IService:
        return bench.local(Demo(bench.clock), self.traits)


demo = DemoPlugin()

"""How the rest of a path, below a service's prefix, becomes a path at the service.

Each mapping takes the raw rest without query (b"" or beginning with "/") and returns the raw path that is sent, never
empty. They work on bytes as received: what is not exactly a known form goes the way of everything else, and is judged as
what it becomes. Each is stable: mapping what is already mapped changes nothing.
"""

from typing import Final

from edge.core.service import same

BARE_CHAT: Final = frozenset({b"/chat/completions", b"/completions", b"/models", b"/responses"})
"""What an Ollama service takes as OpenAI's even without `/v1`: none of it is the name of one of Ollama's own verbs."""

BARE_OPENAI: Final = BARE_CHAT | {
    b"/audio/speech",
    b"/audio/transcriptions",
    b"/audio/translations",
    b"/audio/voices",
    b"/audio/models",
    b"/batches",
    b"/embeddings",
    b"/files",
    b"/images/edits",
    b"/images/generations",
    b"/images/variations",
    b"/messages",
    b"/messages/count_tokens",
    b"/moderations",
    b"/realtime",
    b"/rerank",
}
BARE_FOLDERS: Final = (b"/models/", b"/responses/", b"/files/", b"/batches/")
"""Bare OpenAI paths that go on with a name or an id."""

__all__ = ["BARE_CHAT", "BARE_OPENAI", "everything", "ollama", "openai", "same"]


def ollama(rest: bytes) -> bytes:
    """Ollama's paths: `/v1…` and `/api…` as they are, four bare OpenAI paths below `/v1`, anything else below `/api`."""
    if rest in (b"", b"/"):
        return b"/"
    if rest.startswith((b"/v1/", b"/api/")) or rest in (b"/v1", b"/api"):
        return rest
    return (b"/v1" if rest in BARE_CHAT else b"/api") + rest


def openai(rest: bytes) -> bytes:
    """OpenAI-style paths: `/v1` is added where the rest is a bare OpenAI path; anything else goes on as it is."""
    if rest in BARE_OPENAI or rest.startswith(BARE_FOLDERS):
        return b"/v1" + rest
    return rest or b"/"


def everything(rest: bytes) -> bytes:
    """For a service that speaks both: a bare OpenAI path below `/v1`, then as for Ollama."""
    mapped = openai(rest)
    return mapped if mapped.startswith(b"/v1/") else ollama(mapped)

"""Which models a key may use, and lists of models cut to those."""

import json
from fnmatch import fnmatchcase
from typing import Any, Final

from edge.core.keys import Key
from edge.core.refusal import Refusal
from edge.core.service import Traits

_LATEST: Final = ":latest"
_MEMBERS: Final = ("data", "models")
"""What holds a list of models: OpenAI's member and Ollama's. llama.cpp's server has both in one document."""


def model_allowed(key: Key, model: str | None) -> bool:
    """Whether a key may use a model. A key with a model rule may not ask without naming one: the service would choose.

    Ollama's `gemma3` and `gemma3:latest` are one model, so a pattern that takes either takes both.
    """
    if not key.models:
        return True
    if not model:
        return False
    names = (model, model.removesuffix(_LATEST) if model.endswith(_LATEST) else model + _LATEST)
    return any(fnmatchcase(name, pattern) for pattern in key.models for name in names)


def tells_models(traits: Traits) -> tuple[bool, bool]:
    """(whether any request to such a service names its model, whether all do that occupy it): a key's model rule counts for
    nothing where none is named."""
    return (
        any(rule.model for rule in traits.rules),
        all(rule.model or rule.scope for rule in traits.rules if rule.work),
    )


def judge_model(key: Key, model: str | None) -> Refusal | None:
    """The refusal for a model that the key may not use."""
    if model_allowed(key, model):
        return None
    if not model:
        return Refusal("model-not-allowed", "This key is for certain models only; name one.", retry=False)
    return Refusal("model-not-allowed", f"This key may not use the model {model[:100]!r}.", retry=False)


def filter_models(document: bytes, kind: str, key: Key) -> bytes:
    """A service's list of models ("openai" or "ollama") with only those that the key may use.

    A key without a model rule gets the document as it is; one with a rule gets an empty list where the document
    cannot be read, since what is not understood cannot be cut.
    """
    if not key.models:
        return document
    try:
        read: Any = json.loads(document)
        lists = {member: read[member] for member in _MEMBERS if member in read}
        if not lists or not all(isinstance(listed, list) for listed in lists.values()):
            raise ValueError(kind)
        return _written(
            read | {member: [one for one in listed if _shown(one, key)] for member, listed in lists.items()}
        )
    except (ValueError, TypeError, RecursionError):
        return _written({"models": []} if kind == "ollama" else {"object": "list", "data": []})


def _written(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _shown(entry: Any, key: Key) -> bool:
    """Whether every name of an entry is one that the key may use; a `name` beside OpenAI's bare `id` is for show."""
    if not isinstance(entry, dict):
        return False
    names = ("id",) if "id" in entry and "model" not in entry else ("id", "name", "model")
    said = [entry[name] for name in names if name in entry]
    return bool(said) and all(isinstance(name, str) and model_allowed(key, name) for name in said)

"""Which models a key may use, and lists of models cut to those."""

import json
from fnmatch import fnmatchcase
from typing import Any, Final

from edge.core.keys import Key
from edge.core.refusal import Refusal

_LATEST: Final = ":latest"
_LISTS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "openai": ("data", ("id",)),
    "ollama": ("models", ("name", "model")),
}
"""How a list of models is worded: the member that holds it, and the members that name a model in it."""


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
    member, names = _LISTS[kind]
    try:
        read: Any = json.loads(document)
        listed = read[member]
        if not isinstance(listed, list):
            raise ValueError(member)
    except (ValueError, TypeError, KeyError, RecursionError):
        read, listed = {"object": "list"} if kind == "openai" else {}, []
    read[member] = [entry for entry in listed if _shown(entry, names, key)]
    return json.dumps(read, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _shown(entry: Any, names: tuple[str, ...], key: Key) -> bool:
    said = [entry[name] for name in names if name in entry] if isinstance(entry, dict) else []
    return bool(said) and all(isinstance(name, str) and model_allowed(key, name) for name in said)

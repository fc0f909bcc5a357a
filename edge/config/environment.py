"""Settings from the environment: `AIGATE_LISTEN__HTTPS=9443`."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from attrs import fields_dict, has

from edge.config.structure import Place, optional_of

PREFIX: Final = "AIGATE_"


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are settings: those that begin with AIGATE_ and have a `__` further on."""
    return {
        name: text for name, text in sorted(environ.items()) if name.startswith(PREFIX) and "__" in name[len(PREFIX) :]
    }


def overlay(raw: dict[str, Any], name: str, text: str, root: type) -> Place:
    """Put the variable's value into `raw`, the tables as read from the file, and say where. Raises ValueError."""
    parts = name[len(PREFIX) :].lower().split("__")
    if not all(parts):
        raise ValueError("is not a setting: its sections and its key are joined by two underscores")
    table, kind, place = raw, root, []
    for part in parts[:-1]:
        key, kind = _step(table, kind, part)
        table = table.setdefault(key, {})
        place.append(key)
        if not isinstance(table, dict):
            raise ValueError(f"{'.'.join(place)} is no table, so it has no setting of that name")
    key, kind = _step(table, kind, parts[-1])
    table[key] = value_of(text, kind)
    return (*place, key)


def _step(table: dict[str, Any], kind: Any, part: str) -> tuple[str, Any]:
    """The key that `part` stands for, by what is known and what the file has, and the type below it."""
    known = list(fields_dict(kind)) if isinstance(kind, type) and has(kind) else []
    key = next((key for key in known + list(table) if key.lower().replace("-", "_") == part), part)
    if known:
        return key, fields_dict(kind)[key].type if key in known else Any
    return key, get_args(kind)[1] if get_origin(kind) is dict else Any


def value_of(text: str, kind: Any) -> Any:
    """The text as a TOML value, as JSON, or as it stands, whichever first fits a setting of the type `kind`."""
    kind = optional_of(kind) or kind
    wants_text = kind in (str, Path) or get_origin(kind) is Literal
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        try:
            value = json.loads(text)
        except ValueError:
            value = text
    if wants_text and not isinstance(value, str):
        return text
    # A list of one can be written without brackets and quotes.
    if get_origin(kind) is tuple and not isinstance(value, list):
        return [] if value == "" else [text if not isinstance(value, (str, int)) else value]
    return value

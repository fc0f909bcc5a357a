"""The configuration that a person begins with: the annotated example, adapted to a machine."""

import json
import re
from collections.abc import Mapping
from pathlib import Path


def starter(
    example: str,
    *,
    timezone: str,
    data_dir: Path | None = None,
    services: Mapping[str, Mapping[str, object]] | None = None,
) -> str:
    """The TOML text `example` with this machine's values set, and with `[services.NAME]` tables put where it has its marker.

    Values are text, numbers, true or false, or lists of those.
    """
    text = re.sub(r"(?m)^#?timezone = .*$", lambda _: f"timezone = {_toml(timezone)}", example, count=1)
    if data_dir:
        text = re.sub(r"(?m)^#?data_dir = .*$", lambda _: f"data_dir = {_toml(str(data_dir))}", text, count=1)
    if services:
        tables = "\n".join(_table(name, settings) for name, settings in services.items())
        text = re.sub(r"(?m)^(# -- services .*\n)", lambda match: f"{match[1]}\n{tables}", text, count=1)
    return text


def _table(name: str, settings: Mapping[str, object]) -> str:
    lines = [f"[services.{name}]", *(f"{key} = {_toml(value)}" for key, value in settings.items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    # JSON's text, numbers, booleans and lists of those are TOML's too, save the character DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

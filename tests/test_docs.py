"""The documentation and the example against the code: every setting, with its true default."""

import re
import tomllib
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import pytest
from attrs import NOTHING, Factory, evolve, fields, has

from edge.config.read import read
from edge.config.schema import Config
from edge.config.structure import structure
from edge.home import shipped

DOCS = Path(__file__).parent.parent / "docs" / "configuration.md"
EXAMPLE = shipped("conf") / "aigate.example.toml"
# Tables with a heading of their own; what lies deeper is a row `inner.name` of theirs.
HEADINGS = {
    "services.*": "services.NAME",
    "users.*": "users.NAME",
    "usage.prices.*": "usage.prices.SERVICE",
    "limits.redis": "limits.redis",
}
NOT_IN_THE_EXAMPLE = {"services.*.browser"}


def settings(cls: type = Config, path: str = ""):
    """(path, type, default) of every setting; `*` stands for a name that the operator chooses."""
    for attribute in fields(cls):
        here = f"{path}.{attribute.name}".lstrip(".")
        kind: Any = attribute.type
        if get_origin(kind) is dict and has(get_args(kind)[1]):
            yield from settings(get_args(kind)[1], f"{here}.*")
        elif has(kind) and get_origin(kind) is not UnionType and kind.__module__ == "edge.config.schema":
            yield from settings(kind, here)
        else:
            default = attribute.default
            yield here, kind, default.factory() if isinstance(default, Factory) else default


SETTINGS = {path: (kind, default) for path, kind, default in settings()}


def rows() -> dict[str, str]:
    """Path → the default as documented."""
    found: dict[str, str] = {}
    section = None
    for line in DOCS.read_text().splitlines():
        if line.startswith("## "):
            match = re.fullmatch(r"## `\[(.+)\]`", line)
            section = "" if line == "## Top level" else match[1] if match else None
        elif section is not None and (row := re.match(r"\| `([a-z0-9_.]+)` \| (.*?) ?\|", line)):
            back = {documented: path for path, documented in HEADINGS.items()}
            found[f"{back.get(section, section)}.{row[1]}".lstrip(".")] = row[2].strip()
    return found


def as_value(path: str, written: str) -> Any:
    """What a setting becomes when it is written so."""
    table: Any = tomllib.loads(f"value = {written}")["value"]
    for part in reversed(path.replace("*", "x").split(".")):
        table = {part: table}
    for service in table.get("services", {}).values():
        service.setdefault("plugin", "x")
    value: Any = structure(table, Config, Path())
    for part in path.split("."):
        value = value["x"] if part == "*" else getattr(value, part)
    return value


def test_every_setting_is_documented_and_every_documented_one_exists():
    assert set(rows()) == set(SETTINGS)


@pytest.mark.parametrize("path", SETTINGS)
def test_the_documented_default_is_the_true_one(path):
    written = rows()[path].strip("`")
    _, default = SETTINGS[path]
    if default is NOTHING or path == "data_dir":
        assert written == ""
    elif path == "limits.timezone":
        assert written == "the system's"
    else:
        assert as_value(path, written) == default


def uncommented() -> str:
    return re.sub(r"(?m)^#(?=[a-z\[])", "", EXAMPLE.read_text())


def test_the_example_is_good_as_it_stands(tmp_path):
    file = tmp_path / "aigate.toml"
    file.write_text(EXAMPLE.read_text())
    reading = read(file, {})
    assert reading.warnings == ()
    assert evolve(reading.config, tls=Config().tls) == Config()


def test_the_example_shows_every_setting_with_its_default(tmp_path):
    table = tomllib.loads(uncommented())

    def value(path: str) -> Any:
        found: Any = table
        for part in path.split("."):
            found = next(iter(found.values())) if part == "*" else found[part]
        return found

    shown_as_example = {"data_dir", "limits.timezone", "services.*.plugin", "services.*.route", "services.*.upstreams"}
    shown_as_example |= {"services.*.concurrency", "users.*.limits"}
    for path, (_, default) in SETTINGS.items():
        if path not in NOT_IN_THE_EXAMPLE:
            written = value(path)
            if path not in shown_as_example:
                text = str(written).lower() if isinstance(written, bool) else repr(written).replace("'", '"')
                assert as_value(path, text) == default, path


def test_the_example_is_good_with_every_setting_taken_in(tmp_path):
    file = tmp_path / "aigate.toml"
    file.write_text(uncommented().replace('ca_file = ""', "").replace('data_dir = "/var/lib/aigate"', 'data_dir = "d"'))
    config = read(file, {}).config
    assert config.services["chat"].plugin == "ollama"
    assert config.usage.prices["chat"].watts == 0.0

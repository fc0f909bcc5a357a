"""No setting is a promise that nobody keeps."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import edge
from edge.config import schema

LATER = {"acme", "browser"}
"""Reserved: refused with a word of its own."""
ROOM = Path(edge.__file__).parent
SOURCE = "\n".join(path.read_text() for path in ROOM.rglob("*.py") if path.parent.name != "config")
READ_AT_ONCE = {"plain_anywhere"}
"""Settings that only the reading of the configuration asks for."""


def settings() -> Iterator[tuple[str, str]]:
    """(class, setting) for every setting."""
    for kind in vars(schema).values():
        if isinstance(kind, type) and attrs.has(kind) and kind.__module__ == schema.__name__:
            for one in attrs.fields(kind):
                yield kind.__name__, one.name


@pytest.mark.parametrize(("kind", "name"), list(settings()))
def test_every_setting_is_read_where_the_gate_is_assembled_or_run(kind: str, name: str) -> None:
    if name in LATER | READ_AT_ONCE:
        return
    assert re.search(rf"\.{name}\b", SOURCE), f"{kind}.{name} is never read"


def test_the_check_above_would_notice_one_that_is_not() -> None:
    made: Any = attrs.make_class("Made", ["no_such_setting_anywhere"])
    assert not re.search(rf"\.{attrs.fields(made)[0].name}\b", SOURCE)

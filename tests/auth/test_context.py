"""What a service is told of the caller."""

import re
from pathlib import Path

import pytest

from edge.auth.context import identity
from edge.core.exchange import Caller
from edge.home import shipped
from edge.testing import key

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"
EXAMPLE = shipped("conf") / "aigate.example.toml"


def test_names_outside_ascii_cannot_break_a_header() -> None:
    told = identity(Caller(key(user="Zoë\u2028 & co")))
    assert told[0] == (b"X-Aigate-User", b"Zo%C3%AB%E2%80%A8 & co")
    assert told[1] == (b"X-Aigate-Key-Id", b"0badcafe")


@pytest.mark.parametrize("told", [DOCS, EXAMPLE])
def test_its_fields_have_the_names_that_are_documented(told: Path) -> None:
    line = next(line for line in told.read_text("utf-8").splitlines() if "identify" in line)
    assert re.findall(r"X-[A-Za-z-]+", line) == [name.decode() for name, _ in identity(Caller(key()))]

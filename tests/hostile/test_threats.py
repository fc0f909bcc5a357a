"""docs/threats.md names tests that exist, and every test of hostility is named there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "threats.md").read_text()


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(tests/[^`]+)`", TEXT))
    assert len(named) > 10
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_file_of_hostile_tests_is_named() -> None:
    here = {f"tests/hostile/{file.name}" for file in Path(__file__).parent.glob("test_*.py")} - {
        "tests/hostile/test_threats.py"
    }
    assert not [name for name in here if f"`{name}`" not in TEXT]

"""docs/keys.md says what the commands do."""

import re
from pathlib import Path

from edge.cli.keys import VERBS
from edge.cli.keys_create import create
from edge.core.refusal import STATUS

PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text("utf-8")


def test_every_verb_is_on_the_page() -> None:
    missing = [verb for verb in VERBS if f"aigate keys {verb}" not in PAGE and verb != "export"]
    assert missing == []


def test_every_option_of_create_is_on_the_page() -> None:
    options = {option for parameter in create.params for option in parameter.opts if option.startswith("--")}
    assert {option for option in options if option not in PAGE} <= {"--config", "--data"}


def test_every_refusal_on_the_page_is_one_and_has_its_status() -> None:
    table = PAGE[PAGE.index("## What a refusal means") : PAGE.index("## When something breaks")]
    rows = re.findall(r"^\| (\d{3}) \| (.*?) \|", table, re.MULTILINE)
    assert len(rows) > 10
    for status, reasons in rows:
        for reason in re.findall(r"`([a-z-]+)`", reasons):
            assert STATUS[reason] == int(status)

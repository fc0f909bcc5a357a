"""docs/writing-a-plugin.md says what is so."""

import re
from pathlib import Path

import attrs
import pytest

from edge.core.service import Question, Rule, Traits
from edge.interfaces import IBench
from edge.registry import Registry

PAGE = (Path(__file__).parents[1] / "docs" / "writing-a-plugin.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def rows(heading):
    table = PAGE[PAGE.index(f"| {heading} |") :].partition("\n\n")[0]
    return {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)", row.split("|")[1])}


def test_the_plainest_plugin_loads_as_printed(tmp_path):
    (tmp_path / "shipped").mkdir()
    (tmp_path / "cellar.py").write_text(BLOCKS[0])
    assert sum(bool(line.strip()) for line in BLOCKS[0].splitlines()) <= 15
    assert "cellar" in Registry.load(tmp_path / "shipped", [tmp_path], points=())


def test_the_printed_traits_are_traits():
    space = {}
    exec(BLOCKS[1], space)
    assert space["TRAITS"].rule_for("POST", "/compose").work
    assert space["TRAITS"].health == Question("/status", key="queue")


def test_every_trait_is_told():
    assert rows("trait") == {field.name for field in attrs.fields(Traits) if field.init}


def test_every_part_of_a_rule_is_told():
    assert rows("in a rule") == {field.name for field in attrs.fields(Rule)} - {"methods", "path"}


def test_everything_on_the_bench_is_told():
    assert rows("on the bench") == set(IBench.names())


@pytest.mark.parametrize("name", sorted(path.stem for path in (Path(__file__).parents[1] / "plugins").glob("*.py")))
def test_every_shipped_plugin_is_named(name):
    assert f"`{name}`" in PAGE

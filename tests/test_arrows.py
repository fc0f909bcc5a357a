"""Who imports whom, where the import contracts of pyproject.toml cannot see it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EDGE = sorted((ROOT / "edge").rglob("*.py"))
CORE = sorted((ROOT / "edge" / "core").glob("*.py"))
PLUGINS = sorted((ROOT / "plugins").glob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """Every module that a file names, wherever in the file."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            yield node.module or ""
            yield from (f"{node.module}.{each.name}" for each in node.names)


@pytest.mark.parametrize("file", CORE, ids=lambda file: file.name)
def test_the_core_needs_the_standard_library_and_attrs_only(file: Path):
    for name in imported(file):
        assert (
            name.split(".")[0] in sys.stdlib_module_names | {"attrs"} or name == "edge" or name.startswith("edge.core")
        ), name


@pytest.mark.parametrize("file", PLUGINS, ids=lambda file: file.name)
def test_a_plugin_needs_interfaces_backends_and_values_only(file: Path):
    for name in imported(file):
        if name.split(".")[0] == "edge":
            assert name.split(".")[:2] in (["edge", "interfaces"], ["edge", "backends"], ["edge", "core"]), name


def test_only_the_two_ways_in_reach_for_the_global_reactor():
    reaching = {
        file.relative_to(ROOT / "edge").as_posix() for file in EDGE if "twisted.internet.reactor" in imported(file)
    }
    assert {name.split("/")[0] for name in reaching} <= {"tap.py", "cli"}
    assert "tap.py" in reaching


def test_assembling_imports_no_reactor():
    program = "import sys, edge.start; sys.exit('twisted.internet.reactor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_no_module_is_longer_than_a_reader_bears():
    lengths = {file.relative_to(ROOT).as_posix(): len(file.read_text().splitlines()) for file in [*EDGE, *PLUGINS]}
    assert {name: lines for name, lines in lengths.items() if lines > 620} == {}

"""What a refusal says, and how."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.core.refusal import STATUS, Refusal, sentence

ROOT = Path(__file__).parents[2]


def words(node: ast.expr) -> str:
    """A literal's text, with `…` where a value goes."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def literals() -> Iterator[tuple[str, str]]:
    """(place, words) of each refusal that is worded where it is made."""
    for file in sorted([*(ROOT / "edge").rglob("*.py"), *(ROOT / "plugins").glob("*.py")]):
        if "shipped" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refusal":
                said = words(node.args[1]) if len(node.args) > 1 else ""
                if said:
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", said


def test_every_refusal_is_worded_as_a_plain_sentence() -> None:
    found = list(literals())
    assert len(found) > 50
    assert [
        f"{place}: {said}" for place, said in found if not (said[0].isupper() or said[0] == "…") or said[-1] not in ".…"
    ] == []


@pytest.mark.parametrize(
    ("fragment", "whole"),
    [("the body is larger", "The body is larger."), (":authority is odd", ":authority is odd."), ("Done.", "Done.")],
)
def test_an_errors_words_become_a_sentence(fragment: str, whole: str) -> None:
    assert sentence(fragment) == whole


def test_a_reason_brings_its_status_and_another_may_be_given() -> None:
    assert Refusal("unknown-key", "This key is not known here.").status == STATUS["unknown-key"] == 401
    assert Refusal("bad-request", "The only Expect is 100-continue.", 417).status == 417

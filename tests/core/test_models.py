"""Which models a key may use, and lists cut to those."""

import json

import pytest

from edge.core.models import filter_models, judge_model, model_allowed, tells_models
from edge.core.service import POST, Rule, Traits
from edge.testing import key

GEMMA = key(models=("gemma*", "llama3.2"))


@pytest.mark.parametrize("model", ["gemma3", "gemma3:4b", "llama3.2", "llama3.2:latest"])
def test_a_pattern_allows(model: str) -> None:
    assert model_allowed(GEMMA, model)


@pytest.mark.parametrize("model", ["Gemma3", "llama3.2:70b", "xgemma", "", None, "llama3.22"])
def test_and_nothing_else(model: str | None) -> None:
    assert not model_allowed(GEMMA, model)
    refusal = judge_model(GEMMA, model)
    assert refusal is not None
    assert refusal.reason == "model-not-allowed"


def test_a_key_without_a_rule_may_use_any() -> None:
    assert model_allowed(key(), None)
    assert judge_model(key(), "anything") is None


def test_the_latest_of_a_pattern_with_its_tag_is_the_name_without() -> None:
    assert model_allowed(key(models=("gemma3:latest",)), "gemma3")


def test_lists_show_what_the_key_may_use_and_keep_the_rest_of_the_document() -> None:
    openai = {"object": "list", "data": [{"id": "gemma3", "x": 1}, {"id": "qwen"}, {"no": "id"}, 3], "more": True}
    cut = json.loads(filter_models(json.dumps(openai).encode(), "openai", GEMMA))
    assert cut == {"object": "list", "data": [{"id": "gemma3", "x": 1}], "more": True}
    ollama = {
        "models": [
            {"name": "gemma3:4b", "model": "gemma3:4b"},
            {"name": "gemma3", "model": "qwen"},
            {"model": "llama3.2"},
        ]
    }
    cut = json.loads(filter_models(json.dumps(ollama).encode(), "ollama", GEMMA))
    assert [entry["model"] for entry in cut["models"]] == ["gemma3:4b", "llama3.2"]


@pytest.mark.parametrize("kind", ["openai", "ollama"])
def test_a_document_with_both_lists_has_both_cut(kind: str) -> None:
    llama = {
        "models": [{"name": "qwen.gguf", "model": "qwen.gguf"}, {"name": "gemma3", "model": "gemma3"}],
        "object": "list",
        "data": [{"id": "qwen.gguf"}, {"id": "gemma3"}],
    }
    cut = json.loads(filter_models(json.dumps(llama).encode(), kind, GEMMA))
    assert cut == {
        "models": [{"name": "gemma3", "model": "gemma3"}],
        "object": "list",
        "data": [{"id": "gemma3"}],
    }


def test_a_list_in_either_member_shows_what_is_named_in_either_way() -> None:
    hidden = [{"id": "tts-1"}, {"id": 3}, {"id": "gemma3", "name": "gemma3", "model": "qwen"}]
    edge_tts = {"models": [{"id": "gemma3", "name": "Gemma, the third"}, *hidden]}
    cut = json.loads(filter_models(json.dumps(edge_tts).encode(), "openai", GEMMA))
    assert cut == {"models": [{"id": "gemma3", "name": "Gemma, the third"}]}


@pytest.mark.parametrize("other", [b"{}", b"null", b'"qwen"', b'{"qwen": 1}'])
def test_a_member_that_is_no_list_hides_the_whole(other: bytes) -> None:
    document = b'{"data": [{"id": "gemma3"}], "models": %b}' % other
    assert json.loads(filter_models(document, "openai", GEMMA)) == {"object": "list", "data": []}


def test_a_key_without_a_rule_gets_the_very_bytes() -> None:
    assert filter_models(b'{ "data" : [] }', "openai", key()) == b'{ "data" : [] }'


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"null", b"{", b'{"data":{}}', b"\xff", b'{"data":null}', b"[" * 100_000]
)
def test_what_cannot_be_read_shows_nothing(document: bytes) -> None:
    assert json.loads(filter_models(document, "openai", GEMMA)) == {"object": "list", "data": []}
    assert json.loads(filter_models(document, "ollama", GEMMA))["models"] == []


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ((Rule(POST, "*"),), (False, True)),
        ((Rule(POST, "/draw", work=True),), (False, False)),
        ((Rule(POST, "/chat", work=True, model="json:model"), Rule(POST, "/else")), (True, True)),
        ((Rule(POST, "/chat", work=True, model="json:model"), Rule(POST, "/asr", work=True)), (True, False)),
        (
            (Rule(POST, "/chat", work=True, model="json:model"), Rule(POST, "/pull", work=True, scope="manage")),
            (True, True),
        ),
    ],
)
def test_a_kind_tells_models_nowhere_in_part_or_wherever_it_works(
    rules: tuple[Rule, ...], told: tuple[bool, bool]
) -> None:
    assert tells_models(Traits(kind="k", rules=rules)) == told

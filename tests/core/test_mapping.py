"""How paths become paths at the service."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.mapping import everything, ollama, openai, same


@pytest.mark.parametrize(
    ("rest", "sent"),
    [
        (b"", b"/"),
        (b"/", b"/"),
        (b"/v1/chat/completions", b"/v1/chat/completions"),
        (b"/v1/messages", b"/v1/messages"),
        (b"/v1/models/a%2Fb", b"/v1/models/a%2Fb"),
        (b"/api/chat", b"/api/chat"),
        (b"/api/pull", b"/api/pull"),
        (b"/chat/completions", b"/v1/chat/completions"),
        (b"/completions", b"/v1/completions"),
        (b"/models", b"/v1/models"),
        (b"/responses", b"/v1/responses"),
        (b"/chat", b"/api/chat"),
        (b"/generate", b"/api/generate"),
        (b"/tags", b"/api/tags"),
        (b"/embeddings", b"/api/embeddings"),
        (b"/models/x", b"/api/models/x"),
        (b"/v1x", b"/api/v1x"),
        (b"/%61pi/pull", b"/api/%61pi/pull"),
        (b"//api/pull", b"/api//api/pull"),
        (b"/blobs/sha256:%2F", b"/api/blobs/sha256:%2F"),
    ],
)
def test_ollama(rest, sent):
    assert ollama(rest) == sent


@pytest.mark.parametrize(
    ("rest", "sent"),
    [
        (b"", b"/"),
        (b"/", b"/"),
        (b"/audio/speech", b"/v1/audio/speech"),
        (b"/v1/audio/speech", b"/v1/audio/speech"),
        (b"/chat/completions", b"/v1/chat/completions"),
        (b"/models", b"/v1/models"),
        (b"/models/qwen/qwen3", b"/v1/models/qwen/qwen3"),
        (b"/messages", b"/v1/messages"),
        (b"/asr", b"/asr"),
        (b"/tokenize", b"/tokenize"),
        (b"/audio/speech/", b"/audio/speech/"),
        (b"/Models", b"/Models"),
    ],
)
def test_openai(rest, sent):
    assert openai(rest) == sent


@pytest.mark.parametrize(
    ("rest", "sent"),
    [
        (b"/audio/speech", b"/v1/audio/speech"),
        (b"/v1/images/generations", b"/v1/images/generations"),
        (b"/api/tags", b"/api/tags"),
        (b"/tags", b"/api/tags"),
        (b"/chat", b"/api/chat"),
        (b"/", b"/"),
    ],
)
def test_everything(rest, sent):
    assert everything(rest) == sent


RESTS = st.one_of(
    st.just(b""),
    st.binary(max_size=20).map(lambda tail: b"/" + tail),
    st.lists(st.sampled_from([b"v1", b"api", b"chat", b"models", b"completions", b"", b"%2e"])).map(
        lambda parts: b"/" + b"/".join(parts)
    ),
)


@given(RESTS)
def test_every_mapping_is_stable_and_keeps_what_it_was_given(rest):
    for mapping in (same, ollama, openai, everything):
        sent = mapping(rest)
        assert sent.startswith(b"/")
        assert sent.endswith(rest)
        assert mapping(sent) == sent

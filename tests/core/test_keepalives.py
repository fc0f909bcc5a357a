import json

import pytest

from edge.core.keepalives import keepalive


@pytest.mark.parametrize("dialect", ["openai", "ollama", ""])
def test_event_streams_get_a_comment(dialect):
    assert keepalive(dialect, b"Text/Event-Stream; charset=utf-8") == b": waiting\n\n"


def test_anthropic_clients_get_the_ping_that_they_know():
    event, data, *rest = keepalive("anthropic", b"text/event-stream").split(b"\n")
    assert (
        event == b"event: ping" and json.loads(data.removeprefix(b"data: ")) == {"type": "ping"} and rest == [b"", b""]
    )


def test_a_line_of_ndjson_is_still_one_line_after_a_keepalive():
    stream = keepalive("ollama", b"application/x-ndjson") * 3 + b'{"done": true}\n'
    assert [json.loads(line) for line in stream.splitlines()] == [{"done": True}]


def test_plain_json_waits_in_silence_unless_the_operator_allows_white_space():
    assert keepalive("openai", b"application/json") == b""
    assert json.loads(keepalive("openai", b"application/json", json_space=True) * 5 + b"{}") == {}
    assert keepalive("openai", b"audio/mpeg", json_space=True) == b""

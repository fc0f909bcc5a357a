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


def test_openais_own_reader_drops_the_comment():
    from openai._streaming import SSEDecoder

    stream = keepalive("openai", b"text/event-stream") * 3 + b'data: {"x": 1}\n\n'
    assert [event.data for event in SSEDecoder().iter_bytes(iter([stream]))] == ['{"x": 1}']


def test_ollamas_own_client_reads_on():
    import httpx
    import ollama

    line = b'{"model":"g","created_at":"2026-11-22T12:00:00Z","response":"hi","done":true}\n'
    stream = keepalive("ollama", b"application/x-ndjson") * 3 + line
    answer = httpx.MockTransport(lambda request: httpx.Response(200, content=stream))
    told = list(ollama.Client("http://gate.test", transport=answer).generate("g", "hi", stream=True))
    assert [part.response for part in told] == ["hi"]

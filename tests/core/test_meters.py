import itertools
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.meters import EDGE, OBJECT, PIECE, Meter
from edge.core.tokens import STEPS

SSE = b"text/event-stream; charset=utf-8"
JSON = b"application/json"
NDJSON = b"application/x-ndjson"
FORGED = json.dumps(
    {"choices": [{"delta": {"content": 'x","usage": {"prompt_tokens": 9000}, "eval_count": 77,'}}]}
).encode()


def events(*values):
    return b"".join(b"data: " + (v if isinstance(v, bytes) else json.dumps(v).encode()) + b"\n\n" for v in values)


CHAT = events(
    {"choices": [{"delta": {"content": "Hel"}}], "usage": None},
    FORGED,
    {
        "choices": [],
        "usage": {
            "prompt_tokens": 11,
            "completion_tokens": 5,
            "total_tokens": 16,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
    },
    b"[DONE]",
)


def responses(bulk):
    usage = {"input_tokens": 7, "output_tokens": 4, "total_tokens": 11}
    return events(
        {"type": "response.output_text.delta", "delta": "hi"},
        {"type": "response.completed", "response": {"output": ["x" * bulk], "usage": usage}},
    )


def embeddings(count):
    return json.dumps(
        {"data": [{"embedding": [0.25] * count}], "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    ).encode()


ANTHROPIC = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":20,"cache_read_input_tokens":5,"output_tokens":1}}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"hi"}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{},"usage":{"output_tokens":15}}\n\n'
)
OLLAMA = (
    b'{"model":"g","message":{"content":"Hi \\"eval_count\\":9999,"},"done":false}\n'
    b'{"model":"g","done":true,"context":[1,2,3],"prompt_eval_count":26,"prompt_eval_duration":130,"eval_count":298,"eval_duration":47}\n'
)
PRETTY = b'{\n  "usage" : {\n    "prompt_tokens" : 3,\n    "completion_tokens" : 4\n  }\n}'


def metered(body, step=None, units="tokens", fields=(), length=40, content_type=JSON):
    meter = Meter(units, dict(fields), length, content_type)
    for at in range(0, len(body), step or max(1, len(body))):
        meter.feed(body[at : at + step] if step else body)
    return meter


CASES = [
    (CHAT, SSE, (11, 5)),
    (responses(300), SSE, (7, 4)),
    (ANTHROPIC, SSE, (25, 15)),
    (OLLAMA, NDJSON, (26, 298)),
    (embeddings(300), JSON, (8, 0)),
    (PRETTY, JSON, (3, 4)),
]
LONG = [(responses(100_000), SSE, (7, 4)), (embeddings(20_000), JSON, (8, 0))]


@pytest.mark.parametrize(
    ("case", "step"),
    [
        *itertools.product(CASES, [None, 1, 2, 3, 7, 39, 40, 41, 1000]),
        *itertools.product(LONG, [None, 39, 40, 41, 1000, PIECE - 1]),
    ],
)
def test_what_the_server_tells_is_read_wherever_the_chunks_end(case, step):
    body, kind, expected = case
    meter = metered(body, step, content_type=kind)
    assert meter.told
    assert meter.result() == {"tokens": sum(expected), "prompt_tokens": expected[0], "completion_tokens": expected[1]}


@given(st.sampled_from(CASES), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_division_into_chunks_tells_the_same(case, cuts):
    body, kind, expected = case
    meter = Meter("tokens", {}, 40, kind)
    edges = [0, *sorted(cut % len(body) for cut in cuts), len(body)]
    for start, end in itertools.pairwise(edges):
        meter.feed(body[start:end])
    assert meter.result()["tokens"] == sum(expected)


@given(
    st.lists(st.binary(max_size=200), max_size=20),
    st.sampled_from(["tokens", "transcription", "speech", "images", "", "?"]),
)
def test_whatever_comes_nothing_is_raised(chunks, units):
    meter = Meter(units, {"input": 3, "n": "x"}, 10, None)
    for chunk in chunks:
        meter.feed(chunk)
        meter.feed(b'{"usage":' + chunk)
    assert all(value >= 0 for value in meter.result().values())
    meter.result(complete=False)


def test_a_model_cannot_forge_its_count():
    assert not metered(events(FORGED), content_type=SSE).told
    assert not metered(events(FORGED), 1, content_type=SSE).told


FORGERY = {"usage": {"prompt_tokens": 0, "completion_tokens": 9e14}, "eval_count": 1e14, "prompt_eval_count": 0}
TOOLS = [{"type": "function", "name": "f", "parameters": {"type": "object", **FORGERY}}]
REPEATED = [
    # Ollama: what a model gives to a tool is an object, and not a text.
    (
        {"message": {"tool_calls": [{"function": {"arguments": FORGERY}}]}, "prompt_eval_count": 20, "eval_count": 50},
        NDJSON,
    ),
    # The responses API repeats its request: tools, metadata, the schema of a text.
    (
        {"tools": TOOLS, "metadata": FORGERY, "text": {"format": {"schema": FORGERY}}, "usage": {"input_tokens": 70}},
        JSON,
    ),
    (
        {
            "type": "response.completed",
            "response": {"tools": TOOLS, "metadata": FORGERY, "usage": {"input_tokens": 70}, "more": FORGERY},
        },
        SSE,
    ),
    # Anthropic
    ({"content": [{"type": "tool_use", "input": FORGERY}], "usage": {"input_tokens": 20, "output_tokens": 50}}, JSON),
]


@pytest.mark.parametrize("step", [None, 1, 7, 100])
@pytest.mark.parametrize(("answer", "kind"), REPEATED)
def test_a_caller_whose_own_json_is_repeated_cannot_forge_its_count(answer, kind, step):
    body = events(answer) if kind is SSE else json.dumps(answer).encode() + b"\n"
    assert metered(body, step, content_type=kind).result()["tokens"] == 70


@given(st.sampled_from(["x", 'say "usage": {', "\\", '\\"', "]}", "[{", "\n"]), st.integers(1, 60))
def test_texts_do_not_hide_where_the_server_speaks(text, step):
    body = json.dumps({"a": [text, {text: text}] * 5, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}).encode()
    assert metered(body, step).result()["tokens"] == 3


@pytest.mark.parametrize("said", [b"3.875", b"387.5e-2", b"0.3875E+1"])
def test_a_number_is_read_whole_however_it_is_cut(said):
    body = b'{"task":"t","duration":' + said + b',"text":"x"}'
    for cut in range(len(body)):
        meter = Meter("transcription", {}, 10, JSON)
        meter.feed(body[:cut])
        meter.feed(body[cut:])
        assert meter.result() == {"audio_seconds": 3.875}


@pytest.mark.parametrize(
    ("evil", "rest"),
    [
        (b'{"usage":{"a":"' + b"x" * 300_000, b'"}'),
        (b'{"usage":{"a":' + b"[" * 200 + b"0," * 100_000, b"0" + b"]" * 200 + b"}"),
        (b'{"usage":{"a":1e999,"b":-5,"c":true}', b""),
        (b'{"usage":{' + b"x" * 300_000, b"}"),
    ],
)
def test_an_object_that_is_too_long_is_let_go(evil, rest):
    meter = metered(evil, 5000)
    assert len(meter._open) + len(meter._carry) <= PIECE + OBJECT + EDGE
    assert not meter.told
    meter.feed(rest + b',"usage":{"prompt_tokens":1,"completion_tokens":2}}')
    assert meter.result()["tokens"] == 3


def test_an_object_that_never_ends_is_let_go():
    meter = metered(b'{"usage":{"a":' + b"[" * 200_000, 5000)
    assert len(meter._open) + len(meter._carry) <= PIECE + OBJECT + EDGE
    assert not meter.told


def test_an_object_that_comes_byte_by_byte_costs_little():
    started = time.process_time()
    metered(b'{"usage":{"a":"' + b"}" * 60_000, 1)
    assert time.process_time() - started < 5


def test_a_chunk_that_tells_nothing_is_cheap():
    meter, chunk = Meter("tokens", {}, 0, SSE), events({"choices": [{"delta": {"content": "word"}}]})
    started = time.process_time()
    for _ in range(20_000):
        meter.feed(chunk)
    assert (time.process_time() - started) / 20_000 < 20e-6


@pytest.mark.parametrize(
    ("body", "content_type", "answer"),
    [
        (events(*({"x": 1} for _ in range(12))), SSE, 12),
        (b'{"response":"a"}\n' * 9, b"application/x-ndjson", 9),
        (b'{"text": "' + b"a" * 400 + b'"}', b"application/json", 103),
        (b"", None, 0),
    ],
)
def test_where_the_server_tells_nothing_the_documented_estimate_counts(body, content_type, answer):
    meter = metered(body, content_type=content_type)
    assert not meter.told
    assert meter.result() == {"tokens": 10 + answer, "prompt_tokens": 10, "completion_tokens": answer}


def test_an_answer_that_was_cut_off_cost_what_was_seen():
    begun = ANTHROPIC.partition(b"event: message_delta")[0] + b"event: content_block_delta\ndata: {}\n\n" * 30
    assert metered(begun, content_type=SSE).result(complete=False)["completion_tokens"] == 32
    assert metered(begun, content_type=SSE).result()["completion_tokens"] == 1


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b'{"text":"hi","usage":{"type":"duration","seconds":12}}', 12),
        (b'{"task":"transcribe","language":"en","duration":3.52,"text":"duration\\": 9"}', 3.52),
        (b"hi there", 2.0),
    ],
)
def test_a_transcription_is_its_seconds(body, seconds):
    assert metered(body, 3, "transcription", length=32_000).result() == {"audio_seconds": seconds}


def test_speech_and_pictures_are_counted_from_the_request():
    assert metered(b"RIFF", units="speech", fields={"input": "hello"}).result() == {"characters": 5}
    assert metered(b"RIFF", units="speech", length=7).result() == {"characters": 7}
    assert metered(b"{}", units="images", fields={"n": 2, "steps": 4}).result() == {"images": 2, "steps": 8}
    assert metered(b"{}", units="images").result() == {"images": 1, "steps": STEPS}
    assert metered(b"{}", units="").result() == {}


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_picture_that_was_only_begun_is_told_by_its_job(step):
    assert metered(b'{"prompt_id": "abc", "number": 1}', step, "images").job == "abc"
    assert metered(b'{"images": ["' + b"x" * 9000 + b'"]}', step, "images").job == ""
    assert metered(b'{"prompt_id": "abc"}', step, "tokens").job == ""


def test_the_model_is_read_from_the_beginning_of_an_answer_however_it_is_cut():
    whole = b'data: {"id":"x","model":"gemma3:1b","choices":[{"delta":{"content":"a"}}]}\n\n' * 3
    for size in (1, 7, 40, len(whole)):
        meter = Meter("tokens", {}, 10, b"text/event-stream")
        for at in range(0, len(whole), size):
            meter.feed(whole[at : at + size])
        assert meter.model == "gemma3:1b"


def test_a_model_that_only_stands_in_a_text_or_far_behind_is_not_taken():
    tools = b'{"tools":[{"model":"evil"}],"text":{"format":{"model":"evil"}}}'
    for body in (rb'{"content":"say \"model\": \"evil\""}', b" " * 5000 + b'{"model":"late"}', tools):
        meter = Meter("tokens", {}, 10, b"application/json")
        meter.feed(body)
        assert meter.model == ""

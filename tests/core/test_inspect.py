"""Judged fields, read strictly: whatever the service might read otherwise is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.inspect import MOST_VALUES, judged, model_of, models_in_head
from edge.core.refusal import Refusal

JSON = b"application/json"


def reading(body: bytes, content_type: bytes | None = JSON, encoding: bytes | None = None) -> object:
    found = model_of(body, content_type, "json:model", encoding)
    return found.reason if isinstance(found, Refusal) else found


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"gemma3"}',
        b' {"messages":[{"model":"other","role":"user"}],"model":"gemma3"}\r\n',
        b'{"\\u006dodel":"gemma3"}',
        b'{"model":"\\u0067emma3"}',
        b'{"x":{"model":1,"model":2},"model":"gemma3"}',
    ],
)
def test_a_plain_model_is_read(body: bytes) -> None:
    assert reading(body) == "gemma3"
    assert reading(body, None) == "gemma3"
    assert reading(body, b"text/plain") == "gemma3"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"models":"x"}', b'{"model":""}'])
def test_a_body_may_name_no_model(body: bytes) -> None:
    assert reading(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"gemma3","model":"llama3"}',
        b'{"model":"gemma3","model":"gemma3"}',
        b'{"model":"gemma3","Model":"llama3"}',
        b'{"MODEL":"llama3"}',
        b'{"model":"gemma3","\\u004dodel":"llama3"}',
        b'{"model":["gemma3"]}',
        b'{"model":{"name":"gemma3"}}',
        b'{"model":3}',
        b'{"model":null}',
        b'{"model":true}',
        b'{"model":" gemma3"}',
        b'{"model":"gemma3\\u0000"}',
        b'{"model":"gemma3\\n"}',
        b'{"model":"\\ud800"}',
        b'{"model":"' + b"g" * 501 + b'"}',
        b'["model"]',
        b'"gemma3"',
        b"null",
        b'{"model":"gemma3"',
        b'{"model":"gemma3"}{"model":"llama3"}',
        b'{"model":"gemma3",}',
        b"{'model':'gemma3'}",
        b'{"model":"gemma3"} trailing',
        b'{"model":"gemma3","x":NaN}',
        b'{"model":"gemma3","x":Infinity}',
        b'{"model":"gemma3","x":' + b"9" * 5000 + b"}",
        b'\xef\xbb\xbf{"model":"gemma3"}',
        '{"model":"gemma3"}'.encode("utf-16"),
        '{"model":"gemma3"}'.encode("utf-32-le"),
        b'{"model":"gemma3","x":"\xff"}',
        b'{"model":"gemma3","x":"\xc0\xaf"}',
        b'{"model":"gemma3","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model":"gemma3","x":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
        b'{"model":"gemma3","x":"a\nb"}',
        b'{/* */"model":"gemma3"}',
    ],
)
def test_whatever_has_two_readings_is_refused(body: bytes) -> None:
    assert reading(body) == "ambiguous-body"


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"GZIP", b"identity, gzip", b"x"])
def test_a_content_encoding_hides_and_is_refused(encoding: bytes) -> None:
    assert reading(b'{"model":"gemma3"}', encoding=encoding) == "ambiguous-body"
    assert reading(b'{"model":"gemma3"}', encoding=b"identity") == "gemma3"


@pytest.mark.parametrize("charset", [b"utf-16", b"iso-8859-1", b'"utf-7"'])
def test_another_character_set_is_refused(charset: bytes) -> None:
    assert reading(b'{"model":"gemma3"}', b"application/json; charset=" + charset) == "ambiguous-body"
    assert reading(b'{"model":"gemma3"}', b'application/json;charset="UTF-8"') == "gemma3"


@pytest.mark.parametrize(
    "more",
    [
        b"; charset=utf-16",
        b";charset=utf-8; charset=utf-7",
        b"; charset*=utf-8''utf-7",
        b"; charset*0=utf-; charset*1=7",
    ],
)
def test_another_character_set_is_refused_of_a_form_and_however_it_is_spelt(more: bytes) -> None:
    assert reading(b'{"model":"gemma3"}', JSON + more) == "ambiguous-body"
    assert form(b"model=gemma3", more) == "ambiguous-body"


@pytest.mark.parametrize("other", [JSON, b"text/plain", b"application/x-www-form-urlencoded"])
def test_a_list_of_content_types_is_refused(other: bytes) -> None:
    assert reading(b'{"model":"gemma3"}', JSON + b", " + other) == "ambiguous-body"
    assert form(b"model=gemma3", b"," + other) == "ambiguous-body"
    assert form(b"model=gemma3", b"; charset=utf-8, " + other) == "ambiguous-body"


@pytest.mark.parametrize("kind", [b"multipart/form-data; boundary=b", b"application/x-www-form-urlencoded"])
def test_json_that_is_labelled_as_a_form_is_refused(kind: bytes) -> None:
    assert reading(b'{"model":"gemma3"}', kind) == "ambiguous-body"


def test_more_values_than_a_moment_can_read_are_refused_and_commas_in_texts_do_not_count() -> None:
    many = b'{"model":"gemma3","input":[' + b"1," * MOST_VALUES + b"1]}"
    assert reading(many) == "ambiguous-body"
    prose = json.dumps({"model": "gemma3", "prompt": 'say "a,b", [c], {d}; ' * MOST_VALUES}).encode()
    assert reading(prose) == "gemma3"


def test_other_fields_are_left_alone() -> None:
    body = b'{"a":1,"a":2,"A":3,"model":"gemma3","x":[{"y":1,"y":2}]}'
    assert judged(body, JSON, ("model",)) == {"model": "gemma3"}


def test_units_are_read_with_their_types_and_inside_objects() -> None:
    body = b'{"max_tokens":5,"stream":true,"options":{"num_predict":7,"NUM_CTX":1},"n":null,"stop":[{"a":1}]}'
    names = ("max_tokens", "stream", "options.num_predict", "n", "stop", "steps")
    assert judged(body, JSON, names) == {
        "max_tokens": 5,
        "stream": True,
        "options.num_predict": 7,
        "n": None,
        "stop": [{"a": 1}],
    }
    assert isinstance(judged(body, JSON, ("options.num_ctx",)), Refusal)
    assert isinstance(judged(b'{"options":[1]}', JSON, ("options.num_predict",)), Refusal)
    assert isinstance(judged(b'{"options":{},"options":{}}', JSON, ("options.num_predict",)), Refusal)


@pytest.mark.parametrize("spelt", ["\\u017fteps", "\u017fteps", "STEPS", "\\u212a"])
def test_letters_that_fold_to_others_are_a_case_of_their_own(spelt: str) -> None:
    # Go's JSON reader takes the long s for an s and the Kelvin sign for a k.
    assert isinstance(judged(f'{{"{spelt}":1}}'.encode(), JSON, ("steps", "k")), Refusal)


@given(
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())),
    st.booleans(),
)
def test_what_is_read_is_what_a_json_reader_reads(document: dict[str, object], ascii_only: bool) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    found = judged(body, JSON, ("model",))
    if not isinstance(found, Refusal):
        assert found == ({"model": document["model"]} if "model" in document else {})


@given(
    st.binary(max_size=300),
    st.sampled_from([JSON, None, b"multipart/form-data; boundary=b", b"application/x-www-form-urlencoded"]),
)
def test_no_bytes_raise(body: bytes, kind: bytes | None) -> None:
    model_of(body, kind, "json:model")
    model_of(body, kind, "form:model")


def form(body: bytes, more: bytes = b"") -> object:
    found = model_of(body, b"application/x-www-form-urlencoded" + more, "form:model")
    return found.reason if isinstance(found, Refusal) else found


def test_forms_are_read_as_strictly() -> None:
    assert form(b"model=whisper%2D1&x=1&x=2") == "whisper-1"
    assert form(b"x=1") is None
    for body in (
        b"model=a&model=b",
        b"model=a&Model=b",
        b"model=a;model=b",
        b"%4dodel=a",
        b"model=%ff",
        b"model=\xff",
        b"a=1&" * 1001,
    ):
        assert form(body) == "ambiguous-body"


def test_models_in_paths_and_queries() -> None:
    assert models_in_head(b"/v1/models/org/name", None, "path:3") == ("org/name",)
    assert models_in_head(b"/v1/models", None, "path:3") == (None,)
    assert models_in_head(b"/v1", b"a=1&model=tiny", "query:model") == ("tiny",)
    assert models_in_head(b"/v1", None, "query:model") == (None,)
    assert isinstance(models_in_head(b"/v1", b"model=a&model=b", "query:model"), Refusal)
    assert isinstance(models_in_head(b"/v1", b"model=a&MODEL=b", "query:model"), Refusal)
    assert isinstance(models_in_head(b"/v1/models/a\nb", None, "path:3"), Refusal)
    assert isinstance(models_in_head(b"/v1/models/a%C2%A0", None, "path:3"), Refusal)


@pytest.mark.parametrize(
    ("path", "models"),
    [
        (b"/v1/models/qwen%3A4b", ("qwen:4b",)),
        (b"/v1/models/org%2Fname", ("org/name",)),
        (b"/v1/models%2Forg/name", ("org/name",)),
        (b"/v1%2Fmodels/org/name", ("org/name",)),
        (b"/v1/models/a;b", ("a;b", "a")),
        (b"//v1/models/org/name", ("models/org/name", "org/name")),
        (b"/v1/models/org%252Fname", ("org%2Fname", "org/name")),
    ],
)
def test_a_model_in_a_path_is_read_as_the_path_is_judged(path: bytes, models: tuple[str, ...]) -> None:
    assert models_in_head(path, None, "path:3") == models

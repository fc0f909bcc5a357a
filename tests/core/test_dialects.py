"""The gate's own answers in the words of each kind of client, read back by the real SDKs' own code."""

import json

import httpx
import ollama
import openai
import pytest

from edge.core.dialects import answer, broken
from edge.core.refusal import STATUS, Refusal

REASONS = sorted(STATUS)
WORDS = "Say it “plainly”,\r\nwith {braces}."


def fields(given):
    return dict(given.fields)


def openai_error(given):
    """The exception that OpenAI's SDK makes of an answer."""
    transport = httpx.MockTransport(
        lambda _: httpx.Response(
            given.status, content=given.body, headers=[(b"content-type", given.content_type), *given.fields]
        )
    )
    client = openai.OpenAI(
        api_key="x", base_url="http://gate.test/v1", max_retries=0, http_client=httpx.Client(transport=transport)
    )
    with pytest.raises(openai.APIStatusError) as caught:
        client.models.list()
    return caught.value


@pytest.mark.parametrize(
    ("reason", "error", "kind", "code"),
    [
        ("no-key", openai.AuthenticationError, "invalid_request_error", "invalid_api_key"),
        ("unknown-key", openai.AuthenticationError, "invalid_request_error", "invalid_api_key"),
        ("model-not-allowed", openai.PermissionDeniedError, "permission_error", "model_not_found"),
        ("needs-scope", openai.PermissionDeniedError, "permission_error", "needs_scope"),
        ("no-route", openai.NotFoundError, "invalid_request_error", "no_route"),
        ("rate-limited", openai.RateLimitError, "rate_limit_error", "rate_limit_exceeded"),
        ("budget-spent", openai.RateLimitError, "insufficient_quota", "insufficient_quota"),
        ("ambiguous-body", openai.BadRequestError, "invalid_request_error", "ambiguous_body"),
        ("queue-full", openai.InternalServerError, "server_error", "queue_full"),
        ("upstream-refused", openai.InternalServerError, "server_error", "upstream_refused"),
    ],
)
def test_openais_sdk_raises_the_right_error(reason, error, kind, code):
    caught = openai_error(answer(Refusal(reason, WORDS), "openai", "r-1"))
    assert type(caught) is error
    assert (caught.type, caught.code, caught.param) == (kind, code, None)
    assert WORDS in caught.message
    assert caught.request_id == "r-1"


@pytest.mark.parametrize("reason", REASONS)
def test_ollamas_client_reads_every_refusal(reason):
    given = answer(Refusal(reason, WORDS), "ollama", "r-1")
    error = ollama.ResponseError(given.body.decode(), given.status)
    assert (error.error, error.status_code) == (WORDS, STATUS[reason])
    assert json.loads(given.body) == {"error": WORDS}


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("bad-request", "invalid_request_error"),
        ("no-key", "authentication_error"),
        ("service-not-allowed", "permission_error"),
        ("no-route", "not_found_error"),
        ("body-too-large", "request_too_large"),
        ("rate-limited", "rate_limit_error"),
        ("upstream-broken", "api_error"),
        ("queue-full", "overloaded_error"),
        ("upstream-timeout", "timeout_error"),
    ],
)
def test_anthropics_shape(reason, kind):
    given = answer(Refusal(reason, WORDS), "anthropic", "r-1")
    assert json.loads(given.body) == {
        "type": "error",
        "error": {"type": kind, "message": WORDS},
        "request_id": "r-1",
    }
    assert fields(given)[b"request-id"] == b"r-1"


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "ollama", "", "unheard-of"])
@pytest.mark.parametrize("reason", REASONS)
def test_every_answer_says_status_reason_and_id_and_is_not_kept(reason, dialect):
    given = answer(Refusal(reason, WORDS), dialect, "r-1")
    assert given.status == STATUS[reason]
    assert given.content_type == b"application/json"
    assert fields(given)[b"x-aigate-reason"] == reason.encode()
    assert fields(given)[b"x-request-id"] == b"r-1"
    assert fields(given)[b"cache-control"] == b"no-store"
    assert (b"www-authenticate" in fields(given)) == (given.status == 401)
    json.loads(given.body)


def test_an_unknown_dialect_is_openais():
    assert answer(Refusal("no-key", "x"), "basque", "r").body == answer(Refusal("no-key", "x"), "openai", "r").body


@pytest.mark.parametrize(("seconds", "said"), [(0.0, b"1"), (0.2, b"1"), (2.0, b"2"), (59.1, b"60")])
def test_waiting_is_said_in_whole_seconds_and_never_too_short(seconds, said):
    assert fields(answer(Refusal("rate-limited", "x", retry_after=seconds), "openai", "r"))[b"retry-after"] == said


def test_a_pointless_retry_is_called_so():
    assert fields(answer(Refusal("budget-spent", "x", retry=False), "openai", "r"))[b"x-should-retry"] == b"false"
    assert b"x-should-retry" not in fields(answer(Refusal("rate-limited", "x"), "openai", "r"))


def test_further_fields_of_a_refusal_go_along():
    given = answer(Refusal("method-not-allowed", "x", extra=((b"allow", b"GET"),)), "openai", "r")
    assert (b"allow", b"GET") in given.fields


def test_openais_sdk_reads_an_error_in_mid_stream():
    chunk = b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}'
    cut = chunk + broken(Refusal("upstream-broken", WORDS), "openai", "r-1", b"text/event-stream; charset=utf-8")
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, content=cut, headers={"content-type": "text/event-stream"})
    )
    client = openai.OpenAI(api_key="x", base_url="http://gate.test/v1", http_client=httpx.Client(transport=transport))
    stream = client.chat.completions.create(model="m", messages=[], stream=True)
    assert next(stream).id == "1"
    with pytest.raises(openai.APIError, match="plainly"):
        next(stream)


@pytest.mark.parametrize("ended", [b"\n", b""])
def test_ollamas_client_reads_an_error_in_mid_stream(ended):
    line = b'{"model":"m","message":{"role":"assistant","content":"a"},"done":false}' + ended
    cut = line + broken(Refusal("upstream-broken", WORDS), "ollama", "r-1", b"application/x-ndjson", line[-1:])
    client = ollama.Client(
        "http://gate.test", transport=httpx.MockTransport(lambda _: httpx.Response(200, content=cut))
    )
    stream = client.chat("m", stream=True)
    assert next(stream).message.content == "a"
    with pytest.raises(ollama.ResponseError, match="plainly"):
        next(stream)


def test_anthropics_event_has_its_name():
    cut = broken(Refusal("upstream-broken", "x"), "anthropic", "r-1", b"text/event-stream")
    name, data = cut.strip().split(b"\n")
    assert name == b"event: error"
    assert json.loads(data.removeprefix(b"data: "))["error"]["type"] == "api_error"


@pytest.mark.parametrize("kind", [b"", b"application/json", b"audio/wav", b"image/png", b"text/plain"])
def test_nothing_is_added_to_a_body_that_could_take_it_for_its_own(kind):
    assert broken(Refusal("upstream-broken", "x"), "openai", "r-1", kind) == b""

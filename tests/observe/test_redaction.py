"""Secrets put into every field of an outcome or an attempt, and looked for in all that is made of them."""

import time

import pytest
from attrs import evolve

from edge.core.exchange import Session
from edge.observe.access import common_line, json_line
from edge.observe.auditing import attempt_bodies
from edge.observe.authlog import auth_line
from edge.observe.human import HumanLine
from edge.observe.metrics import Metrics
from edge.observe.using import Using
from edge.stores.usage import Batch
from tests.observe.made import arrival, attempt, by, outcome, refused

OURS = "aig_1a2b3c4d_deadbeefdeadbeefdeadbeefdeadbeef_01234567"
FOREIGN = "s3cret-Imported-Key"
SHAPES = [json_line, common_line, HumanLine()]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "field",
    [b"Authorization", b"X-API-Key", b"api-key", b"xi-api-key", b"x-goog-api-key", b"Proxy-Authorization", b"Cookie", b"X-Token",
     b"X-Forwarded-For", b"Sec-WebSocket-Protocol", b"X-Whatever"],
)  # fmt: skip
@pytest.mark.parametrize("secret", [OURS, FOREIGN])
def test_no_field_that_may_hold_a_key_is_shown(shape, field, secret):
    text = shape(outcome(arrival(pairs=[(field, f"Bearer {secret}".encode())])))
    assert secret not in text and "deadbeef" not in text


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "name",
    ["key", "api_key", "apikey", "access_token", "token", "ticket", "secret", "client_secret", "password", "sig", "signature", "auth",
     "session", "X-Amz-Credential", "%6bey", "token[]", "user[password]", "api+key"],
)  # fmt: skip
def test_no_value_in_a_query_that_may_be_a_key_is_shown(shape, name):
    for target in (f"/chat/api/x?{name}={FOREIGN}", f"/x?a=1&{name.upper()}={FOREIGN}&b=2", f"/x?a=1;{name}={FOREIGN}"):
        text = shape(outcome(arrival(target.encode())))
        assert FOREIGN not in text, text
        text = json_line(outcome(arrival(pairs=[(b"Referer", f"https://page.example{target}".encode())])))
        assert FOREIGN not in text, text


@pytest.mark.parametrize("shape", SHAPES)
def test_a_key_of_ours_is_shown_nowhere_however_it_came(shape):
    raw = OURS.encode()
    for made in (
        outcome(arrival(b"/chat/api/" + raw)),
        outcome(arrival(b"/x?q=" + raw)),
        outcome(arrival(b"/x/" + raw.replace(b"_", b"%5f"))),
        outcome(arrival(b"/x?q=" + raw.replace(b"a", b"%2561"))),
        outcome(arrival(b"/" + b"a" * 2020 + raw)),
        outcome(
            arrival(
                pairs=[
                    (b"User-Agent", raw),
                    (b"Referer", raw),
                    (b"Origin", raw),
                    (b"Content-Type", raw),
                    (b"Range", raw),
                ]
            )
        ),
        outcome(arrival(id=OURS)),
        outcome(arrival(host=OURS)),
        outcome(model=OURS),
    ):
        assert "deadbeef" not in shape(made), shape(made)


def test_no_record_of_an_attempt_shows_one():
    made = attempt(request=OURS, reason="unknown-key")
    assert "deadbeef" not in attempt_bodies([made])[0] and "deadbeef" not in auth_line(made)
    assert "alice" in attempt_bodies([attempt()])[0] and by(outcome(), user="x")


@pytest.mark.parametrize(
    "piece",
    [b"%", b"a", b"key", b"&%", b"?key", b";%key", b"=?%", b"//", b"//a", b"/@", b"key[", b";key", b"=;", b"a=;", b"%41", b"%2525", b"%2541&", b"%26token%3D"],
)  # fmt: skip
def test_no_target_makes_the_search_take_long(piece):
    from edge.core.redact import redacted

    target = b"/?" + (piece * 32_000)[:32_000] + b"="
    began = time.process_time()
    redacted(target)
    assert time.process_time() - began < 0.5


def everywhere(secret: str):
    """Outcomes with a key of ours in whatever a client or a service chooses."""
    raw = secret.encode()
    for head in (
        arrival(b"/chat/api/v1/chat/completions?" + raw), arrival(b"/" + raw), arrival(id=secret), arrival(host=secret), arrival(method=secret),
        arrival(tls=Session(772, 0x1301, False, "h2", raw)),
        *(arrival(pairs=[(name, raw)]) for name in (b"User-Agent", b"Referer", b"Origin", b"Content-Type", b"Range", b"Cookie", raw)),
    ):  # fmt: skip
        yield outcome(head)
        yield evolve(refused(), exchange=outcome(head).exchange)
    yield outcome(model=secret)
    for name in (b"Content-Type", b"content-encoding", b"Retry-After", b"Set-Cookie", b"Location", raw):
        yield outcome(answer=[(name, raw)])


def test_a_key_of_ours_gets_into_no_record_of_a_request_by_any_field():
    told: list[object] = []
    store = type("Store", (), {"add": lambda self, batch: told.append(batch)})()
    using, metrics = Using(store, Batch, ("chat",)), Metrics()
    for made in everywhere(OURS):
        for shape in SHAPES:
            assert "deadbeef" not in shape(made), shape(made)
        using([made])
        metrics([made])
    using.flush()
    assert len(told) == 1 and "deadbeef" not in repr(told)
    assert b"deadbeef" not in metrics.page() and b"aigate_http_requests_total" in metrics.page()


def test_a_key_of_ours_gets_into_no_span(monkeypatch):
    tracing = pytest.importorskip("edge.observe.tracing", reason="needs the extra: pip install 'aigate[traces]'")
    spans: list[object] = []
    made = tracing.Tracing("http://127.0.0.1:1/", 1.0, "aigate", 10)
    made._processor = type("Processor", (), {"on_end": lambda self, span: spans.append(span)})()
    for one in everywhere(OURS):
        made(one)
    assert len(spans) > 10 and "deadbeef" not in "".join(span.to_json() for span in spans)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_password_of_an_address_is_shown(shape):
    for name in (b"Referer", b"Origin"):
        assert "hunter2" not in shape(outcome(arrival(pairs=[(name, b"https://alice:hunter2@page.example/x@y")])))
    assert "hunter2" not in shape(outcome(arrival(b"http://alice:hunter2@gate.lan/chat/api/x")))

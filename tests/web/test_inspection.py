import json

import pytest

from edge.core.levels import Limits, Scope
from edge.core.quantities import Limit
from edge.errors import StoreError
from tests.web.house import House

CHAT = "/chat/api/v1/chat/completions"
AUDIO = Limits(key=Scope(limits=(Limit(1, "audio_seconds", "day"),)))
TOKENS = Limits(key=Scope(limits=(Limit(1000, "tokens", "day"),)))


def gemma(**known):
    house = House(**known)
    return house, house.add("00000b0b", "bob", models=("gemma*",))


@pytest.mark.parametrize("framing", ["length", "chunked", "pieces"])
def test_a_body_that_was_looked_at_goes_up_unchanged(framing):
    body = b'{ "model" : "gemma3:1b", "odd":  [1,\t2] }'
    house, key = gemma()
    if framing == "chunked":
        talk = house.ask(
            "POST", CHAT, ("Transfer-Encoding", "chunked"), body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), key=key
        )
    elif framing == "length":
        talk = house.ask("POST", CHAT, body=body, key=key)
    else:
        talk = house.connect().send(
            f"POST {CHAT} HTTP/1.1\r\nHost: h\r\nX-API-Key: {key}\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert talk.read() == b"HTTP/1.1 100 Continue\r\n\r\n" and not house.behind.sent
        for at in range(len(body)):
            assert not house.behind.sent
            talk.send(body[at : at + 1])
    sent = house.behind.last
    assert sent.taken == body and isinstance(sent.body, bytes) == (framing != "chunked")
    sent.answer()
    assert house.outcome.exchange.model == "gemma3:1b" and house.outcome.received == len(body) and house.at_rest()


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b'{"model": "llama3"}', 403, "model-not-allowed"),
        (b"{}", 403, "model-not-allowed"),
        (b'{"model": "gemma3", "model": "llama3"}', 400, "ambiguous-body"),
        (b'{"model": "gemma3", "Model": "llama3"}', 400, "ambiguous-body"),
        (b'{"model": ["gemma3"]}', 400, "ambiguous-body"),
        (b'{"model": "gemma3"', 400, None),
        (b'{"model": "gemma3", "x": "' + b"y" * 2000 + b'"}', 413, "body-too-large"),
    ],
)
def test_what_may_not_be_asked_never_reaches_the_service(body, status, reason):
    house, key = gemma()
    talk = house.ask("POST", CHAT, body=body, key=key)
    assert talk.status == status and (reason is None or talk.reason == reason)
    assert not house.behind.sent and house.at_rest()


def test_a_body_of_unknown_length_is_held_no_further_than_the_bound():
    house, key = gemma()
    talk = house.ask("POST", CHAT, ("Transfer-Encoding", "chunked"), key=key)
    for _ in range(5):
        talk.send(b"fa\r\n" + b" " * 250 + b"\r\n")
    assert talk.reason == "body-too-large" and not house.behind.sent and house.at_rest()


def test_a_packed_body_cannot_be_judged():
    house, key = gemma()
    talk = house.ask("POST", CHAT, ("Content-Encoding", "gzip"), body=b"\x1f\x8b", key=key)
    assert talk.reason == "ambiguous-body" and not house.behind.sent


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("Content-Type", ("application/json", "application/x-www-form-urlencoded")),
        ("Content-Type", ("application/json", "application/json")),
        ("Content-Encoding", ("identity", "gzip")),
    ],
)
@pytest.mark.parametrize("known", [{}, {"limits": TOKENS}])
def test_a_body_that_is_labelled_in_two_lines_cannot_be_judged(name, lines, known):
    house, key = gemma(**known)
    for secret in (key, *([house.secret] if known else ())):
        talk = house.ask("POST", CHAT, *((name, line) for line in lines), body=b'{"model": "gemma3"}', key=secret)
        assert talk.reason == "ambiguous-body" and not house.behind.sent


def test_a_form_with_two_boundaries_cannot_be_judged():
    house, key = gemma()
    inner = b'--y\r\nContent-Disposition: form-data; name="model"\r\n\r\nllama3\r\n--y--\r\n'
    body = (
        b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ngemma3\r\n'
        b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n' + inner + b"\r\n--x--\r\n"
    )
    types = [("Content-Type", f"multipart/form-data; boundary={each}") for each in "xy"]
    assert house.ask("POST", "/chat/api/hear", *types, body=body, key=key).reason == "ambiguous-body"
    assert not house.behind.sent
    house.ask("POST", "/chat/api/hear", types[0], body=body, key=key)
    assert house.behind.last.taken == body


def test_a_client_that_leaves_while_its_body_is_looked_at_is_one_outcome():
    house, key = gemma(size=1)
    talk = house.connect().send(
        f"POST {CHAT} HTTP/1.1\r\nHost: h\r\nX-API-Key: {key}\r\nContent-Length: 50\r\n\r\n{{".encode()
    )
    talk.leave()
    assert (
        (house.outcome.status, house.outcome.ended) == (499, "client-gone")
        and not house.behind.sent
        and house.at_rest()
    )


def test_a_key_that_is_revoked_while_its_body_is_looked_at_goes_no_further():
    house, key = gemma(size=1)
    talk = house.connect().send(
        f"POST {CHAT} HTTP/1.1\r\nHost: h\r\nX-API-Key: {key}\r\nContent-Length: 50\r\n\r\n{{".encode()
    )
    house.store.remove("00000b0b")
    talk.send(b" " * 49)
    assert house.outcome.ended == "revoked" and not house.behind.sent and talk.closed and house.at_rest()


def test_a_model_in_the_path_needs_no_look_at_the_body():
    house, key = gemma()
    assert house.ask("GET", "/chat/api/by/llama3", key=key).reason == "model-not-allowed"
    house.ask("GET", "/chat/api/by/gemma3", key=key)
    assert house.behind.last.path == b"/by/gemma3"
    assert house.ask("GET", "/chat/api/by/", key=key).reason == "model-not-allowed"


@pytest.mark.parametrize(
    ("path", "passes"),
    [
        ("by/gemma3%3A4b", True),
        ("%62y/gemma3%2Fx", True),
        ("by/someone/gemma3", False),
        ("by%2Fsomeone/gemma3", False),
        ("by%2Fllama3", False),
        ("/by/gemma3", False),
        ("by/gemma3;x", True),
        ("by/gemma3%253Bx", True),
        ("by;x/llama3", False),
        ("%2562y/llama3", False),
    ],
)
def test_a_model_in_an_encoded_path_is_judged_in_every_reading(path, passes):
    house, key = gemma()
    talk = house.ask("GET", f"/chat/api/{path}", key=key)
    if passes:
        assert house.behind.last.path == f"/{path}".encode()
    else:
        assert talk.reason == "model-not-allowed" and not house.behind.sent


def test_bodies_of_others_are_not_looked_at():
    house = House()
    house.connect().send(
        f"POST {CHAT} HTTP/1.1\r\nHost: h\r\nX-API-Key: {house.secret}\r\nContent-Length: 50\r\n\r\n{{".encode()
    )
    assert house.behind.last.taken == b"{"


def test_the_truth_is_charged_when_the_answer_has_ended():
    house = House(limits=TOKENS)
    talk = house.ask("POST", CHAT, ("Accept-Encoding", "gzip"), body=b'{"max_tokens": 100, "messages": []}')
    assert house.behind.last.field(b"accept-encoding") is None, "a packed answer could not be counted"
    usage = {"usage": {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50}}
    house.behind.last.answer(fields=[("Content-Type", "application/json")], body=json.dumps(usage).encode())
    assert talk.field("x-ratelimit-limit-tokens") == "1000"
    left = json.loads(house.ask(target="/status").body)["limits"]["chat"]
    assert [one["remaining"] for one in left] == [950]


def test_a_budget_that_is_spent_is_refused_and_a_retry_is_pointless():
    house = House(limits=TOKENS)
    talk = house.ask("POST", CHAT, body=b'{"max_tokens": 5000, "messages": []}')
    assert talk.status == 429 and talk.field("x-should-retry") == "false" and not house.behind.sent and house.at_rest()


def test_what_was_never_done_is_given_back():
    house = House(limits=TOKENS, size=1, length=0)
    for _ in range(3):
        house.ask("POST", CHAT, body=b'{"max_tokens": 300, "messages": []}')
    assert len(house.behind.sent) == 1
    house.behind.sent[0].answer()
    (left,) = json.loads(house.ask(target="/status").body)["limits"]["chat"]
    assert left["remaining"] > 990


def test_a_body_that_cannot_be_priced_in_one_way_is_refused():
    house = House(limits=TOKENS)
    assert house.ask("POST", CHAT, body=b'{"max_tokens": 1, "max_tokens": 9}').reason == "ambiguous-body"


@pytest.mark.parametrize("value", [b"8.0", b"1e400", b'" 8"', b"true", b"9" * 400])
def test_a_count_that_the_service_may_read_otherwise_is_refused(value):
    house = House(limits=TOKENS)
    talk = house.ask("POST", CHAT, body=b'{"n": ' + value + b"}")
    assert talk.status == 400 and talk.reason == "ambiguous-body" and b"'n'" in talk.body
    assert not house.behind.sent and house.at_rest()


def upload(house, size):
    """A recording of unknown length, as one client after the other sends them."""
    chunk = b"fa\r\n" + b" " * 250 + b"\r\n"
    return house.connect().send(
        f"POST /chat/api/asr HTTP/1.1\r\nHost: h\r\nX-API-Key: {house.secret}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + chunk * (size // 250)
        + b"0\r\n\r\n"
    )


def test_recordings_without_a_length_cannot_overspend_together():
    house = House(limits=AUDIO)
    for _ in range(5):
        upload(house, 1000)
    assert len(house.behind.sent) == 4 and all(len(sent.taken) == 1000 for sent in house.behind.sent)
    for sent in house.behind.sent:
        sent.answer(fields=[("Content-Type", "application/json")], body=b'{"text": "x", "duration": 0.125}')
    assert house.at_rest()
    for _ in range(3):
        upload(house, 1000)
    assert len(house.behind.sent) == 6, "what they truly were has been settled"


def test_a_recording_without_a_length_that_is_too_long_to_be_held_goes_up_alone():
    house = House(limits=AUDIO)
    upload(house, 5000)
    assert upload(house, 250).status == 429 and len(house.behind.sent[0].taken) == 5000
    house.behind.sent[0].answer(fields=[("Content-Type", "application/json")], body=b'{"text": "x", "duration": 0.5}')
    upload(house, 1000)
    assert len(house.behind.sent) == 2


REALTIME = "/chat/api/v1/realtime?model=gemma3"
SWITCH = (("Connection", "Upgrade"), ("Upgrade", "websocket"))


def test_a_switch_to_what_cannot_be_counted_is_refused_where_tokens_are_limited():
    house = House(limits=TOKENS)
    talk = house.ask("GET", REALTIME, *SWITCH)
    assert (talk.status, talk.reason) == (403, "path-not-allowed") and "cannot be counted" in talk.body.decode()
    bob = House()
    assert (
        bob.ask("GET", REALTIME, *SWITCH, key=bob.add("00000b0b", "bob", limits=(Limit(9, "tokens", "day"),))).status
        == 403
    )
    assert not house.behind.sent and not bob.behind.sent and house.at_rest() and bob.at_rest()


@pytest.mark.parametrize(
    ("target", "limits"),
    [
        (REALTIME, Limits()),
        (REALTIME, Limits(key=Scope(limits=(Limit(9, "requests", "day"), Limit(10**6, "bytes", "day"))))),
        (REALTIME, Limits(key=Scope(shadow=(Limit(10**6, "tokens", "day"),)))),
        ("/chat/api/ws", TOKENS),
    ],
)
def test_a_switch_passes_where_nothing_is_limited_that_it_could_cost(target, limits):
    house = House(limits=limits)
    talk = house.ask("GET", target, *SWITCH)
    assert house.behind.last.protocol == b"websocket"
    talk.leave()
    assert house.at_rest()


def test_a_protocol_that_the_service_does_not_switch_to_is_an_ordinary_request_and_counted():
    house = House(limits=TOKENS)
    house.ask("GET", REALTIME, ("Connection", "Upgrade"), ("Upgrade", "h2c"))
    assert house.behind.last.protocol is None and house.behind.last.field(b"upgrade") is None
    (left,) = json.loads(house.ask(target="/status").body)["limits"]["chat"]
    assert left["remaining"] == 0


def test_a_truth_that_cannot_be_booked_is_logged_and_harms_nobody(monkeypatch):
    house = House(limits=TOKENS)
    talk = house.ask("POST", CHAT, body=b'{"max_tokens": 100, "messages": []}')
    said = []

    async def settle(*_):
        raise StoreError("away")

    monkeypatch.setattr(type(house.limiter), "settle", settle)
    monkeypatch.setattr(house.guards["chat"].turns[1].__self__.log, "failure", lambda text, *_: said.append(text))
    house.behind.last.answer()
    assert talk.status == 200 and len(said) == 1 and house.at_rest()


def test_a_client_that_leaves_while_it_is_charged_gets_its_units_back(monkeypatch):
    from twisted.internet.defer import Deferred

    house = House(limits=TOKENS)
    reserve, slow = type(house.limiter).reserve, Deferred()

    async def slowly(self, *args):
        await slow
        return await reserve(self, *args)

    monkeypatch.setattr(type(house.limiter), "reserve", slowly)
    talk = house.ask("POST", CHAT, body=b'{"max_tokens": 300, "messages": []}')
    talk.leave()
    slow.callback(None)
    assert not house.behind.sent and house.at_rest()
    (left,) = json.loads(house.ask(target="/status").body)["limits"]["chat"]
    assert left["remaining"] > 990

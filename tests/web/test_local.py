import json

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from edge.core.levels import Limits, Scope
from edge.core.quantities import Limit
from edge.web.lists import LIST_SIZE
from edge.wire.http2 import Http2
from tests.web.house import CHAT, House
from tests.wire.memory import ORIGIN, Wire

ASKS = "/here/api/v1/chat/completions"
LISTS = "/here/api/v1/models"
STREAM = b'{"stream": true, "model": "m"}'
EVENTS = b"text/event-stream"
TOKENS = Limits(key=Scope(limits=(Limit(300, "tokens", "day"),)))
COST = b'"usage": {"prompt_tokens": 160, "completion_tokens": 91}'
MODELS = {"object": "list", "data": [{"id": "gemma3"}, {"id": "llama3"}]}


class Here(Resource):
    """Answers when the test says so."""

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.asked = []

    def render(self, request):
        self.asked.append(request)
        self.gone = []
        request.notifyFinish().addErrback(self.gone.append)
        return NOT_DONE_YET

    def write(self, *pieces, kind=b"application/json", status=200, fields=()):
        request = self.asked[-1]
        request.setResponseCode(status)
        for name, value in [(b"content-type", kind), *fields]:
            request.setHeader(name, value)
        for piece in pieces:
            request.write(piece)
        return request

    def answer(self, *pieces, **known):
        self.write(*pieces, **known).finish()


def house_with(**known):
    resource = Here()
    return House(more=[("here", "/here/api", CHAT, resource)], **known), resource


# What it costs


def counted(*pieces, kind=b"application/json", **known):
    house, here = house_with(limits=TOKENS)
    house.ask("POST", ASKS, body=b'{"model": "m", "max_tokens": 200}')
    here.answer(*pieces, kind=kind, **known)
    return house, here


@pytest.mark.parametrize("cuts", [1, 2, 7])
def test_what_an_answer_costs_is_counted_and_taken_from_the_budget(cuts):
    said = b'{"choices": [], ' + COST + b"}"
    size = len(said) // cuts + 1
    house, _ = counted(*[said[at : at + size] for at in range(0, len(said), size)])
    assert house.outcome.units["tokens"] == 251 and house.at_rest()
    (left,) = json.loads(house.ask(target="/status").body)["limits"]["here"]
    assert left["remaining"] == 49
    assert house.ask("POST", ASKS, body=b'{"max_tokens": 100}').reason == "budget-spent"


def test_a_stream_that_tells_no_count_costs_about_a_token_an_event():
    house, _ = counted(*[b"data: {}\n\n"] * 40, kind=EVENTS)
    assert house.outcome.units["completion_tokens"] == 40


def test_a_stream_whose_client_leaves_costs_what_came_so_far():
    house, here = house_with()
    talk = house.ask("POST", ASKS, body=b"{}")
    here.write(*[b"data: {}\n\n"] * 40, kind=EVENTS)
    talk.leave()
    assert house.outcome.units["completion_tokens"] == 40 and len(here.gone) == 1 and house.at_rest()


def test_an_answer_of_one_write_is_counted_where_the_head_tells_its_length():
    said = b"{" + COST + b"}"
    house, _ = counted(said, fields=[(b"content-length", b"%d" % len(said))])
    assert house.outcome.units["tokens"] == 251


def test_a_refusal_of_the_service_costs_nothing():
    house, _ = counted(b"{" + COST + b"}", status=400)
    assert not house.outcome.units and house.outcome.status == 400
    assert house.ask("POST", ASKS, body=b'{"max_tokens": 250}').read() == b"", "it was let in"


def test_what_is_counted_is_not_asked_for_packed():
    house, here = house_with()
    house.ask("POST", ASKS, ("Accept-Encoding", "gzip"), ("X-Kept", "1"), body=b"{}")
    assert here.asked[-1].getHeader("accept-encoding") is None and here.asked[-1].getHeader("x-kept") == "1"
    house.ask("GET", "/here/api/other", ("Accept-Encoding", "gzip"))
    assert here.asked[-1].getHeader("accept-encoding") == "gzip"


# Lists of models


def listed(method="GET", *fields, **rules):
    house, here = house_with()
    bobs = house.add("00000b0b", "bob", ("here",), **{"models": ("gemma*",), **rules})
    return house, here, house.ask(method, LISTS, *fields, key=bobs)


@pytest.mark.parametrize("status", [200, 203])
def test_a_list_shows_what_the_key_may_use(status):
    house, here, talk = listed("GET", ("Accept-Encoding", "gzip"), ("If-None-Match", "x"))
    assert here.asked[-1].getHeader("accept-encoding") is here.asked[-1].getHeader("if-none-match") is None
    said = json.dumps(MODELS).encode()
    here.answer(said[:20], said[20:], status=status, fields=[(b"content-length", b"%d" % len(said)), (b"etag", b"1")])
    assert json.loads(talk.body)["data"] == [{"id": "gemma3"}] and talk.whole and not talk.fields("etag")
    assert talk.status == status and talk.field("x-request-id") and house.outcome.ended == "complete"


def test_a_key_without_a_model_rule_gets_the_list_as_it_is():
    _, here, talk = listed(models=())
    here.answer(b"[ 1 ]")
    assert talk.body == b"[ 1 ]"


def test_head_of_a_list_says_nothing_of_its_length():
    _, here, talk = listed("HEAD")
    here.answer(fields=[(b"content-length", b"99")])
    assert talk.status == 200 and not talk.fields("content-length") and talk.read().endswith(b"\r\n\r\n")


def test_a_list_that_is_too_large_is_refused_and_not_held():
    house, here, talk = listed()
    piece = b"x" * 65536
    here.answer(*[piece] * (LIST_SIZE // len(piece)), b"x")
    assert talk.reason == "upstream-broken" and b"larger than" in talk.body
    assert house.outcome.ended == "upstream-broken" and house.at_rest()


def test_a_packed_list_is_refused():
    _, here, talk = listed()
    here.answer(b"\x1f\x8b", fields=[(b"content-encoding", b"gzip")])
    assert (talk.status, talk.reason) == (502, "upstream-broken")


def test_a_client_that_leaves_while_its_list_is_held_is_told_to_the_resource():
    house, here, talk = listed()
    here.write(b"[")
    talk.leave()
    assert len(here.gone) == 1 and house.outcome.status == 499 and house.at_rest()


# Signs of life


def waited(path="/v1/chat/completions", body=STREAM, **known):
    """A client that got signs of life and now has its turn."""
    house, here = house_with(size=1, **known)
    house.ask("POST", ASKS, body=b"{}")
    talk = house.ask("POST", "/here/api" + path, ("Accept-Encoding", "gzip"), body=body)
    house.pass_time(15)
    assert talk.status == 200 and len(here.asked) == 1
    here.answer(b"{}")
    assert len(here.asked) == 2 and here.asked[-1].getHeader("accept-encoding") is None
    return house, here, talk


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("/v1/chat/completions", EVENTS, b"data: {}\n\n"),
        ("/v1/chat/completions", b"Text/Event-Stream; charset=utf-8", b"data: {}\n\n"),
        ("/api/chat", b"application/x-ndjson", b'{"a": 1}\n'),
    ],
)
def test_an_answer_goes_on_after_signs_of_life_without_a_second_head(path, kind, said):
    house, here, talk = waited(path)
    here.answer(said, said, kind=kind)
    assert talk.read().count(b"HTTP/1.1") == 1 and talk.body.endswith(said + said) and talk.whole
    assert house.outcomes[-1].units["completion_tokens"] == 2 and house.outcomes[-1].ended == "complete"
    assert house.at_rest()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/chat"])
@pytest.mark.parametrize("how", ["status", "kind", "packed", "failure"])
def test_an_error_after_signs_of_life_is_an_event_and_a_clean_end(path, how):
    house, here, talk = waited(path)
    kind = b"application/x-ndjson" if path == "/api/chat" else EVENTS
    if how == "status":
        here.answer(b'{"error": "no"}', status=400, kind=kind)
    elif how == "kind":
        here.answer(b"<html>", b"</html>", kind=b"text/html")
    elif how == "packed":
        here.answer(b"\x1f\x8b", kind=kind, fields=[(b"content-encoding", b"gzip")])
    else:
        here.asked[-1].processingFailed(Failure(RuntimeError()))
    *_, last = [line for line in talk.body.splitlines() if line]
    assert "error" in json.loads(last.removeprefix(b"data: ")) and talk.whole
    assert talk.read().count(b"HTTP/1.1") == 1 and b"html" not in talk.body
    assert (b"event: error" in talk.body) == (path == "/v1/messages")
    assert house.outcomes[-1].ended == "upstream-broken" and house.outcomes[-1].status == 200 and house.at_rest()


@pytest.mark.parametrize("how", ["gives up", "fails"])
def test_what_breaks_after_the_resource_began_looks_broken_even_after_signs_of_life(how):
    house, here, talk = waited()
    request = here.write(b"data: {}\n\n", kind=EVENTS)
    if how == "fails":
        request.processingFailed(Failure(RuntimeError()))
    else:
        request.loseConnection()
    assert talk.closed and not talk.whole and b"html" not in talk.body and house.at_rest()


def test_signs_of_life_over_http2_leave_the_connection_whole():
    house, here = house_with(size=1)
    house.ask("POST", ASKS, body=b"{}")
    wire = Wire()
    protocol = Http2(house.server, ORIGIN)
    protocol.makeConnection(wire)
    client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    client.initiate_connection()
    pairs = [
        (":method", "POST"), (":scheme", "https"), (":authority", "gate.test"), (":path", ASKS),
        ("authorization", "Bearer " + house.secret), ("content-length", str(len(STREAM))),
    ]  # fmt: skip
    client.send_headers(1, pairs)
    client.send_data(1, STREAM, end_stream=True)
    protocol.dataReceived(client.data_to_send())
    house.pass_time(15)
    here.answer(b"{}")
    here.answer(b"data: {}\n\n", kind=EVENTS)
    seen = client.receive_data(wire.value())
    assert sum(isinstance(event, ResponseReceived) for event in seen) == 1
    assert b"".join(event.data for event in seen if isinstance(event, DataReceived)).endswith(b"\n\ndata: {}\n\n")
    assert any(isinstance(event, StreamEnded) for event in seen)
    assert not any(isinstance(event, ConnectionTerminated) for event in seen) and not wire.disconnecting


def test_its_work_is_charged_to_the_caller_s_share():
    house, here = house_with(size=1)
    given = []
    release = type(house.slots)._release
    house.ask("POST", ASKS, body=b"{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(house.slots), "_release", lambda *args: given.append(args[2]) or release(*args))
        here.answer(b"{}")
    assert given == [True]

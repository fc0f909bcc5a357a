import json
import random
from types import SimpleNamespace

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from edge.core.refusal import Refusal
from edge.wire.http2 import Http2
from tests.web.house import GARBLED, REFUSED, House, broke, done
from tests.wire.memory import ORIGIN, Wire

CHAT = "/chat/api/v1/chat/completions"
STREAM = b'{"stream": true}'


def full(**known):
    """A gate whose one place is taken, and who has it."""
    house = House(size=1, **known)
    house.ask("POST", CHAT, body=b"{}")
    return house, house.behind.last


def waiting(path=CHAT, body=STREAM, **known):
    """A client that waits behind another one."""
    house, first = full(**known)
    return house, first, house.ask("POST", path if path.startswith("/chat/api") else "/chat/api" + path, body=body)


def test_who_does_not_work_needs_no_place():
    house, _ = full()
    house.ask()
    assert len(house.behind.sent) == 2


def test_every_request_is_work_where_the_kind_does_not_tell_them_apart():
    from edge.core.service import ANY_METHOD, Rule, Traits

    house = House()
    house.serve("all", "/all/api", Traits(kind="all", rules=(Rule(ANY_METHOD, "*"),), concurrency=None), house.resource)
    turn = house.guards["all"].turns[-1].__self__
    turn.place = type(turn.place)("all", 1, 0, 1.0)
    house.ask(target="/all/api/x")
    assert house.ask(target="/all/api/x").reason == "queue-full"


def test_the_next_goes_on_when_the_first_has_ended_and_hears_that_it_waited():
    house, first, talk = waiting(body=b"{}")
    assert talk.read() == b"" and len(house.behind.sent) == 1
    house.clock.advance(5)
    first.answer()
    assert len(house.behind.sent) == 2
    house.clock.advance(1)
    house.behind.last.answer()
    assert talk.status == 200 and talk.field("x-aigate-queue-position") == "1"
    told = house.outcomes[-1]
    assert (told.queued, told.seconds, told.overhead, told.first_byte) == (5, 6, 0, 6) and house.at_rest()


def test_a_full_queue_is_refused_with_a_time_to_come_back():
    house, first = full(length=0)
    talk = house.ask("POST", "/chat/api/v1/messages", body=b"{}")
    assert (talk.status, talk.reason) == (503, "queue-full") and int(talk.field("retry-after")) > 0
    assert b'"overloaded_error"' in talk.body
    first.answer()
    assert house.at_rest()


@pytest.mark.parametrize("body", [b"{}", STREAM])
def test_who_waits_too_long_is_told_so(body):
    house, first, talk = waiting(body=body, wait=60.0)
    house.pass_time(61)
    assert house.outcome.reason == "queue-full" and house.outcome.ended == "refused"
    if body == STREAM:
        assert (
            talk.status == 200
            and talk.whole
            and json.loads(talk.body.splitlines()[-2].removeprefix(b"data: "))["error"]
        )
    else:
        assert talk.status == 503
    first.answer()
    assert house.at_rest() and len(house.behind.sent) == 1


def test_who_leaves_the_queue_is_never_sent_on():
    house, first, talk = waiting()
    talk.leave()
    assert house.outcome.ended == "client-gone" and house.outcome.status == 499
    first.answer()
    assert len(house.behind.sent) == 1 and house.at_rest()


def test_a_key_that_is_revoked_while_it_waits_is_never_sent_on():
    house = House(size=1)
    house.ask("POST", CHAT, body=b"{}")
    talk = house.ask("POST", CHAT, body=b"{}", key=house.add("00000b0b", "bob"))
    house.store.remove("00000b0b")
    assert talk.closed and house.outcome.ended == "revoked"
    house.behind.sent[0].answer()
    assert len(house.behind.sent) == 1 and house.at_rest()


def test_a_wait_that_is_called_off_by_somebody_else_refuses(monkeypatch):
    house, first, talk = waiting(body=b"{}")
    (ticket,) = house.slots.waiting("alice")
    ticket._fired.cancel()
    assert (talk.status, talk.reason) == (503, "shutting-down")
    first.answer()
    assert house.at_rest()


@pytest.mark.parametrize(
    "ending", ["answer", "stream", "refused", "garbled", "client", "client in stream", "cut", "upgrade refused", "turn"]
)
def test_a_place_is_given_back_once_however_a_request_ends(ending, monkeypatch):
    house = House(size=1)
    given = []
    release = house.slots._release
    monkeypatch.setattr(
        type(house.slots), "_release", lambda self, waiting, worked: given.append(worked) or release(waiting, worked)
    )
    if ending == "turn":

        async def refuses(request):
            return Refusal("rate-limited", "no", retry_after=1.0)

        house.guards["chat"].turns += (refuses,)
    talk = house.ask("POST", CHAT, body=STREAM)
    sent = house.behind.sent[-1] if house.behind.sent else None
    if ending == "answer":
        sent.answer()
    elif ending == "refused":
        sent.fail(REFUSED)
    elif ending == "garbled":
        sent.fail(GARBLED)
    elif ending == "client":
        talk.leave()
    elif ending == "upgrade refused":
        sent.answer(426)
    elif sent is not None:
        answer = sent.answer(streams=True)
        answer.feed(b"x")
        if ending == "stream":
            done(answer)
        elif ending == "cut":
            broke(answer)
        else:
            talk.leave()
    assert given == [ending != "turn"] and house.at_rest() and len(house.outcomes) == 1


def test_a_place_that_comes_after_the_client_left_goes_to_the_next(monkeypatch):
    house = House(size=1)
    turns = house.guards["chat"].turns
    asked = house.slots.ask

    def leaves(*args):
        told = asked(*args)
        talk.leave()
        return told

    talk = house.connect()
    monkeypatch.setattr(type(house.slots), "ask", lambda self, *args: leaves(*args))
    talk.ask("POST", CHAT, body=b"{}")
    assert turns and not house.behind.sent and house.at_rest() and house.outcome.status == 499


# Signs of life


@pytest.mark.parametrize(
    ("path", "body", "kind", "sign"),
    [
        ("/v1/chat/completions", STREAM, "text/event-stream", b": waiting\n\n"),
        ("/v1/messages", STREAM, "text/event-stream", b"event: ping\n"),
        ("/api/chat", b"{}", "application/x-ndjson", b" "),
    ],
)
def test_who_waits_for_a_stream_gets_signs_of_life_and_then_the_answer(path, body, kind, sign):
    house, first, talk = waiting(path, body)
    house.clock.advance(14)
    assert talk.read() == b""
    house.clock.advance(1)
    assert talk.status == 200 and talk.field("content-type") == kind and talk.body.startswith(sign)
    assert (
        talk.field("x-aigate-queue-position") == "1"
        and talk.field("x-request-id")
        and talk.field("cache-control") == "no-cache"
    )
    before = len(talk.body)
    house.clock.advance(15)
    assert len(talk.body) == 2 * before
    first.answer()
    answer = house.behind.last.answer(fields=[("Content-Type", kind)], streams=True)
    said = b'{"a":1}\n' if "json" in kind else b"data: 1\n\n"
    answer.feed(said)
    done(answer)
    house.clock.advance(60)
    assert talk.body.endswith(said) and talk.whole and talk.read().count(b"HTTP/1.1") == 1
    assert house.behind.last.taken == body, "the body goes up as it came, though it was looked at"
    if "json" in kind:
        assert json.loads(talk.body) == {"a": 1}, "no line is empty"
    assert house.at_rest() and house.outcomes[-1].ended == "complete"


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", CHAT, b"{}"),
        ("POST", CHAT, b'{"stream": false}'),
        ("POST", CHAT, b'{"stream": "true"}'),
        ("POST", CHAT, b"not json"),
        ("POST", CHAT, b"x" * 2000),
        ("POST", "/chat/api/api/chat", b'{"stream": false}'),
    ],
)
def test_others_hear_nothing_before_their_answer(method, target, body):
    house, first = full()
    talk = house.ask(method, target, body=body)
    house.pass_time(45)
    assert talk.read() == b""
    first.answer()
    house.behind.last.answer(429)
    assert talk.status == 429 and house.behind.last.taken == body


def test_leading_space_keeps_a_json_answer_alive_only_where_it_was_asked_for():
    house, first, talk = waiting(body=b'{"stream": false}', json_space=True)
    house.pass_time(30)
    assert talk.status == 200 and talk.body == b"  "
    first.answer()
    house.behind.last.answer(fields=[("Content-Type", "application/json; charset=utf-8")], body=b'{"a": 1}')
    assert json.loads(talk.body) == {"a": 1} and talk.whole


def test_an_early_json_answer_that_fails_says_so_in_json():
    house, first, talk = waiting(body=b'{"stream": false}', json_space=True)
    house.pass_time(30)
    first.answer()
    house.behind.last.fail(REFUSED)
    assert json.loads(talk.body)["error"]["code"] == "upstream_refused" and talk.whole


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/chat"])
@pytest.mark.parametrize("how", ["status", "kind", "packed", "failure"])
def test_an_error_after_signs_of_life_is_an_event_and_a_clean_end(path, how):
    house, first, talk = waiting(path)
    house.pass_time(15)
    first.answer()
    if how == "failure":
        house.behind.last.fail(REFUSED)
    else:
        kind = "application/x-ndjson" if path == "/api/chat" else "text/event-stream"
        fields = [("Content-Type", "text/html" if how == "kind" else kind)]
        fields += [("Content-Encoding", "gzip")] if how == "packed" else []
        answer = house.behind.last.answer(500 if how == "status" else 200, fields, streams=True)
        assert answer.line.aborted
    *_, last = [line for line in talk.body.splitlines() if line]
    told = json.loads(last.removeprefix(b"data: "))
    assert "error" in told and talk.whole and (b"event: error" in talk.body) == (path == "/v1/messages")
    if path == "/api/chat":
        assert all(json.loads(line) for line in talk.body.splitlines())
    assert house.outcomes[-1].ended == "upstream-broken" and house.outcomes[-1].status == 200 and house.at_rest()


def test_what_breaks_after_the_service_began_looks_broken_even_after_signs_of_life():
    house, first, talk = waiting()
    house.pass_time(15)
    first.answer()
    answer = house.behind.last.answer(fields=[("Content-Type", "text/event-stream")], streams=True)
    answer.feed(b"data: 1\n\n")
    broke(answer)
    assert talk.closed and not talk.whole and b"upstream_broken" in talk.body


def test_an_early_answer_may_be_read_by_the_page_that_asked():
    house, _ = full()
    talk = house.ask("POST", CHAT, ("Origin", "https://app.example"), body=STREAM)
    house.pass_time(15)
    assert talk.field("access-control-allow-origin") == "https://app.example"


def test_a_body_that_never_comes_keeps_no_place_and_no_clock():
    house, first = full()
    talk = house.connect().send(
        f"POST {CHAT} HTTP/1.1\r\nHost: h\r\nX-API-Key: {house.secret}\r\nContent-Length: 50\r\n\r\n{{".encode()
    )
    house.pass_time(20)
    talk.leave()
    first.answer()
    assert house.at_rest() and talk.read() == b""


def test_a_place_that_comes_while_the_body_is_looked_at_takes_the_body_with_it():
    house, first = full()
    talk = house.connect().send(
        f"POST {CHAT} HTTP/1.1\r\nHost: h\r\nX-API-Key: {house.secret}\r\nContent-Length: {len(STREAM)}\r\n\r\n".encode(),
        STREAM[:4],
    )
    house.pass_time(16)
    first.answer()
    talk.send(STREAM[4:])
    assert house.behind.last.taken == STREAM
    house.behind.last.answer(body=b"whole")
    assert talk.status == 200 and talk.body == b"whole" and house.at_rest()


def test_the_whole_time_of_an_answer_ends_who_got_signs_of_life_with_an_event():
    house, first, talk = waiting(forward={"total": 30.0})
    house.pass_time(15)
    first.answer()
    house.pass_time(30)
    assert talk.whole and b"upstream_timeout" in talk.body and house.outcomes[-1].ended == "timeout" and house.at_rest()


def test_a_thousand_random_endings_leave_nothing_behind():
    house = House(size=3, length=20)
    chance = random.Random(7)
    talks, answers = [], []
    for _ in range(1000):
        talks.append(house.ask("POST", CHAT, body=STREAM))
        for _ in range(chance.randrange(4)):
            what = chance.randrange(7)
            open_ = [sent for sent in house.behind.sent if not sent.deferred.called and not sent.cancelled]
            if what == 0 and talks:
                talks.pop(chance.randrange(len(talks))).leave()
            elif what == 1 and open_:
                open_[0].answer()
            elif what == 2 and open_:
                answers.append(open_[0].answer(fields=[("Content-Type", "text/event-stream")], streams=True))
            elif what == 3 and open_:
                open_[0].fail(chance.choice([REFUSED, GARBLED, ValueError()]))
            elif what == 4 and answers:
                answer = answers.pop()
                if answer.line.aborted:
                    continue
                done(answer) if chance.random() < 0.5 else broke(answer)
            elif what == 5 and answers and not answers[-1].line.aborted:
                answers[-1].feed(b"data: 1\n\n")
            else:
                house.pass_time(chance.randrange(20))
        if chance.random() < 0.01:
            house.opens._close([held for mine in house.opens._open.values() for held in mine])
    for talk in talks:
        talk.leave()
    ids = [outcome.exchange.arrival.id for outcome in house.outcomes]
    assert len(ids) == len(set(ids)) == 1000 and house.at_rest()
    assert {outcome.ended for outcome in house.outcomes} == {
        "complete",
        "client-gone",
        "upstream-broken",
        "refused",
        "revoked",
    }
    assert all(outcome.status for outcome in house.outcomes)


def test_a_look_that_breaks_harms_nobody_and_is_logged(monkeypatch):
    house, first, talk = waiting()
    said = []
    monkeypatch.setattr("edge.web.places.judged", lambda *_: 1 / 0)
    monkeypatch.setattr("edge.web.places.log", SimpleNamespace(failure=lambda text, *_: said.append(text)))
    house.pass_time(31)
    assert len(said) == 1 and talk.read() == b""
    first.answer()
    house.behind.last.answer(body=b"hi")
    assert talk.body == b"hi" and house.at_rest()


@pytest.mark.parametrize("held", [True, False])
def test_a_job_that_outlives_its_answer_keeps_its_place(held):
    from edge.core.service import POST, Rule, Traits

    kept = []
    house = House(size=1)
    house.guards["chat"].turns[-1].__self__.hold = (lambda *args: kept.append(args)) if held else None
    house.guards["chat"].traits = Traits(kind="chat", rules=(Rule(POST, "*", work=True, units="images"),))
    house.ask("POST", "/chat/api/prompt", body=b"{}")
    house.behind.last.answer(fields=[("Content-Type", "application/json")], body=b'{"prompt_id": "p1"}')
    if held:
        ((base, job, ticket),) = kept
        assert (base, job) == (house.behind.base, "p1") and house.slots.load("chat") != (0, 0)
        ticket.release()
    assert house.at_rest()


def test_a_connection_that_is_lost_sends_nothing_that_waited_for_its_own_places():
    house = House(size=1)
    wire = Wire()
    protocol = Http2(house.server, ORIGIN)
    protocol.makeConnection(wire)
    client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    client.initiate_connection()
    for number in range(1, 13, 2):
        pairs = [
            (":method", "POST"), (":scheme", "https"), (":authority", "gate.test"), (":path", "/chat/api/v1/chat/completions"),
            ("authorization", "Bearer " + house.secret), ("content-type", "application/json"), ("content-length", "2"),
        ]  # fmt: skip
        client.send_headers(number, pairs)
        client.send_data(number, b"{}", end_stream=True)
    protocol.dataReceived(client.data_to_send())
    assert len(house.behind.sent) == 1 and house.slots.load("chat") == (1, 5)
    protocol.connectionLost(Failure(ConnectionDone()))
    assert len(house.behind.sent) == 1 and house.at_rest()

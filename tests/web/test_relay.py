import gc
import json
import weakref

import pytest
from twisted.web.http import PotentialDataLoss

from tests.web.house import SILENT, House, broke, done

SSE = [("Content-Type", "text/event-stream; charset=utf-8")]
NDJSON = [("Content-Type", "application/x-ndjson")]


def streaming(path="/v1/chat/completions", fields=SSE, **known):
    house = House(**known)
    talk = house.ask("POST", "/chat/api" + path, body=b"{}")
    return house, talk, house.behind.last.answer(fields=fields, streams=True)


def test_what_a_service_breaks_off_never_looks_complete():
    for fields in (SSE, NDJSON, [("Content-Type", "image/png")], []):
        house, talk, answer = streaming(fields=fields)
        answer.feed(b"part\n\n")
        broke(answer)
        assert talk.closed and not talk.whole
        assert (house.outcome.status, house.outcome.ended, house.outcome.reason) == (
            200,
            "upstream-broken",
            "upstream-broken",
        )
        assert house.at_rest()


def test_the_last_word_of_a_stream_is_an_event_in_its_dialect():
    _, talk, answer = streaming()
    answer.feed(b"data: 1\n")
    broke(answer)
    _, _, last = talk.body.partition(b"\n\n\n")
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_broken"
    _, talk, answer = streaming("/v1/messages")
    broke(answer, SILENT)
    assert b"event: error\ndata: " in talk.body and b"fell silent" in talk.body


@pytest.mark.parametrize(("sent", "lines"), [(b"", 1), (b'{"a":1}\n', 2), (b'{"a":', 2)])
def test_the_last_line_of_ndjson_stands_alone_and_no_line_is_empty(sent, lines):
    _, talk, answer = streaming("/api/chat", NDJSON)
    if sent:
        answer.feed(sent)
    broke(answer)
    read = talk.body.splitlines()
    assert len(read) == lines and all(read) and "error" in json.loads(read[-1])


def test_nothing_is_added_to_what_is_no_stream():
    _, talk, answer = streaming(fields=[("Content-Type", "application/json")])
    answer.feed(b'{"a":')
    broke(answer)
    assert talk.body == b'{"a":'


@pytest.mark.parametrize("fields", [SSE, NDJSON])
def test_nothing_fills_what_is_missing_of_an_announced_length(fields):
    house = House()
    talk = house.ask("POST", "/chat/api/v1/chat/completions", body=b"{}")
    answer = house.behind.last.answer(fields=fields, streams=True, length=40)
    answer.feed(b'{"a":1}\n{"b":')
    broke(answer)
    assert talk.body == b'{"a":1}\n{"b":' and talk.field("content-length") == "40" and talk.closed
    assert house.outcome.ended == "upstream-broken"


def test_silence_within_an_answer_is_a_timeout():
    house, _, answer = streaming()
    broke(answer, SILENT)
    assert (house.outcome.ended, house.outcome.reason) == ("timeout", "upstream-timeout")


def test_an_upload_that_fails_within_the_answer_breaks_it_off():
    house, talk, answer = streaming()
    answer.feed(b"data: 1\n\n")
    broke(answer, ValueError("secret words"))
    assert talk.closed and b"secret" not in talk.read() and house.outcome.reason == "upstream-broken"


def test_a_body_that_an_orderly_close_ends_is_whole():
    house, talk, answer = streaming()
    answer.feed(b"data: 1\n\n")
    answer.connection = None
    broke(answer, PotentialDataLoss())
    assert talk.whole and house.outcome.ended == "complete"


def test_a_reader_that_is_slow_slows_the_service():
    house, talk, answer = streaming()
    assert talk.wire.producer is answer
    answer.pauseProducing()
    assert answer.line.paused
    done(answer)
    assert talk.wire.producer is None and house.at_rest()


def test_what_an_answer_cost_is_in_the_outcome():
    house, talk, answer = streaming()
    for piece in (
        b'data: {"choices":[]}\n\n',
        b'data: {"usage":{"prompt_tokens":3,',
        b'"completion_tokens":4,"total_tokens":7}}\n\n',
    ):
        answer.feed(piece)
    done(answer)
    assert house.outcome.units["tokens"] == 7 and talk.whole
    house = House()
    house.ask("POST", "/chat/api/v1/chat/completions", body=b"{}")
    house.behind.last.answer(
        fields=[("Content-Type", "application/json")],
        body=b'{"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}',
    )
    assert house.outcome.units["tokens"] == 2


def test_what_failed_costs_nothing():
    house = House()
    house.ask("POST", "/chat/api/v1/chat/completions", body=b"{}")
    house.behind.last.answer(500, body=b'{"usage":{"total_tokens":99}}')
    assert house.outcome.units == {}


def test_a_delivery_to_a_client_that_left_ends_the_service():
    house, talk, answer = streaming()
    relay = answer._protocol
    talk.leave()
    assert answer.line.aborted
    answer.line.aborted = False
    answer.connection = answer.line
    relay.makeConnection(answer)
    assert answer.line.aborted and len(house.outcomes) == 1


def test_an_answer_that_was_counted_is_forgotten_at_its_end():
    house, talk, answer = streaming(fields=[("Content-Type", "application/json")])
    answer.feed(b"{}")
    request = weakref.ref(next(iter(house.opens._open["0badcafe"])))
    gc.disable()
    try:
        done(answer)
        assert talk.whole
        answer = None
        house.behind.sent.clear()
        assert request() is None
    finally:
        gc.enable()

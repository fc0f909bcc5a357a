import json

import pytest

from edge.core.service import POST, Rule, Traits
from edge.web.metering import SMALL
from tests.web.house import House, broke, done

CHAT = "/chat/api/v1/chat/completions"
EVENTS = [("Content-Type", "text/event-stream")]
COST = b'"usage": {"prompt_tokens": 3, "completion_tokens": 4}'


def test_a_model_that_only_the_answer_names_is_noted():
    house = House()
    house.ask("POST", CHAT, body=b"{}")
    house.behind.last.answer(body=b'{"model": "gemma3", ' + COST + b"}")
    assert house.outcome.exchange.model == "gemma3" and house.outcome.units["tokens"] == 7


def test_the_model_that_was_asked_for_stays():
    house = House()
    bobs = house.add("00000b0b", "bob", models=("gemma*",))
    house.ask("POST", CHAT, body=b'{"model": "gemma3"}', key=bobs)
    house.behind.last.answer(body=b'{"model": "other", ' + COST + b"}")
    assert house.outcome.exchange.model == "gemma3"


def test_an_answer_that_breaks_off_is_counted_too():
    for ends, counted in ((done, 4), (broke, 20)):
        house = House()
        house.ask("POST", CHAT, body=b"{}")
        answer = house.behind.last.answer(fields=EVENTS, streams=True)
        answer.feed(b"data: {" + COST + b"}\n\n" + b"data: {}\n\n" * 29)
        ends(answer)
        assert house.outcome.units["completion_tokens"] == counted


MADE = Traits(
    kind="made", rules=(Rule(POST, "/speak", units="speech"), Rule(POST, "/draw", units="images")), concurrency=None
)
SPEAK, DRAW = "/made/api/speak", "/made/api/draw"


def made(target, *pieces, length=None, fields=()):
    """What a request costs whose head comes alone, or with the first of the pieces of its body."""
    house = House()
    house.serve("made", "/made/api", MADE, house.resource)
    length = sum(map(len, pieces)) if length is None else length
    lines = [f"POST {target} HTTP/1.1", "Host: h", f"X-API-Key: {house.secret}", *fields]
    lines += [f"Content-Length: {length}"] if length >= 0 else ["Transfer-Encoding: chunked"]
    head = "\r\n".join([*lines, "", ""]).encode()
    house.connect().send(head + pieces[0], *pieces[1:])
    house.behind.last.answer(fields=[("Content-Type", "audio/wav")], body=b"RIFF")
    assert house.behind.last.taken == b"".join(pieces) if length >= 0 else True
    return house.outcome.units


@pytest.mark.parametrize("at", [None, 0, 1, 30])
def test_what_a_small_body_asks_for_is_what_it_costs_though_nothing_limits_it(at):
    for target, body, cost in (
        (SPEAK, {"input": "Hello", "voice": "alloy", "model": "tts-1"}, {"characters": 5}),
        (DRAW, {"prompt": "a cat on a mat", "n": 4, "steps": 10}, {"images": 4, "steps": 40}),
    ):
        body = json.dumps(body).encode()
        assert made(target, *((body,) if at is None else (body[:at], body[at:]))) == cost


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"input": "Hello", "Input": "Hello"}', ()),
        (b'{"input": "Hello"}', ("Content-Encoding: gzip",)),
        (b"Hello", ()),
        (b'{"input": "' + b"x" * SMALL + b'"}', ()),
    ],
)
def test_a_body_that_is_large_or_can_be_read_in_two_ways_passes_and_its_bytes_are_the_estimate(body, fields):
    assert made(SPEAK, body, fields=fields) == {"characters": len(body)}
    assert made(SPEAK, body[:4], body[4:], fields=fields) == {"characters": len(body)}


def test_a_body_without_a_length_is_not_kept_and_its_bytes_are_the_estimate():
    assert made(SPEAK, b"12\r\n{", b'"input": "Hello"}\r\n0\r\n\r\n', length=-1) == {"characters": 18}

import json

import pytest
from twisted.web.http import PotentialDataLoss

from edge.web.lists import LIST_SIZE
from tests.web.house import SILENT, House, broke, done, reply

LIST = json.dumps({"object": "list", "data": [{"id": "gemma3"}, {"id": "llama3"}]}).encode()
JSON = ("Content-Type", "application/json")


def asked(method="GET", *fields, **rules):
    house = House()
    bobs = house.add("00000b0b", "bob", ("chat",), **{"models": ("gemma*",), **rules})
    return house, house.ask(method, "/chat/api/v1/models", *fields, key=bobs)


def names(talk):
    return [one["id"] for one in json.loads(talk.body)["data"]]


def test_a_list_shows_what_the_key_may_use_and_nothing_that_tells_of_the_whole():
    house, talk = asked()
    house.behind.last.answer(
        fields=[JSON, ("ETag", '"1"'), ("Last-Modified", "x"), ("Accept-Ranges", "bytes"), ("X-Kept", "1")], body=LIST
    )
    assert names(talk) == ["gemma3"] and int(talk.field("content-length")) == len(talk.body)
    assert not talk.fields("etag") + talk.fields("last-modified") + talk.fields("accept-ranges")
    assert talk.field("x-kept") == "1" and talk.field("x-request-id") and house.outcome.ended == "complete"


def test_a_list_that_streams_is_held_and_cut():
    house, talk = asked()
    answer = house.behind.last.answer(fields=[JSON], streams=True)
    answer.feed(LIST[:20])
    assert talk.read() == b""
    answer.feed(LIST[20:])
    done(answer)
    assert names(talk) == ["gemma3"]


def test_neither_a_part_nor_a_packed_or_unchanged_list_is_asked_for():
    conditional = [
        "Accept-Encoding",
        "Range",
        "If-Range",
        "If-None-Match",
        "If-Modified-Since",
        "If-Match",
        "If-Unmodified-Since",
    ]
    house, _ = asked("GET", *[(name, "x") for name in conditional])
    sent = {name.lower() for name, _ in house.behind.last.pairs}
    assert not sent & {name.lower().encode() for name in conditional}


@pytest.mark.parametrize("status", [200, 203, 206])
def test_no_status_of_success_lets_a_list_pass_uncut(status):
    house, talk = asked()
    house.behind.last.answer(status, [JSON], LIST)
    assert talk.status == status and names(talk) == ["gemma3"]


@pytest.mark.parametrize("status", [304, 401, 500])
def test_other_answers_pass_as_they_are(status):
    house, talk = asked()
    house.behind.last.answer(status, [JSON], b"" if status == 304 else b"said")
    assert talk.status == status and talk.body == (b"" if status == 304 else b"said")


def test_a_key_without_a_model_rule_gets_the_list_as_it_is():
    house, talk = asked("GET", ("Accept-Encoding", "gzip"), models=())
    assert house.behind.last.field(b"accept-encoding") == b"gzip"
    house.behind.last.answer(fields=[JSON, ("Content-Encoding", "gzip"), ("ETag", "1")], body=b"\x1f\x8bpacked")
    assert talk.body == b"\x1f\x8bpacked" and talk.field("etag") == "1"


def test_head_of_a_list_says_nothing_of_its_length():
    house, talk = asked("HEAD")
    answer = reply(fields=[JSON])
    answer.length = len(LIST)
    house.behind.last.deferred.callback(answer)
    assert talk.status == 200 and not talk.fields("content-length") and talk.read().endswith(b"\r\n\r\n")


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"data": 3}', b"[" * 100_000])
def test_a_list_that_cannot_be_read_shows_nothing(body):
    house, talk = asked()
    house.behind.last.answer(fields=[JSON], body=body)
    assert talk.status == 200 and names(talk) == []


def test_a_packed_list_is_refused_in_words():
    house, talk = asked()
    house.behind.last.answer(fields=[JSON, ("Content-Encoding", "gzip")], body=b"\x1f\x8b")
    assert (talk.status, talk.reason) == (502, "upstream-broken") and b"packs its list" in talk.body


def test_a_list_that_is_too_large_is_refused_and_not_held():
    house, talk = asked()
    answer = house.behind.last.answer(fields=[JSON], streams=True)
    for _ in range(LIST_SIZE // 65536 + 1):
        answer.feed(b"x" * 65536)
    assert answer.line.aborted and talk.reason == "upstream-broken" and b"larger than" in talk.body
    assert house.outcome.ended == "upstream-broken" and house.at_rest()


@pytest.mark.parametrize(("error", "reason", "ended"), [(None, "upstream-broken", "upstream-broken"), (SILENT, "upstream-timeout", "timeout"),
                                                         (ValueError(), "upstream-broken", "upstream-broken")])  # fmt: skip
def test_a_list_that_is_cut_short_is_refused(error, reason, ended):
    house, talk = asked()
    answer = house.behind.last.answer(fields=[JSON], streams=True)
    answer.feed(LIST[:20])
    broke(answer, error)
    assert talk.reason == reason and house.outcome.ended == ended and b"gemma" not in talk.read() and house.at_rest()


def test_a_list_that_the_end_of_the_connection_ends_is_whole():
    house, talk = asked()
    answer = house.behind.last.answer(fields=[JSON], streams=True)
    answer.feed(LIST)
    answer.connection = None
    broke(answer, PotentialDataLoss())
    assert names(talk) == ["gemma3"]


def test_a_client_that_leaves_while_its_list_is_held_ends_it():
    house, talk = asked()
    answer = house.behind.last.answer(fields=[JSON], streams=True)
    answer.feed(LIST[:20])
    talk.leave()
    assert answer.line.aborted and house.outcome.status == 499 and house.at_rest()

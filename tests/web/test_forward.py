from types import SimpleNamespace

import pytest

from edge.auth.context import identity
from edge.wire.body import BodyLostError
from tests.web.house import BASE, GARBLED, REFUSED, SLOW, UNREACHED, Behind, House, done, reply


def test_path_query_method_and_fields_go_on_as_they_came():
    house = House()
    house.ask(
        "PATCH",
        "/chat/api/a%2Fb//c;d?x=[|]&y=%20",
        ("X-Odd-CASE", "Kept"),
        ("x-twice", "1"),
        ("x-twice", "2"),
        body=b"",
    )
    sent = house.behind.last
    assert (sent.method, sent.path) == ("PATCH", b"/a%2Fb//c;d?x=[|]&y=%20")
    assert (b"X-Odd-CASE", b"Kept") in sent.pairs and sent.field(b"x-twice") == [b"1", b"2"]
    assert sent.field(b"host") == b"127.0.0.1:11434"


def test_where_a_request_comes_from_is_said_by_the_gate_alone():
    house = House()
    spoofed = [(name, "6.6.6.6") for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP")]
    spoofed += [
        ("X-Forwarded-Host", "evil"),
        ("X-Forwarded-Proto", "ftp"),
        ("X_Forwarded_For", "6.6.6.6"),
        ("X-Original-URL", "/admin"),
    ]
    talk = house.ask("GET", "/chat/api/x", *spoofed, ("X-Request-Id", "client-made-1"))
    sent = house.behind.last
    assert sent.field(b"x-forwarded-for") == b"192.0.2.7" and sent.field(b"x-forwarded-proto") == b"https"
    assert sent.field(b"x-forwarded-host") == b"gate.test" and sent.field(b"x-forwarded-prefix") == b"/chat/api"
    assert sent.field(b"forwarded") == b'for=192.0.2.7;host="gate.test";proto=https'
    assert sent.field(b"x-request-id") == b"client-made-1"
    assert not any(b"6.6.6.6" in value or b"admin" in value for _, value in sent.pairs)
    sent.answer(fields=[("X-Request-Id", "services-own")])
    assert talk.field("x-request-id") == "client-made-1"


def test_a_service_is_told_who_asks_where_it_wants_to_know_and_nobody_else_can_say_it():
    for known, told in (({}, None), ({"identity": identity}, b"alice")):
        house = House(forward=known)
        house.ask("GET", "/chat/api/x", ("X-Aigate-User", "root"), ("X_Aigate_Key_Id", "root"), ("Remote-User", "root"))
        sent = house.behind.last
        assert sent.field(b"x-aigate-user") == told
        assert sent.field(b"x-aigate-key-id") == (b"0badcafe" if told else None)
        assert not any(value == b"root" for _, value in sent.pairs)


def test_a_services_own_fields_replace_what_came():
    house = House(forward={"fields": ((b"Authorization", b"Bearer upstream"), (b"X-Room", b"cellar"))})
    house.ask("GET", "/chat/api/x", ("x-room", "attic"))
    assert (
        house.behind.last.field(b"x-room") == b"cellar"
        and house.behind.last.field(b"authorization") == b"Bearer upstream"
    )


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("/elsewhere", "/chat/api/elsewhere"),
        (f"{BASE}/login?next=1", "/chat/api/login?next=1"),
        (f"{BASE}", "/chat/api/"),
        ("/chat/api/there", "/chat/api/there"),
        ("/chat/api?x=1", "/chat/api?x=1"),
        ("https://gate.test/x", "/chat/api/x"),
        ("http://gate.test/chat/api/x", "/chat/api/x"),
        ("https://other.example/x", "https://other.example/x"),
        ("//other.example/x", "//other.example/x"),
        (f"{BASE}.evil.example/x", f"{BASE}.evil.example/x"),
        ("next", "next"),
        ("?page=2", "?page=2"),
    ],
)
def test_a_location_that_points_into_the_service_gets_the_prefix_back(given, seen):
    house = House()
    talk = house.ask()
    house.behind.last.answer(302, [("Location", given), ("Content-Location", given)])
    assert (talk.status, talk.field("location"), talk.field("content-location")) == (302, seen, seen)


def test_fields_of_one_hop_end_here_both_ways():
    house = House()
    talk = house.ask(
        "GET",
        "/chat/api/x",
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        ("TE", "trailers"),
        ("Keep-Alive", "5"),
    )
    assert not {b"connection", b"x-hop", b"te", b"keep-alive"} & {name.lower() for name, _ in house.behind.last.pairs}
    house.behind.last.answer(
        fields=[
            ("Connection", "X-Theirs"),
            ("X-Theirs", "1"),
            ("Keep-Alive", "5"),
            ("Alt-Svc", "h3"),
            ("X-Aigate-User", "x"),
            ("X-Kept", "1"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
        ]
    )
    assert (
        not talk.fields("x-theirs") + talk.fields("alt-svc") + talk.fields("x-aigate-user") + talk.fields("keep-alive")
    )
    assert talk.field("x-kept") == "1" and talk.fields("set-cookie") == ["a=1", "b=2"]
    assert talk.field("x-aigate-backend") == "chat" and talk.field("x-aigate-overhead-ms")


def test_a_stream_is_passed_piece_by_piece_and_told_once():
    house = House()
    talk = house.ask()
    answer = house.behind.last.answer(fields=[("Content-Type", "text/event-stream")], streams=True)
    assert talk.status == 200 and talk.field("x-accel-buffering") == "no"
    for piece in (b"data: 1\n\n", b"data: 2\n\n"):
        answer.feed(piece)
        assert talk.body.endswith(piece)
    house.clock.advance(2)
    assert house.outcomes == []
    done(answer)
    assert talk.whole and house.at_rest()
    assert (house.outcome.ended, house.outcome.sent, house.outcome.seconds, house.outcome.first_byte) == (
        "complete",
        18,
        2,
        0,
    )
    assert house.outcome.exchange.upstream == BASE


def test_interim_answers_pass_by_the_same_rules():
    house = House()
    talk = house.ask()
    house.behind.last.inform(103, [(b"Link", b"</x>"), (b"Connection", b"close"), (b"X-Aigate-User", b"x")])
    assert talk.read() == b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


@pytest.mark.parametrize(
    ("error", "status", "reason", "ended", "asked"),
    [
        (REFUSED, 502, "upstream-refused", "upstream-broken", True),
        (GARBLED, 502, "upstream-broken", "upstream-broken", True),
        (UNREACHED, 504, "upstream-timeout", "timeout", True),
        (SLOW, 504, "upstream-timeout", "timeout", False),
    ],
)
def test_a_service_that_gives_no_answer_is_told_of_and_one_that_is_down_is_asked(error, status, reason, ended, asked):
    house = House(size=1)
    talk = house.ask("POST", "/chat/api/v1/messages", body=b"{}")
    house.behind.last.fail(error)
    assert (talk.status, talk.reason) == (status, reason) and b"127.0.0.1" not in talk.read()
    assert b'"type": "error"' in talk.body, "worded for its clients"
    assert (house.outcome.status, house.outcome.reason, house.outcome.ended) == (status, reason, ended)
    assert (house.servers.state() == "down") == asked and house.at_rest()
    house.pass_time(2)
    assert bool(house.asked) == asked


def test_a_failure_that_is_not_the_services_is_said_in_the_log_and_blames_nobody():
    house = House()
    talk = house.ask()
    house.behind.last.fail(ValueError("secret words"))
    assert (talk.status, talk.reason) == (502, "upstream-broken") and b"secret words" not in talk.read()
    assert house.servers.state() == "healthy" and house.at_rest()


def test_a_request_that_cannot_be_sent_is_refused(monkeypatch):
    house = House()
    monkeypatch.setattr(house.behind, "send", lambda *args: 1 / 0)
    assert house.ask().status == 502 and house.at_rest()


def test_an_answer_that_cannot_be_handed_on_ends_on_both_sides(monkeypatch):
    house = House()
    talk = house.ask()
    answer = reply(streams=True)
    monkeypatch.setattr(type(answer), "deliverBody", lambda self, protocol: 1 / 0)
    house.behind.last.deferred.callback(answer)
    assert talk.closed and not talk.whole and house.outcome.ended == "upstream-broken" and house.at_rest()


def test_a_client_that_leaves_before_the_answer_cancels_the_request():
    house = House(size=1)
    talk = house.ask("POST", "/chat/api/v1/chat/completions", body=b"{}")
    talk.leave()
    assert house.behind.last.cancelled and house.at_rest()
    assert (house.outcome.status, house.outcome.ended, house.outcome.reason) == (499, "client-gone", "")


def test_a_client_that_leaves_within_the_answer_ends_it():
    house = House()
    talk = house.ask()
    answer = house.behind.last.answer(streams=True)
    answer.feed(b"part")
    talk.leave()
    assert answer.line.aborted and house.at_rest()
    assert (house.outcome.status, house.outcome.ended, house.outcome.sent) == (200, "client-gone", 4)


def test_a_client_that_leaves_within_its_upload_cancels_it():
    house = House()
    talk = house.connect().send(
        f"POST /chat/api/x HTTP/1.1\r\nHost: h\r\nX-API-Key: {house.secret}\r\nContent-Length: 9\r\n\r\nabc".encode()
    )
    assert house.behind.last.taken == b"abc"
    talk.leave()
    assert house.behind.last.cancelled or house.behind.last.uploaded
    assert house.at_rest() and house.outcome.received == 3 and house.outcome.status == 499


def test_an_upload_whose_framing_breaks_is_one_refusal_and_one_outcome():
    house = House(size=1)
    talk = house.ask("POST", "/chat/api/v1/messages", ("Transfer-Encoding", "chunked"), body=b"2\r\nab\r\n")
    talk.send(b"zz\r\n")
    assert (talk.status, talk.reason) == (400, "bad-request") and b'"type": "error"' in talk.body
    assert talk.field("x-request-id") == house.outcome.exchange.arrival.id
    assert (house.outcome.status, house.outcome.ended) == (400, "refused") and house.at_rest()
    assert house.servers.state() == "healthy"


def test_an_upload_that_trickles_is_one_refusal_and_one_outcome():
    house = House(size=1, wire={"body_grace": 5.0})
    talk = house.connect().send(
        f"POST /chat/api/x HTTP/1.1\r\nHost: h\r\nX-API-Key: {house.secret}\r\nContent-Length: 9\r\n\r\na".encode()
    )
    house.pass_time(12)
    assert (talk.status, talk.reason) == (408, "request-timeout") and house.outcome.status == 408 and house.at_rest()


# Several servers


def two(auto, other=None):
    house = House()
    first, second = Behind(BASE, auto), Behind("http://127.0.0.2:11434", other)
    house.guards["chat"].resource = house.resource = house.through(first, second)
    return house, first, second


@pytest.mark.parametrize("error", [REFUSED, UNREACHED])
def test_another_server_is_asked_where_the_first_was_not_reached(error):
    house, first, second = two(lambda _: error, lambda _: reply(body=b"hi"))
    talk = house.ask("POST", "/chat/api/x", body=b"abc")
    assert talk.body == b"hi" and len(first.sent) == len(second.sent) == 1
    assert house.outcome.exchange.upstream == second.base and house.outcome.ended == "complete" and house.at_rest()
    assert [one.state for one in house.servers] == ["down", "healthy"]


@pytest.mark.parametrize("error", [GARBLED, SLOW])
def test_no_other_server_is_asked_where_the_first_may_have_read_the_request(error):
    house, _, second = two(lambda _: error, lambda _: reply())
    assert house.ask("POST", "/chat/api/x", body=b"abc").status in (502, 504)
    assert not second.sent and house.at_rest()


def test_where_no_server_is_reached_the_last_word_is_the_clients():
    house, *_ = two(lambda _: REFUSED, lambda _: UNREACHED)
    talk = house.ask()
    assert talk.reason == "upstream-timeout" and house.outcome.ended == "timeout" and house.at_rest()


def test_a_service_without_a_server_refuses():
    house = House()
    house.guards["chat"].resource = house.through()
    assert house.ask().reason == "upstream-refused" and house.outcome.ended == "upstream-broken"


# Bounds


def test_a_server_has_no_more_in_hand_than_it_may():
    house = House(forward={"connections": 2})
    house.ask(), house.ask()
    talk = house.ask()
    assert (talk.status, talk.reason, talk.field("retry-after")) == (503, "queue-full", "1")
    house.behind.sent[0].answer()
    assert house.ask().read() == b"" and len(house.behind.sent) == 3


def test_a_whole_answer_may_take_no_longer_than_it_may():
    house = House(forward={"total": 10.0}, size=1)
    waits, streams, quick = house.ask(), house.ask(), house.ask()
    answer = house.behind.sent[1].answer(streams=True)
    answer.feed(b"part")
    house.behind.sent[2].answer()
    house.clock.advance(10)
    assert (waits.status, waits.reason) == (504, "upstream-timeout") and house.behind.sent[0].cancelled
    assert streams.closed and not streams.whole and answer.line.aborted
    assert [(one.status, one.ended) for one in house.outcomes] == [
        (200, "complete"),
        (504, "timeout"),
        (200, "timeout"),
    ]
    assert quick.status == 200 and house.at_rest()
    house.clock.advance(100)
    assert len(house.outcomes) == 3


def test_a_body_that_was_lost_is_nobodys_fault():
    house = House()
    talk = house.ask()
    house.behind.last.fail(BodyLostError())
    assert talk.status == 502 and house.servers.state() == "healthy"


def test_the_answer_to_head_keeps_its_length():
    house = House()
    talk = house.ask("HEAD", "/chat/api/x")
    answer = reply(fields=[("Content-Type", "text/plain")])
    answer.length = 77
    house.behind.last.deferred.callback(answer)
    assert talk.field("content-length") == "77" and talk.read().endswith(b"\r\n\r\n") and house.outcome.sent == 0


@pytest.mark.parametrize("kind", ["answer", "tunnel"])
def test_an_answer_that_comes_as_its_client_leaves_is_ended(kind):
    house = House()
    fields = [("Connection", "Upgrade"), ("Upgrade", "websocket")] if kind == "tunnel" else []
    talk = house.ask("GET", "/chat/api/x", *fields)
    made, ended = reply(streams=True), []
    if kind == "tunnel":
        made = SimpleNamespace(fields=made.fields, tunnel=SimpleNamespace(abortConnection=lambda: ended.append(True)))
    # The answer is there when it is called off: cancelling what was paused changes nothing any more.
    deferred = house.behind.last.deferred
    deferred.pause()
    deferred.callback(made)
    talk.leave()
    deferred.unpause()
    assert ended == [True] if kind == "tunnel" else made.line.aborted
    assert house.outcome.status == 499 and house.at_rest()


def test_a_server_that_refused_has_nothing_in_hand_of_what_another_does():
    house = House()
    one, other = Behind("http://127.0.0.1:1"), Behind("http://127.0.0.1:2")
    house.guards["chat"].resource = house.resource = house.through(one, other, connections=3)
    talks = [house.ask("GET", "/chat/api/x") for _ in range(3)]
    for sent in list(one.sent):
        sent.fail(REFUSED)
    assert {server.base: server.open for server in house.servers} == {one.base: 0, other.base: 3}
    for sent in other.sent:
        sent.answer(200, body=b"ok")
    assert [talk.status for talk in talks] == [200] * 3 and house.at_rest()
    assert {server.open for server in house.servers} == {0}


def test_where_a_server_goes_on_after_its_answer_all_of_a_key_goes_to_one_server():
    first, second = Behind(auto=lambda sent: reply()), Behind("http://127.0.0.1:11435", auto=lambda sent: reply())
    house = House()
    house.guards["chat"].resource = house.through(first, second, home=True)
    homes = set()
    for number in range(16):
        shown = house.add(f"{number:08x}")
        for path in ("/prompt", "/history/1", "/view"):
            house.ask("GET", "/chat/api" + path, key=shown)
        (home,) = (behind for behind in (first, second) if behind.sent)
        assert len(home.sent) == 3
        homes.add(home)
        home.sent.clear()
    assert homes == {first, second}

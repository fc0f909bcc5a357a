"""What an HTTP/2 request becomes, and what is refused."""

import pytest
from h2.events import DataReceived, InformationalResponseReceived, ResponseReceived, StreamEnded, StreamReset
from twisted.web.iweb import UNKNOWN_LENGTH

from edge.wire.h2_frames import (
    CONTINUATION,
    ENHANCE_YOUR_CALM,
    HEADERS,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
)
from tests.wire.h2_client import CONNECT, GET, POST, Raw, Sink, Talk, data, frame, frames_in


def hello(request):
    request.reply(200, [(b"Content-Type", b"text/plain"), (b"Connection", b"close")], b"hello")


def test_a_request_and_its_answer():
    talk = Talk(hello)
    number = talk.ask([*GET, ("x-one", "1"), ("accept", "*/*"), ("x-one", "2")])
    request = talk.request
    assert (request.verb, request.target, request.path, request.query) == ("GET", b"/a?b=c", b"/a", b"b=c")
    assert (request.host, request.authority, request.protocol) == ("gate.example", b"gate.example", "HTTP/2.0")
    assert request.fields.pairs == [(b"host", b"gate.example"), (b"x-one", b"1"), (b"accept", b"*/*"), (b"x-one", b"2")]
    assert request.body.length == 0 and request.body.complete and request.upgrade is None
    assert talk.status(number) == 200 and talk.body(number) == b"hello"
    (answer,) = talk.of(number, ResponseReceived)
    assert answer.headers == [
        (":status", "200"),
        ("date", "Thu, 01 Jan 1970 00:16:40 GMT"),
        ("content-type", "text/plain"),
        ("content-length", "5"),
    ]
    assert talk.of(number, StreamEnded)


@pytest.mark.parametrize("fields", [[*CONNECT, ("sec-websocket-key", "a"), ("sec-websocket-key", "b")]])
def test_a_handshake_with_two_keys_is_refused(fields):
    talk = Talk()
    number = talk.ask(fields, end=False)
    assert talk.status(number) == 400 and not talk.hand.requests


def test_a_date_of_the_service_s_stays_the_only_one():
    talk = Talk(lambda request: request.reply(200, [(b"date", b"then")], b""))
    (answer,) = talk.of(talk.ask(), ResponseReceived)
    assert [value for name, value in answer.headers if name == "date"] == ["then"]


def test_a_small_answer_is_one_write():
    talk = Talk()
    talk.ask()
    before = talk.wire.writes
    hello(talk.request)
    assert talk.wire.writes == before + 1


def test_answers_to_requests_of_one_read_are_one_write():
    raw = Raw(hello)
    before = raw.wire.writes
    raw.send(*(raw.headers(number) for number in range(1, 40, 2)))
    assert len(raw.hand.requests) == 20 and raw.wire.writes == before + 1


def test_the_settings_say_the_limits():
    raw = Raw(greet=False, h2_streams=7, h2_window=99_000, head=5000)
    (kind, _, _, payload), update = frames_in(raw.wire.take())
    assert kind == SETTINGS
    said = {
        int.from_bytes(payload[at : at + 2], "big"): int.from_bytes(payload[at + 2 : at + 6], "big")
        for at in range(0, len(payload), 6)
    }
    assert said == {3: 7, 4: 99_000, 6: 5000, 8: 1, 9: 1}
    assert int.from_bytes(update[3], "big") == 4 * 99_000 - 65535


@pytest.mark.parametrize("verb, status, body", [("HEAD", 200, b"hello"), ("GET", 204, b""), ("GET", 304, b"")])
def test_answers_without_a_body(verb, status, body):
    talk = Talk(lambda request: request.reply(status, [], body))
    number = talk.ask([(":method", verb), *GET[1:]])
    assert talk.status(number) == status and not talk.of(number, DataReceived) and talk.of(number, StreamEnded)
    (answer,) = talk.of(number, ResponseReceived)
    assert dict(answer.headers).get("content-length") == (None if status == 204 else str(len(body)))


def test_a_head_whose_body_streams_to_head_requests_has_no_data():
    talk = Talk()
    number = talk.ask([(":method", "HEAD"), *GET[1:]])
    talk.request.respond(200, [], 5)
    talk.request.send(b"hello")
    talk.request.end()
    talk.pump()
    assert talk.body(number) == b"" and talk.of(number, StreamEnded)


def test_a_large_head_of_an_answer_is_continued():
    talk = Talk(lambda request: request.reply(200, [(b"x-%d" % n, b"v" * 1000) for n in range(50)], b"end"))
    number = talk.ask()
    (answer,) = talk.of(number, ResponseReceived)
    assert dict(answer.headers)["x-49"] == "v" * 1000 and talk.body(number) == b"end"


def test_cookie_crumbs_are_one_field():
    talk = Talk(hello)
    talk.ask([*GET, ("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")])
    assert talk.request.fields.all(b"cookie") == [b"a=1; b=2; c=3"]


def test_host_instead_of_authority():
    raw = Raw(hello)
    raw.send(raw.headers(1, [*GET[:2], GET[3], ("host", "Gate.example:8443")]))
    assert (raw.request.host, raw.request.authority) == ("gate.example", b"Gate.example:8443")
    assert raw.request.fields.all(b"host") == [b"Gate.example:8443"]


M, S, A, P = GET
MALFORMED = {
    "no method": [S, A, P],
    "no scheme": [M, A, P],
    "no path": [M, S, A],
    "two methods": [M, M, S, A, P],
    "two paths": [M, S, A, P, P],
    "two authorities": [M, S, A, A, P],
    "a late pseudo-header": [M, S, A, ("x", "y"), P],
    "an unknown pseudo-header": [M, S, A, P, (":x", "y")],
    "an answer's pseudo-header": [M, S, A, P, (":status", "200")],
    "an empty path": [M, S, A, (":path", "")],
    "a path without a slash": [M, S, A, (":path", "a")],
    "an absolute path": [M, S, A, (":path", "http://gate.example/")],
    "a space in the path": [M, S, A, (":path", "/a b")],
    "a line in the path": [M, S, A, (":path", "/ HTTP/1.1\r\nX-API-Key: k")],
    "a raw byte in the path": [M, S, A, (":path", b"/\xff")],
    "a space in the method": [(":method", "GET /x HTTP/1.1"), S, A, P],
    "an empty method": [(":method", ""), S, A, P],
    "another scheme": [M, (":scheme", "ftp"), A, P],
    "an upper-case name": [*GET, ("X-One", "1")],
    "an empty name": [*GET, ("", "1")],
    "a space in a name": [*GET, ("x one", "1")],
    "a colon in a name": [*GET, ("x:one", "1")],
    "a line in a name": [*GET, ("x\r\ny", "1")],
    "CR LF in a value": [*GET, ("x", "1\r\nx-api-key: k")],
    "LF in a value": [*GET, ("x", "1\nb")],
    "CR in a value": [*GET, ("x", "1\rb")],
    "NUL in a value": [*GET, ("x", "1\0b")],
    "DEL in a value": [*GET, ("x", "1\x7fb")],
    "a space before a value": [*GET, ("x", " 1")],
    "a tab after a value": [*GET, ("x", "1\t")],
    "connection": [*GET, ("connection", "x-api-key")],
    "keep-alive": [*GET, ("keep-alive", "1")],
    "proxy-connection": [*GET, ("proxy-connection", "keep-alive")],
    "transfer-encoding": [*GET, ("transfer-encoding", "chunked")],
    "upgrade": [*GET, ("upgrade", "websocket")],
    "TE": [*GET, ("te", "gzip")],
    "two lengths": [*GET, ("content-length", "0"), ("content-length", "0")],
    "a signed length": [*GET, ("content-length", "+0")],
    "a hexadecimal length": [*GET, ("content-length", "0x0")],
    "a list of lengths": [*GET, ("content-length", "0, 0")],
    "a length that is too long": [*GET, ("content-length", "0" * 16)],
    "a length without a body": [*GET, ("content-length", "3")],
    "a protocol without CONNECT": [*GET, (":protocol", "websocket")],
    "an extended CONNECT that ends": [*CONNECT],
    "a protocol late": [M, S, A, P, ("x", "y"), (":protocol", "websocket")],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_malformed_requests_are_reset_and_harm_no_other(fields):
    raw = Raw()
    raw.send(raw.headers(1))
    raw.send(raw.headers(3, fields))
    found = raw.frames()
    assert len(raw.hand.requests) == 1 and len(raw.hand.refusals) == 1
    assert (RST_STREAM, 0, 3, PROTOCOL_ERROR.to_bytes(4, "big")) in found
    assert next(kind for kind, _, number, _ in found if number == 3) == HEADERS
    hello(raw.request)
    assert raw.frames()[0][2] == 1 and not raw.wire.closing
    raw.send(raw.headers(5))
    assert len(raw.hand.requests) == 2


REFUSED = {
    "no host at all": ([M, S, P], 400),
    "an empty authority": ([M, S, (":authority", ""), P], 400),
    "userinfo": ([M, S, (":authority", "a@gate.example"), P], 400),
    "two hosts that differ": ([*GET, ("host", "other.example")], 400),
    "a port that differs": ([*GET, ("host", "gate.example:1")], 400),
    "Host twice": ([*GET, ("host", "gate.example"), ("host", "gate.example")], 400),
    "the whole server": ([(":method", "OPTIONS"), S, A, (":path", "*")], 400),
    "CONNECT": ([(":method", "CONNECT"), A], 405),
    "another Expect": ([*GET, ("expect", "200-ok")], 417),
    "too many fields": ([*GET, *((f"x-{n}", "v") for n in range(101))], 431),
    "too large a head": ([*GET, ("x", "v" * 32_768)], 431),
}


@pytest.mark.parametrize("fields, status", REFUSED.values(), ids=REFUSED)
def test_refused_requests_are_answered(fields, status):
    talk = Talk()
    talk.client.config.validate_outbound_headers = False
    number = talk.ask(fields)
    assert talk.status(number) == status and talk.of(number, StreamEnded) and not talk.of(number, StreamReset)
    assert not talk.hand.requests and len(talk.hand.refusals) == 1
    talk.ask()
    assert len(talk.hand.requests) == 1


def test_a_head_over_the_limit_leaves_the_header_table_in_step():
    raw = Raw(head=2000)
    raw.send(raw.headers(1, [*GET, ("x-large", "v" * 1990), ("x-after", "kept in the table")]))
    assert raw.hand.refusals[0].status == 431
    raw.send(raw.headers(3, [*GET, ("x-after", "kept in the table")]))
    assert raw.request.fields.get(b"x-after") == b"kept in the table"


def test_header_blocks_in_many_frames_are_one():
    raw = Raw()
    block = raw.headers(1)[9:]
    raw.send(
        frame(HEADERS, 1, 1, block[:3]), frame(CONTINUATION, 0, 1, block[3:5]), frame(CONTINUATION, 4, 1, block[5:])
    )
    assert raw.request.path == b"/a" and raw.request.body.complete


@pytest.mark.parametrize("size", [0, 1, 16384])
def test_endless_continuations_end_the_connection(size):
    raw = Raw()
    raw.send(frame(HEADERS, 1, 1, b"\x82"))
    for _ in range(70):
        raw.send(frame(CONTINUATION, 0, 1, b"\0" * size))
    assert raw.goaway() == ENHANCE_YOUR_CALM


def test_more_streams_than_allowed_are_refused_and_may_come_again():
    raw = Raw(h2_streams=2)
    raw.send(raw.headers(1), raw.headers(3), raw.headers(5))
    assert raw.frames() == [(RST_STREAM, 0, 5, REFUSED_STREAM.to_bytes(4, "big"))]
    hello(raw.hand.requests[0])
    raw.send(raw.headers(7))
    assert len(raw.hand.requests) == 3


# Uploads


def test_an_upload_arrives_as_it_comes():
    talk = Talk()
    number = talk.ask(POST, b"one", end=False)
    sink = Sink().drink(talk.request)
    assert talk.request.body.length == UNKNOWN_LENGTH and sink.data == b"one" and not sink.done
    talk.client.send_data(number, b" two", end_stream=True, pad_length=9)
    talk.pump()
    assert sink.data == b"one two" and sink.done == [None]
    hello(talk.request)
    talk.pump()
    assert talk.status(number) == 200 and talk.of(number, StreamEnded) and not talk.of(number, StreamReset)


def test_the_length_of_an_upload_is_known():
    talk = Talk()
    talk.ask([*POST, ("content-length", "3")], b"one")
    assert talk.request.body.length == 3 and talk.request.body.complete


@pytest.mark.parametrize("body", [[b"four"], [b"ab", b"cd"], [b"ab"], [b""]], ids=["long", "later", "short", "empty"])
def test_a_body_that_is_not_as_long_as_its_length_is_reset(body):
    raw = Raw()
    raw.send(raw.headers(1, [*POST, ("content-length", "3")], end=False))
    sink = Sink().drink(raw.request)
    raw.send(*(data(1, part, end=part is body[-1]) for part in body))
    assert raw.frames(RST_STREAM) == [(RST_STREAM, 0, 1, PROTOCOL_ERROR.to_bytes(4, "big"))]
    assert len(sink.done) == 1 and sink.done[0] is not None and len(raw.request.lost_with) == 1
    raw.send(raw.headers(3))
    assert len(raw.hand.requests) == 2


def test_trailers_end_a_body_and_are_dropped():
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False), data(1, b"one"), raw.headers(1, [("x-sum", "1")]))
    sink = Sink().drink(raw.request)
    assert sink.data == b"one" and sink.done == [None] and b"x-sum" not in raw.request.fields


@pytest.mark.parametrize(
    "fields, end",
    [([("x", "y")], False), ([(":path", "/")], True), ([("x", "a\r\nb")], True)],
    ids=["open", "pseudo", "CR"],
)
def test_malformed_trailers_reset_the_stream(fields, end):
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False), raw.headers(1, fields, end))
    assert raw.frames(RST_STREAM)[0][3] == PROTOCOL_ERROR.to_bytes(4, "big") and raw.request.lost_with


def test_continue_is_said_once_the_body_is_wanted():
    talk = Talk()
    number = talk.ask([*POST, ("expect", "100-continue")], end=False)
    assert not talk.of(number, InformationalResponseReceived)
    sink = Sink().drink(talk.request)
    talk.pump()
    assert dict(talk.of(number, InformationalResponseReceived)[0].headers) == {":status": "100"}
    talk.client.send_data(number, b"now", end_stream=True)
    talk.pump()
    assert sink.data == b"now"


def test_continue_is_not_said_to_who_is_refused():
    talk = Talk(lambda request: request.reply(401, [], b"no"))
    number = talk.ask([*POST, ("expect", "100-continue")], end=False)
    assert talk.status(number) == 401 and not talk.of(number, InformationalResponseReceived)


def test_early_hints_pass():
    talk = Talk()
    number = talk.ask()
    talk.request.channel.inform(103, [(b"Link", b"</a.css>")])
    hello(talk.request)
    talk.pump()
    assert talk.of(number, InformationalResponseReceived)[0].headers == [(":status", "103"), ("link", "</a.css>")]
    assert talk.status(number) == 200


# Early answers


def test_an_early_refusal_can_be_read_and_gives_the_windows_back():
    talk = Talk(lambda request: request.reply(401, [], b"no"))
    number = talk.ask(POST, b"x" * 10_000, end=False)
    assert talk.status(number) == 401 and talk.of(number, StreamEnded)
    for _ in range(200):
        talk.client.send_data(number, b"x" * 16_000)
        talk.pump()
    talk.client.send_data(number, b"", end_stream=True)
    talk.pump()
    assert not talk.of(number, StreamReset) and not talk.http2.streams
    assert talk.client.outbound_flow_control_window > 3 * talk.server.limits.h2_window
    other = talk.ask()
    assert talk.status(other) == 401


def test_after_an_early_refusal_a_silent_client_is_told_to_stop():
    talk = Talk(lambda request: request.reply(401, [], b"no"))
    number = talk.ask(POST, b"x", end=False)
    talk.wait(4)
    talk.pump()
    assert [event.error_code for event in talk.of(number, StreamReset)] == [NO_ERROR]
    assert talk.status(talk.ask()) == 401


def test_after_an_early_refusal_in_a_drain_nobody_waits_for_the_upload():
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False))
    raw.server.drain()
    raw.request.reply(401, [], b"no")
    assert raw.frames()[-1] == (RST_STREAM, 0, 1, NO_ERROR.to_bytes(4, "big")) and raw.wire.closing


def test_interim_answers_are_not_piled_up_for_a_client_that_does_not_read():
    raw = Raw(room=100)
    raw.send(raw.headers(1))
    for _ in range(1000):
        raw.request.channel.inform(103, [(b"link", b"</a.css>")])
    assert len(raw.wire.dataBuffer) < 200


def test_after_an_early_refusal_only_so_much_is_read_away():
    raw = Raw(lambda request: request.reply(401, [], b"no"), linger=100_000)
    raw.send(raw.headers(1, POST, end=False))
    for _ in range(10):
        raw.send(data(1, b"x" * 16_000))
    assert (RST_STREAM, 0, 1, NO_ERROR.to_bytes(4, "big")) in raw.frames()


def test_what_crosses_our_reset_harms_nobody_and_counts_for_the_window():
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False), raw.headers(3))
    raw.hand.requests[0].abort()
    raw.frames()
    for _ in range(100):
        raw.send(data(1, b"x" * 16_000))
    raw.send(data(1, b"", end=True), frame(RST_STREAM, 0, 1, b"\0\0\0\0"), raw.headers(1, [("x", "y")]))
    given = sum(int.from_bytes(payload, "big") for kind, _, number, payload in raw.frames() if kind == 8 and not number)
    assert given > 100 * 16_000 - raw.server.limits.h2_window * 2
    hello(raw.hand.requests[1])
    assert raw.frames()[0][2] == 3 and not raw.wire.closing

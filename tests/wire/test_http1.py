"""HTTP/1.1 towards clients, in memory."""

from typing import Any

import pytest
from twisted.web.iweb import IRequest
from zope.interface.verify import verifyObject

from edge.core.batch import Batch, Block
from edge.wire import h1_connection
from edge.wire.http1 import Http1
from edge.wire.request import Request
from tests.wire.h2_client import Sink
from tests.wire.memory import Bench

GET = b"GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n"
EPOCH = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"


def ok(request: Request) -> None:
    request.reply(200, [(b"X-A", b"1")], b"hello")


def bench(then: Any = None, **limits: Any) -> Bench:
    return Bench(Http1, then, **limits)


def test_a_request_is_answered_in_one_write_and_the_connection_is_kept() -> None:
    line = bench(ok).send(GET)
    assert line.out() == b"HTTP/1.1 200 OK\r\n" + EPOCH + b"X-A: 1\r\nContent-Length: 5\r\n\r\nhello"
    assert not line.closed
    line.send(GET)
    assert line.out().endswith(b"hello")


def test_every_answer_says_when_it_was_made() -> None:
    line = bench(ok)
    line.wait(5)
    assert b"\r\nDate: Thu, 01 Jan 1970 00:00:05 GMT\r\n" in line.send(GET).out()
    assert b"\r\nDate: Thu, 01 Jan 1970 00:00:05 GMT\r\n" in line.send(b"GET / HTTP/1.1\r\n\r\n").out()


@pytest.mark.parametrize("batch", [False, True])
def test_a_date_of_the_service_s_stays_the_only_one(batch: bool) -> None:
    pairs = [(b"date", b"then")]
    line = bench(lambda request: request.reply(200, Batch(Block(pairs), ()) if batch else pairs, b"")).send(GET)
    assert line.out().lower().count(b"date: ") == 1


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
def test_an_answer_that_overtakes_the_upload_says_that_the_connection_ends(framing: bytes) -> None:
    line = bench(lambda request: request.body.startProducing(Sink()))
    line.send(b"POST / HTTP/1.1\r\nHost: h\r\n" + framing + b"\r\n\r\n3\r\nabc\r\n")
    line.requests[0].reply(413, [], b"no")
    assert b"\r\nConnection: close\r\n" in line.out()


@pytest.mark.parametrize("wrong", [b"", b"Host: a\r\nHost: b\r\n", b"Host: h\r\nExpect: x\r\n", b"Host: h\r\nX"])
def test_a_refused_head_has_no_body(wrong: bytes) -> None:
    said = bench(ok).send(b"HEAD / HTTP/1.1\r\n" + wrong + b"\r\n\r\n").out()
    assert said.startswith(b"HTTP/1.1 4") and said.endswith(b"\r\n\r\n") and b"Content-Length: 0" not in said


def test_a_head_may_come_byte_by_byte() -> None:
    line = bench(ok)
    line.send(*(bytes([byte]) for byte in GET))
    assert line.out().endswith(b"hello")
    assert line.requests[0].query == b"b=c"


def test_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    line = bench()
    line.send(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert [request.path for request in line.requests] == [b"/1"]
    line.requests[0].reply(200, [], b"one")
    assert [request.path for request in line.requests] == [b"/1", b"/2"]
    line.requests[1].reply(200, [], b"two")
    said = line.out()
    assert said.index(b"one") < said.index(b"two")


def test_many_pipelined_requests_do_not_pile_up_the_stack() -> None:
    line = bench(ok).send(GET * 3000)
    assert line.out().count(b"hello") == 3000


def test_pipelined_bytes_are_bounded_and_the_client_is_watched_meanwhile() -> None:
    line = bench(buffer=1000).send(GET, b"GET /2 HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 2000)
    assert line.transport.producerState == "paused"
    (gone,) = line.watch.watched.values()
    gone()
    assert line.transport.aborted
    line.leave()
    assert line.requests[0].finished


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /\r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        b"GET http://other/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1234567890123456\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
    ],
)
def test_an_ambiguous_or_malformed_head_is_refused_and_nothing_after_it_is_read(head: bytes) -> None:
    line = bench(ok).send(head + GET)
    said = line.out()
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in said
    assert line.requests == []
    line.wait(11)
    assert line.closed


def test_a_head_that_is_too_large_is_431_whether_or_not_it_ends() -> None:
    for head in (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40000, GET[:-2] + b"X: " + b"x" * 40000 + b"\r\n\r\n"):
        assert bench(ok).send(head).out().startswith(b"HTTP/1.1 431 ")


def test_too_many_fields_are_431() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n"
    assert bench(ok).send(head).out().startswith(b"HTTP/1.1 431 ")


def test_connect_is_refused_and_an_absolute_target_of_this_host_is_its_path() -> None:
    assert b"405" in bench(ok).send(b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n").out()[:13]
    line = bench(ok).send(b"GET http://H:1/x?y HTTP/1.1\r\nHost: h:1\r\n\r\n")
    assert line.requests[0].target == b"/x?y"
    assert b"400" in bench(ok).send(b"GET http://h:1/ HTTP/1.1\r\nHost: h\r\n\r\n").out()[:13]


def test_a_body_is_held_back_until_somebody_wants_it() -> None:
    line = bench().send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n", b"abc")
    assert line.transport.producerState == "paused"
    request = line.requests[0]
    assert request.body.received == 3
    assert not request.body.complete


def test_continue_is_said_when_the_body_is_wanted_and_not_before() -> None:
    line = bench().send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert line.out() == b""
    line.requests[0].body.startProducing(_Sink())
    assert line.out() == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_a_refusal_before_the_body_says_no_continue_and_closes_after_reading_some_away() -> None:
    line = bench(lambda request: request.reply(401, [], b"no"))
    line.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 30000000\r\nExpect: 100-continue\r\n\r\n")
    said = line.out()
    assert b"100 Continue" not in said
    assert b"Connection: close" in said
    line.send(b"x" * 100_000)
    assert not line.closed
    line.wait(4)
    assert line.closed


def test_a_small_body_that_nobody_wants_is_read_away_and_the_connection_kept() -> None:
    line = bench(lambda request: request.reply(401, [], b"no"))
    line.send(
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", b"12", b"345GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    )
    assert line.out().count(b"HTTP/1.1 401") == 2
    assert not line.closed


def test_chunked_uploads_reach_the_consumer_as_payload() -> None:
    line = bench()
    line.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n")
    sink = _Sink()
    done = line.requests[0].body.startProducing(sink)
    line.send(b"2\r\nde\r\n0\r\nTrailer: t\r\n\r\n")
    assert sink.data == b"abcde"
    assert done.called


def test_broken_chunks_are_400_and_the_connection_ends() -> None:
    line = bench().send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    failed: list[Any] = []
    line.requests[0].body.startProducing(_Sink()).addErrback(failed.append)
    line.send(b"0x3\r\nabc\r\n")
    assert line.out().startswith(b"HTTP/1.1 400 ")
    assert failed
    assert line.requests[0].finished


def test_an_answer_without_length_is_chunked_and_pieces_go_out_as_they_come() -> None:
    line = bench().send(GET)
    request = line.requests[0]
    request.respond(200, [], None)
    assert line.out().endswith(b"Transfer-Encoding: chunked\r\n\r\n")
    request.send(b"abc")
    assert line.out() == b"3\r\nabc\r\n"
    request.end()
    assert line.out() == b"0\r\n\r\n"
    assert not line.closed


def test_an_aborted_answer_never_gets_its_last_chunk() -> None:
    line = bench().send(GET)
    line.requests[0].respond(200, [], None)
    line.requests[0].send(b"abc")
    line.requests[0].abort()
    assert not line.out().endswith(b"0\r\n\r\n")
    assert line.closed


def test_http_1_0_gets_an_unframed_body_and_a_reset_where_it_is_cut() -> None:
    line = bench().send(b"GET / HTTP/1.0\r\n\r\n")
    line.requests[0].respond(200, [], None)
    line.requests[0].send(b"abc")
    said = line.out()
    assert said.endswith(b"\r\n\r\nabc")
    assert b"chunked" not in said
    line.requests[0].abort()
    assert line.transport.aborted


def test_head_204_and_304_have_no_body() -> None:
    line = bench(ok).send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert line.out().endswith(b"Content-Length: 5\r\n\r\n")
    for status in (204, 304):
        line = bench(lambda request, status=status: request.reply(status, [], b"")).send(GET)
        assert line.out().endswith(b"\r\n\r\n")


def test_a_client_that_leaves_is_told_to_whoever_works_for_it() -> None:
    line = bench().send(GET)
    told: list[Any] = []
    line.requests[0].gone = told.append
    line.leave()
    assert told
    assert line.requests[0].finished


def test_a_slow_head_is_ended_however_often_a_byte_comes() -> None:
    line = bench(ok)
    for byte in b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 60:
        line.send(bytes([byte]))
        line.wait(0.25)
    assert line.out().startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    line = bench(ok).send(GET)
    line.wait(80)
    assert line.closed
    line = bench().send(GET)
    line.wait(1000)
    assert not line.closed


def streaming(monkeypatch: pytest.MonkeyPatch, waiting: Any, every: float = 1) -> tuple[Bench, list[float]]:
    """A stream of ten bytes now and then for ten minutes or to its end; `waiting` tells what is unsent by (time, time of the last piece)."""
    line = bench().send(GET)
    line.requests[0].respond(200, [])
    asked: list[float] = []
    last = 0.0

    def unsent(transport: object) -> int:
        asked.append(line.clock.seconds())
        left: int = waiting(asked[-1], last)
        return left

    monkeypatch.setattr(h1_connection, "unsent", unsent)
    while not line.closed and line.clock.seconds() < 600:
        line.requests[0].send(b"0123456789")
        last = line.clock.seconds()
        line.wait(every)
    return line, asked


def test_a_client_that_takes_nothing_is_ended_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    line, _ = streaming(monkeypatch, lambda now, last: 100_000 + int(10 * now))
    assert line.closed and 60 <= line.clock.seconds() <= 62


def test_a_client_that_takes_all_is_asked_about_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    line, asked = streaming(monkeypatch, lambda now, last: 0)
    assert not line.closed and 600 / 5 <= len(asked) <= 600 / 3.75 + 1


@pytest.mark.parametrize("every", [1.25, 2, 3, 4, 4.25, 7.5])
def test_what_is_on_its_way_each_time_does_not_end_a_stream(monkeypatch: pytest.MonkeyPatch, every: float) -> None:
    line, _ = streaming(monkeypatch, lambda now, last: 10 if now - last < 1 else 0, every)
    assert not line.closed


def test_an_upload_that_drips_is_ended_and_one_that_waits_for_us_is_not() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"
    line = bench().send(head)
    line.wait(100)
    assert not line.closed
    line.requests[0].body.startProducing(_Sink()).addErrback(lambda _: None)
    for _ in range(40):
        line.send(b"x")
        line.wait(1)
    assert line.out().startswith(b"HTTP/1.1 408 ")


def test_a_drain_closes_idle_connections_and_finishes_busy_ones() -> None:
    line = bench(ok).send(GET)
    line.server.drain()
    assert line.closed
    line = bench().send(GET)
    line.server.drain()
    assert not line.closed
    line.requests[0].reply(200, [], b"last")
    assert b"Connection: close" in line.out()
    assert line.closed


def test_an_upgrade_is_offered_only_when_it_has_one_reading() -> None:
    head = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: %b\r\nUpgrade: WebSocket\r\n%b\r\n"
    assert bench().send(head % (b"keep-alive, Upgrade", b"")).requests[0].upgrade == b"websocket"
    assert bench().send(head % (b"close", b"")).requests[0].upgrade is None
    assert bench().send(head % (b"Upgrade", b"Content-Length: 1\r\n")).requests[0].upgrade is None


def test_the_request_provides_irequest() -> None:
    (request,) = bench().send(GET).requests
    assert verifyObject(IRequest, request, tentative=True)
    assert request.method == b"GET"  # type: ignore[attr-defined]
    assert request.args == {b"b": [b"c"]}  # type: ignore[attr-defined]
    assert request.getRequestHostname() == b"h"  # type: ignore[attr-defined]


class _Sink:
    """A consumer that keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.data += data


def test_fields_that_come_again_are_the_same_and_a_long_head_is_not_kept() -> None:
    line = bench(ok).send(GET, GET, b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n", b"GET / HTTP/1.1\r\nHost: i\r\n\r\n")
    first, again, elsewhere, other = line.requests
    assert first.fields is again.fields is elsewhere.fields
    assert (first.path, elsewhere.path) == (b"/a", b"/other")
    assert other.fields is not first.fields and other.host == "i"
    line.send(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 5000 + b"\r\n\r\n")
    assert line.protocol._known is None


def test_what_is_remembered_of_a_connection_is_forgotten_while_it_idles() -> None:
    line = bench(ok, idle=60.0).send(GET)
    line.clock.advance(4)
    assert line.protocol._known is not None
    line.clock.advance(3)
    assert line.protocol._known is None
    assert not line.closed
    line.send(GET)
    assert line.out().endswith(b"hello")


def test_a_body_that_nobody_wants_any_more_need_not_come_fast_while_the_answer_lasts() -> None:
    line = bench().send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    request = line.requests[0]
    request.body.startProducing(_Sink()).addErrback(lambda _: None)
    request.respond(400, [])
    request.body.stopProducing()
    for _ in range(45):
        line.send(b"4\r\nabcd\r\n")
        request.send(b"part")
        line.wait(1)
    assert not line.closed

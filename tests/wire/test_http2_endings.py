"""How streams and connections end: truly, soon, and with nothing left behind."""

import pytest
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from twisted.internet.error import ConnectionDone

from edge.wire.h2_frames import (
    CANCEL,
    CONTINUATION,
    DATA,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    INTERNAL_ERROR,
    NO_ERROR,
    PING,
    PREFACE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS_TIMEOUT,
)
from tests.wire.h2_client import CONNECT, POST, Raw, Sink, Source, Talk, data, frame, reset, window


def hello(request):
    request.reply(200, [], b"hello")


def test_an_answer_that_breaks_off_is_never_complete():
    talk = Talk()
    number = talk.ask()
    talk.request.respond(200, [], 100)
    talk.request.send(b"half")
    talk.request.abort()
    talk.pump()
    assert talk.body(number) == b"half" and not talk.of(number, StreamEnded)
    assert [event.error_code for event in talk.of(number, StreamReset)] == [INTERNAL_ERROR]
    assert not talk.request.lost_with, "whoever breaks off need not be told"


def test_an_answer_that_breaks_off_while_it_is_queued_sends_no_more():
    raw = Raw(settings=[(4, 0)])
    raw.send(raw.headers(1))
    raw.request.respond(200, [], None)
    raw.request.send(b"x" * 100_000)
    raw.request.abort()
    raw.send(window(0, 1000))
    assert [kind for kind, *_ in raw.frames()] == [HEADERS, RST_STREAM]
    assert raw.http2.sender.queued == 0


@pytest.mark.parametrize("answered", [False, True], ids=["waiting", "streaming"])
def test_a_reset_by_the_client_is_told_at_once(answered):
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False))
    sink = Sink().drink(raw.request)
    if answered:
        raw.request.respond(200, [], None)
        raw.request.registerProducer(Source())
    raw.send(reset(1))
    assert len(raw.request.lost_with) == 1 and raw.request.finished and sink.done[0] is not None
    raw.frames()
    raw.request.send(b"x")
    raw.request.end()
    raw.request.body.pauseProducing()
    raw.request.body.resumeProducing()
    assert raw.frames() == []


def test_a_connection_that_is_lost_loses_every_request():
    raw = Raw()
    raw.send(raw.headers(1), raw.headers(3, POST, end=False))
    raw.leave()
    assert all(len(request.lost_with) == 1 for request in raw.hand.requests)
    assert raw.http2 not in raw.server.connections and not raw.clock.getDelayedCalls()


def test_open_streams_finish_after_the_clients_goaway():
    raw = Raw()
    raw.send(raw.headers(1), frame(GOAWAY, 0, 0, bytes(8)), raw.headers(3))
    assert not raw.request.lost_with and len(raw.hand.requests) == 1
    assert (RST_STREAM, 0, 3, REFUSED_STREAM.to_bytes(4, "big")) in raw.frames()
    hello(raw.request)
    assert [kind for kind, *_ in raw.frames()] == [HEADERS, DATA]
    assert raw.wire.closing and raw.wire.producer is None


def test_a_drain_finishes_what_is_open_and_takes_no_more():
    raw = Raw()
    raw.send(raw.headers(1), raw.headers(3, POST, end=False))
    raw.server.drain()
    assert raw.frames() == [(GOAWAY, 0, 0, b"\0\0\0\3" + bytes(4))]
    raw.send(raw.headers(5))
    assert raw.frames(RST_STREAM) == [(RST_STREAM, 0, 5, REFUSED_STREAM.to_bytes(4, "big"))]
    hello(raw.hand.requests[0])
    assert not raw.wire.closing
    sink = Sink().drink(raw.hand.requests[1])
    raw.send(data(3, b"upload", end=True))
    hello(raw.hand.requests[1])
    assert sink.data == b"upload" and raw.wire.closing


def test_a_goaway_after_another_names_no_higher_stream():
    raw = Raw()
    raw.send(raw.headers(1))
    raw.server.drain()
    raw.send(raw.headers(3), frame(PING, 0, 1, bytes(8)))
    said = [(payload[:4], payload[4:8]) for _, _, _, payload in raw.frames(GOAWAY)]
    assert said == [(b"\0\0\0\1", bytes(4)), (b"\0\0\0\1", b"\0\0\0\1")]


def test_a_drain_closes_an_idle_connection_at_once():
    raw = Raw()
    raw.server.drain()
    assert raw.goaway() == NO_ERROR and raw.wire.closing


def test_a_connection_that_comes_during_a_drain_is_sent_away():
    raw = Raw(greet=False)
    raw.server.draining = True
    from edge.wire.http2 import Http2
    from tests.wire.h2_client import ORIGIN, Wire, frames_in

    late, wire = Http2(raw.server, ORIGIN), Wire()
    late.makeConnection(wire)
    assert frames_in(wire.take())[-1][0] == GOAWAY and wire.closing


def test_a_cut_ends_everything_at_once():
    raw = Raw()
    raw.send(raw.headers(1))
    raw.server.cut()
    assert raw.wire.aborted and raw.request.lost_with


def test_a_connection_ends_politely_after_its_last_request():
    talk = Talk(hello, requests=3)
    numbers = [talk.ask() for _ in range(3)]
    assert [talk.status(number) for number in numbers] == [200] * 3
    (bye,) = [event for event in talk.events if isinstance(event, ConnectionTerminated)]
    assert (bye.error_code, bye.last_stream_id) == (NO_ERROR, 5) and talk.wire.closing


def test_a_client_that_asks_and_says_goodbye_at_once_gets_its_answer():
    raw = Raw(hello)
    raw.send(raw.headers(1), frame(GOAWAY, 0, 0, bytes(8)))
    assert [kind for kind, *_ in raw.frames()] == [HEADERS, DATA, GOAWAY] and raw.wire.closing


# Deadlines


@pytest.mark.parametrize("early", [b"", PREFACE[:10], PREFACE, PREFACE + frame(4, 0, 0)[:5]])
def test_a_connection_that_never_begins_is_ended(early):
    raw = Raw(greet=False)
    if early:
        raw.send(early)
    raw.wait(14)
    assert not raw.wire.closing
    raw.wait(2)
    assert raw.goaway() == SETTINGS_TIMEOUT


def test_a_header_block_that_comes_in_drops_is_ended():
    raw = Raw()
    raw.send(frame(HEADERS, 1, 1, b"\x82"))
    for _ in range(16):
        raw.send(frame(CONTINUATION, 0, 1, b"\x84"))
        raw.wait(1)
    assert raw.goaway() == ENHANCE_YOUR_CALM


def test_a_frame_that_comes_in_drops_is_ended():
    raw = Raw()
    whole = frame(HEADERS, 5, 1, b"\x82" * 100)
    for at in range(20):
        raw.send(whole[at : at + 1])
        raw.wait(1)
    assert raw.goaway() == ENHANCE_YOUR_CALM


def test_an_idle_connection_ends_whatever_pings_it_sends():
    raw = Raw(hello)
    raw.send(raw.headers(1))
    for _ in range(74):
        raw.send(frame(PING, 0, 0, bytes(8)))
        raw.wait(1)
    assert not raw.wire.closing
    raw.wait(2)
    assert raw.goaway() == NO_ERROR and raw.wire.closing


def test_a_silent_answer_lives_for_hours():
    raw = Raw()
    raw.send(raw.headers(1))
    raw.wait(4000)
    raw.request.respond(200, [], None)
    raw.wait(4000)
    raw.request.send(b"data: x\n\n")
    raw.request.end()
    assert [kind for kind, *_ in raw.frames()] == [HEADERS, DATA, DATA]


def test_a_slow_upload_is_ended_and_told_so():
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False))
    Sink().drink(raw.request)
    for _ in range(32):
        raw.send(data(1, b"x"))
        raw.wait(1)
    assert [refusal.status for refusal in raw.hand.refusals] == [408] and len(raw.request.lost_with) == 1
    found = raw.frames()
    assert HEADERS in [kind for kind, *_ in found]
    raw.wait(4)
    assert (RST_STREAM, 0, 1, NO_ERROR.to_bytes(4, "big")) in found + raw.frames()


def test_a_slow_upload_under_an_answer_is_cut():
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False))
    Sink().drink(raw.request)
    raw.request.respond(200, [], None)
    raw.wait(31)
    assert (RST_STREAM, 0, 1, CANCEL.to_bytes(4, "big")) in raw.frames() and raw.request.lost_with


@pytest.mark.parametrize("held", ["unwanted", "paused"])
def test_an_upload_that_we_hold_back_is_not_slow(held):
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False))
    if held == "paused":
        sink = Sink().drink(raw.request)
        raw.send(data(1, b"x"))
        sink.producer.pauseProducing()
    raw.wait(600)
    assert not raw.request.lost_with and not raw.hand.refusals


@pytest.mark.parametrize("drip", [0, 1])
def test_a_reader_that_stalls_is_cut_even_if_it_takes_a_byte_now_and_then(drip):
    raw = Raw(settings=[(4, 0)])
    raw.send(raw.headers(1), raw.headers(3))
    raw.hand.requests[0].respond(200, [], None)
    raw.hand.requests[0].send(b"x" * 5000)
    for _ in range(62):
        if drip:
            raw.send(window(1, 1))
        raw.wait(1)
    assert (RST_STREAM, 0, 1, CANCEL.to_bytes(4, "big")) in raw.frames()
    assert raw.hand.requests[0].lost_with and not raw.hand.requests[1].lost_with


def test_an_honest_slow_reader_lives():
    raw = Raw(settings=[(4, 0)])
    raw.send(raw.headers(1))
    raw.request.reply(200, [], b"x" * 40_000)
    for _ in range(400):
        raw.send(window(1, 100))
        raw.wait(1)
    assert sum(len(payload) for kind, _, _, payload in raw.frames() if kind == DATA) == 40_000


def test_a_connection_that_reads_nothing_is_cut():
    raw = Raw(room=100)
    raw.send(raw.headers(1))
    raw.request.respond(200, [], None)
    raw.request.send(b"x" * 1000)
    raw.wait(62, reads=False)
    assert raw.request.lost_with


# Tunnels (RFC 8441)


class End:
    def __init__(self):
        self.data, self.lost = [], []

    def dataReceived(self, data):
        self.data.append(data)

    def connectionLost(self, reason):
        self.lost.append(reason)


def tunnel(talk):
    number = talk.ask(CONNECT, end=False)
    end = End()
    assert (talk.request.verb, talk.request.upgrade, talk.request.body.length) == ("GET", b"websocket", 0)
    made = talk.request.channel.switch(
        [(b"Sec-WebSocket-Accept", b"x"), (b"Upgrade", b"websocket"), (b"X-Id", b"1")], end
    )
    talk.pump()
    return number, end, made


def test_a_websocket_goes_both_ways():
    talk = Talk()
    number, end, made = tunnel(talk)
    (answer,) = talk.of(number, ResponseReceived)
    assert answer.headers[0] == (":status", "200") and answer.headers[-1] == ("x-id", "1")
    talk.client.send_data(number, b"ping")
    talk.pump()
    made.write(b"pong")
    talk.pump()
    assert end.data == [b"ping"] and talk.body(number) == b"pong"
    made.write(b"bye")
    made.loseConnection()
    talk.client.end_stream(number)
    talk.pump()
    assert talk.body(number) == b"pongbye" and talk.of(number, StreamEnded) and not talk.http2.streams


def test_bytes_before_the_switch_wait_for_it():
    raw = Raw()
    raw.send(raw.headers(1, CONNECT, end=False), data(1, b"early"), data(1, b" bird"))
    end = End()
    raw.request.channel.switch([], end)
    assert b"".join(end.data) == b"early bird"


def test_a_client_that_ends_its_side_is_told():
    talk = Talk()
    number, end, made = tunnel(talk)
    talk.client.end_stream(number)
    talk.pump()
    assert len(end.lost) == 1 and end.lost[0].check(ConnectionDone)
    assert talk.of(number, StreamEnded) and not talk.http2.streams
    made.loseConnection()
    talk.pump()


def test_an_end_that_knows_half_closes_keeps_its_own_side():
    talk = Talk()
    number, end, made = tunnel(talk)
    halves = []
    end.readConnectionLost = lambda: halves.append(1)
    talk.client.end_stream(number)
    talk.pump()
    made.write(b"still")
    made.loseConnection()
    talk.pump()
    assert halves == [1] and not end.lost and talk.body(number) == b"still" and talk.of(number, StreamEnded)


@pytest.mark.parametrize("how", ["reset", "lost"])
def test_a_client_that_leaves_a_tunnel_is_noticed(how):
    talk = Talk()
    number, end, _ = tunnel(talk)
    if how == "reset":
        talk.client.reset_stream(number, CANCEL)
        talk.pump()
    else:
        talk.leave()
    assert len(end.lost) == 1 and not end.lost[0].check(ConnectionDone)


def test_a_tunnel_that_breaks_is_reset():
    talk = Talk()
    number, _, made = tunnel(talk)
    made.abortConnection()
    talk.pump()
    assert [event.error_code for event in talk.of(number, StreamReset)] == [CANCEL] and not talk.of(number, StreamEnded)


def test_a_tunnel_holds_back_both_ways():
    talk = Talk()
    number, end, made = tunnel(talk)
    source = Source()
    made.registerProducer(source, True)
    made.write(b"x" * 200_000)
    assert source.paused
    made.pauseProducing()
    for _ in range(16):
        talk.client.send_data(number, b"y" * 16_384)
        talk.pump()
    assert talk.client.local_flow_control_window(number) == 0
    made.resumeProducing()
    talk.pump()
    assert talk.client.local_flow_control_window(number) > 0 and len(b"".join(end.data)) == 16 * 16_384
    for _ in range(8):
        talk.take(number)
    assert not source.paused and len(talk.body(number)) == 200_000


def test_a_refused_extended_connect_is_answered():
    talk = Talk(lambda request: request.reply(401, [], b"no"))
    number = talk.ask(CONNECT, end=False)
    assert talk.status(number) == 401 and talk.of(number, DataReceived)


def test_a_silent_tunnel_lives_for_hours():
    talk = Talk()
    _, end, _ = tunnel(talk)
    talk.wait(4000)
    assert not end.lost


def test_nothing_is_left_behind_by_many_streams():
    raw = Raw()
    for number in range(1, 6001, 6):
        raw.send(raw.headers(number), raw.headers(number + 2, POST, end=False), data(number + 2, b"x" * 100))
        raw.send(raw.headers(number + 4))
        hello(raw.hand.requests[0])
        raw.hand.requests[1].abort()
        raw.send(reset(number + 4))
        raw.frames()
        raw.hand.requests.clear()
        raw.clock.advance(0.1)
    connection = raw.http2
    assert not connection.streams and len(connection.ended) <= 256 and connection.inbound._held == 0
    assert not connection.sender.ready and not connection.sender.blocked and connection.sender.queued == 0
    assert connection.inbound.left + connection.inbound._owed == connection.inbound.size


def test_what_a_client_left_behind_is_freed_without_the_garbage_collector():
    """A thousand that come and go between two of its rounds would hold all that they had until then."""
    import gc
    import weakref

    from edge.wire.http2 import Http2
    from tests.fuzz.frames import OPENING, pieces
    from tests.wire.memory import Bench

    gc.collect()
    gc.disable()
    try:
        line = Bench(Http2, lambda request: None)
        line.send(OPENING + pieces()[0])
        assert len(line.requests) == 1
        left = weakref.ref(line.protocol), weakref.ref(line.requests[0])
        line.leave()
        line.requests.clear()
        # What a transport does that has lost its connection.
        line.transport.unregisterProducer()
        line.protocol = line.transport = None
        assert [one() for one in left] == [None, None]
    finally:
        gc.enable()


def test_what_was_answered_is_freed_without_the_garbage_collector():
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        raw = Raw()
        left = []
        for number in (1, 3, 5):
            raw.send(raw.headers(number))
            request = raw.hand.requests.pop()
            left.append(weakref.ref(request))
            if number == 1:
                request.reply(200, [], b"whole")
            elif number == 3:
                request.begin(200, [], None, b"a", False)
                request.end()
            else:
                request.abort()
            del request
        assert [one() for one in left] == [None, None, None]
    finally:
        gc.enable()

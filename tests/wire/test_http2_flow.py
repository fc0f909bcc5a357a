"""Windows and backpressure, both ways: nothing polled, nothing unbounded, nobody starved."""

import pytest
from h2.events import DataReceived, StreamEnded
from h2.settings import SettingCodes

from edge.wire.h2_frames import (
    DATA,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    HEADERS,
    INTERNAL_ERROR,
    RST_STREAM,
    WINDOW_UPDATE,
    rst_stream,
)
from tests.wire.h2_client import POST, Raw, Sink, Source, Talk, data, frame, reset, window

INITIAL = SettingCodes.INITIAL_WINDOW_SIZE
SET_INITIAL = 4


def settings(value):
    return frame(4, 0, 0, SET_INITIAL.to_bytes(2, "big") + value.to_bytes(4, "big"))


def test_a_window_of_zero_waits_without_a_timer_and_goes_on_when_it_opens():
    raw = Raw(lambda request: request.reply(200, [], b"hello"), settings=[(SET_INITIAL, 0)])
    raw.send(raw.headers(1))
    assert [kind for kind, *_ in raw.frames()] == [HEADERS]
    assert not raw.clock.getDelayedCalls() and not raw.http2.sender.ready
    writes = raw.wire.writes
    raw.wait(30)
    assert raw.wire.writes == writes
    raw.send(window(1, 3))
    assert raw.frames() == [(DATA, 0, 1, b"hel")]
    raw.send(window(1, 100))
    assert raw.frames() == [(DATA, 1, 1, b"lo")] and not raw.http2.streams


def test_an_empty_answer_needs_no_window():
    raw = Raw(settings=[(SET_INITIAL, 0)])
    raw.send(raw.headers(1))
    raw.request.respond(200, [])
    raw.request.end()
    assert raw.frames()[-1] == (DATA, 1, 1, b"")


def test_a_window_may_become_negative():
    talk = Talk(settings={INITIAL: 65535})
    number = talk.ask()
    talk.request.respond(200, [], None)
    talk.request.send(b"a" * 40_000)
    talk.pump()
    talk.client.update_settings({INITIAL: 10_000})
    talk.pump()
    assert talk.http2.streams[number].out_window == -30_000
    talk.request.send(b"b" * 5_000)
    talk.pump()
    assert len(talk.body(number)) == 40_000
    talk.client.increment_flow_control_window(30_000, number)
    talk.pump()
    assert len(talk.body(number)) == 40_000
    talk.client.increment_flow_control_window(6_000, number)
    talk.pump()
    assert talk.body(number) == b"a" * 40_000 + b"b" * 5_000
    talk.request.end()
    talk.pump()
    assert talk.of(number, StreamEnded)


def test_a_setting_opens_the_windows_of_all_streams():
    raw = Raw(lambda request: request.reply(200, [], b"hello"), settings=[(SET_INITIAL, 0)])
    raw.send(raw.headers(1), raw.headers(3))
    raw.frames()
    raw.send(settings(5))
    assert raw.frames(DATA) == [(DATA, 1, 1, b"hello"), (DATA, 1, 3, b"hello")]


def test_a_large_answer_in_pieces_is_whole():
    body = bytes(range(256)) * 8_000
    talk = Talk()
    number = talk.ask()
    talk.request.reply(200, [], body)
    for _ in range(200):
        talk.pump()
        talk.take(number)
        if talk.of(number, StreamEnded):
            break
    assert talk.body(number) == body
    assert max(len(event.data) for event in talk.of(number, DataReceived)) == 16_384


def test_streams_take_turns_when_the_connection_is_the_narrow_part():
    raw = Raw(settings=[(SET_INITIAL, 10_000_000)])
    raw.send(*(raw.headers(number) for number in (1, 3, 5)))
    for request in raw.hand.requests:
        request.reply(200, [], b"x" * 200_000)
    raw.frames()
    raw.send(window(0, 6 * 16_384))
    assert [number for _, _, number, _ in raw.frames(DATA)] in ([1, 3, 5] * 2, [3, 5, 1] * 2, [5, 1, 3] * 2)


def test_a_small_answer_passes_a_large_one_that_its_own_window_holds():
    raw = Raw()
    raw.send(window(0, 1_000_000), raw.headers(1), raw.headers(3))
    raw.hand.requests[0].reply(200, [], b"x" * 500_000)
    raw.frames()
    raw.hand.requests[1].reply(200, [], b"small")
    assert raw.frames()[-1] == (DATA, 1, 3, b"small")


def test_a_source_is_paused_by_its_own_stream_and_no_other():
    talk = Talk()
    first, second = talk.ask(), talk.ask()
    sources = [Source(), Source()]
    for request, source in zip(talk.hand.requests, sources, strict=True):
        request.respond(200, [], None)
        request.registerProducer(source)
    talk.client.increment_flow_control_window(1_000_000)
    talk.pump()
    for _ in range(20):
        talk.hand.requests[0].send(b"x" * 10_000)
    assert sources[0].paused and not sources[1].paused
    talk.hand.requests[1].send(b"event")
    talk.pump()
    assert talk.body(second) == b"event"
    for _ in range(4):
        talk.take(first)
    assert not sources[0].paused and len(talk.body(first)) == 200_000


def test_a_full_transport_pauses_the_sources_that_send_and_wakes_them_again():
    raw = Raw(room=50_000, settings=[(SET_INITIAL, 10_000_000)])
    raw.send(window(0, 10_000_000), raw.headers(1), raw.headers(3))
    sources = [Source(), Source()]
    for request, source in zip(raw.hand.requests, sources, strict=True):
        request.respond(200, [], None)
        request.registerProducer(source)
    busy, calm = raw.hand.requests
    while not sources[0].paused:
        busy.send(b"x" * 10_000)
    assert raw.wire.full and not sources[1].paused
    calm.send(b"event")
    assert sources[1].paused
    raw.frames()
    assert not sources[0].paused and not sources[1].paused
    assert sum(len(payload) for _, _, number, payload in raw.frames(DATA)) >= len(b"event")


def test_a_source_that_registers_behind_a_full_queue_is_paused():
    raw = Raw(settings=[(SET_INITIAL, 0)])
    raw.send(raw.headers(1))
    source = Source()
    raw.request.respond(200, [], None)
    raw.request.send(b"x" * 100_000)
    raw.request.registerProducer(source)
    assert source.paused


def test_answers_to_a_client_that_does_not_read_wait_as_streams():
    raw = Raw(lambda request: request.reply(200, [], b"x" * 1000), room=20_000, h2_streams=50)
    for number in range(1, 2001, 2):
        raw.send(raw.headers(number))
        if raw.http2.closed:
            break
    # What is not read holds its stream, so that the limit of streams is the limit of memory, and asking on is a flood.
    assert len(raw.wire.dataBuffer) < 20_000 + 200 * 13 + 3_000
    assert raw.http2.closed and raw.frames()[-1][3][4:8] == ENHANCE_YOUR_CALM.to_bytes(4, "big")


def test_answers_that_waited_for_the_transport_come_whole_and_once():
    raw = Raw(lambda request: request.reply(200, [(b"x-n", b"%d" % len(raw.hand.requests))], b"x" * 1000), room=5_000)
    raw.send(*(raw.headers(number) for number in range(1, 41, 2)))
    found = []
    while raw.wire.dataBuffer:
        found += raw.frames()
    assert sorted(number for kind, _, number, _ in found if kind == HEADERS) == list(range(1, 41, 2))
    assert sum(len(payload) for kind, _, _, payload in found if kind == DATA) == 20_000
    assert not raw.http2.streams


def test_unpausable_sources_against_a_client_that_does_not_read_are_bounded():
    raw = Raw(settings=[(SET_INITIAL, 0)])
    raw.send(*(raw.headers(number) for number in range(1, 100, 2)))
    raw.clock.advance(0)
    for request in raw.hand.requests:
        request.respond(200, [], None)
        for _ in range(8):
            request.send(b"x" * 65_536)
    assert raw.http2.sender.queued <= raw.server.limits.h2_connection + 65_536
    assert any(payload == ENHANCE_YOUR_CALM.to_bytes(4, "big") for _, _, _, payload in raw.frames(RST_STREAM))
    assert sum(request.finished for request in raw.hand.requests) > 20


# Uploads


def test_what_nobody_takes_is_not_acknowledged():
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False))
    for _ in range(4):
        raw.send(data(1, b"x" * 16_384))
    assert not [one for one in raw.frames(WINDOW_UPDATE) if one[2] == 1]
    sink = Sink().drink(raw.request)
    assert (
        sum(int.from_bytes(payload, "big") for _, _, number, payload in raw.frames(WINDOW_UPDATE) if number) == 65_536
    )
    sink.producer.pauseProducing()
    for _ in range(16):
        raw.send(data(1, b"x" * 16_384))
    assert not [one for one in raw.frames(WINDOW_UPDATE) if one[2] == 1]
    raw.send(data(1, b"x"))
    assert raw.frames(RST_STREAM) == [(RST_STREAM, 0, 1, FLOW_CONTROL_ERROR.to_bytes(4, "big"))]


def test_a_consumer_that_goes_on_opens_the_window_again():
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False))
    sink = Sink().drink(raw.request)
    sink.producer.pauseProducing()
    for _ in range(16):
        raw.send(data(1, b"x" * 16_384))
    raw.frames()
    sink.producer.resumeProducing()
    assert (WINDOW_UPDATE, 0, 1, (16 * 16_384).to_bytes(4, "big")) in raw.frames()


def test_a_few_uploads_that_stand_still_do_not_stop_the_others():
    raw = Raw(h2_window=65_536)
    raw.send(*(raw.headers(number, POST, end=False) for number in (1, 3, 5, 7, 9)))
    for number in (1, 3, 5, 7):
        raw.send(*(data(number, b"x" * 16_384) for _ in range(4)))
    sink = Sink().drink(raw.hand.requests[-1])
    raw.send(data(9, b"through", end=True))
    assert sink.data == b"through"


def test_many_uploads_that_stand_still_are_bounded_together():
    raw = Raw(h2_window=65_536, h2_connection=200_000)
    sent = 0
    for number in range(1, 101, 2):
        raw.send(raw.headers(number, POST, end=False))
        for _ in range(4):
            if raw.http2.inbound.left >= 16_384:
                raw.send(data(number, b"x" * 16_384))
                sent += 16_384
    assert sent <= 4 * 65_536 + 100_000 + 65_536
    for request in raw.hand.requests:
        request.abort()
    assert raw.http2.inbound.left > 3 * 65_536 and raw.http2.inbound._held == 0


def test_more_than_the_connections_window_ends_it():
    raw = Raw(h2_window=65_536, h2_connection=0)
    raw.send(*(raw.headers(number, POST, end=False) for number in (1, 3, 5, 7, 9)))
    for number in (1, 3, 5, 7):
        raw.send(*(data(number, b"x" * 16_384) for _ in range(4)))
    raw.send(data(9, b"x"))
    assert raw.goaway() == FLOW_CONTROL_ERROR


@pytest.mark.parametrize("number", [0, 1])
def test_a_window_over_the_top_is_an_error(number):
    raw = Raw()
    raw.send(raw.headers(1), window(number, 2**31 - 1), window(number, 2**31 - 1))
    if number:
        assert raw.frames() == [(RST_STREAM, 0, 1, FLOW_CONTROL_ERROR.to_bytes(4, "big"))]
        assert raw.request.lost_with
    else:
        assert raw.goaway() == FLOW_CONTROL_ERROR


def test_a_body_with_no_taker_is_read_away_while_the_answer_is_made():
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False), data(1, b"x" * 16_000))
    raw.request.body.stopProducing()
    for _ in range(60):
        raw.send(data(1, b"x" * 16_000))
    raw.request.reply(413, [], b"too large")
    found = raw.frames()
    assert found[-1] == (DATA, 1, 1, b"too large") and sum(
        kind == WINDOW_UPDATE and number for kind, _, number, _ in found
    )
    assert rst_stream(1, INTERNAL_ERROR) not in found


def _early(raw, number):
    """An upload that is refused on its head, and goes on in one of the ways that clients do."""
    length = ("content-length", "3000") if number % 3 else ("x", "y")
    raw.send(raw.headers(number, [*POST, length], end=False))
    padded = frame(DATA, 8, number, b"\x09" + b"d" * 990 + bytes(9))
    match number // 2 % 6:
        case 0:
            raw.send(padded, data(number, b"d" * 2010, end=True))
        case 1:
            raw.send(padded, padded, reset(number))
        case 2:
            raw.send(reset(number), padded, padded)
        case 3:
            raw.send(padded + data(number, b"d" * 5000) + data(number, b"late"))
        case 4:
            raw.send(data(number, b"d" * 3000), raw.headers(number, [("x", "y")]))
        case _:
            raw.send(padded, window(number, 0), padded)


def _refused(request):
    request.reply(401, [], b"no key")


def _held(request):
    Sink().drink(request).producer.pauseProducing()


@pytest.mark.parametrize(
    "handle", [_refused, _held, lambda request: request.abort()], ids=["refused", "held", "broken"]
)
def test_ten_thousand_uploads_that_come_to_nothing_leave_the_windows_whole(handle):
    raw = Raw(handle)
    given = 0
    for number in range(1, 20_001, 2):
        _early(raw, number)
        raw.clock.advance(0.2)
        if number % 101 == 0:
            raw.wait(1)
        for stream in tuple(raw.http2.streams.values())[:-20]:
            stream.abort()
        given += sum(int.from_bytes(payload, "big") for kind, _, at, payload in raw.frames() if (kind, at) == (8, 0))
    for stream in tuple(raw.http2.streams.values()):
        stream.abort()
    assert raw.goaway() is None and not raw.wire.closing and raw.http2.last == 19_999
    inbound, sender = raw.http2.inbound, raw.http2.sender
    assert inbound._held == 0 and inbound.left + inbound._owed == inbound.size and inbound._owed * 4 < inbound.size
    assert given > 10_000_000 and not sender.queued and not sender.ready and not sender.blocked
    assert len(raw.http2.ended) <= 256 and not raw.clock.getDelayedCalls()
    raw.send(window(0, 10_000_000))
    raw.hand.do = lambda request: Sink().drink(request).done or None
    raw.send(raw.headers(20_001, POST, end=False), *[data(20_001, bytes(16_384))] * 10)
    assert raw.request.body.received == 163_840

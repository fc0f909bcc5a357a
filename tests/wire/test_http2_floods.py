"""What a hostile client may try, and how soon that ends."""

import tracemalloc

import pytest

from edge.wire.h2_frames import (
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
)
from edge.wire.h2_stream import Stream
from tests.wire.h2_client import POST, Raw, Sink, data, frame, reset, window


def hello(request):
    request.reply(200, [], b"hello")


def test_rapid_reset_ends_the_connection():
    raw = Raw()
    for number in range(1, 2001, 2):
        raw.send(raw.headers(number), reset(number))
    assert raw.goaway() == ENHANCE_YOUR_CALM
    assert len(raw.hand.requests) == raw.server.limits.h2_resets + 1
    assert all(len(request.lost_with) == 1 for request in raw.hand.requests)


PROVOKED = {
    "a window over the top": lambda n: window(n, 2**31 - 1),
    "a window of nothing": lambda n: window(n, 0),
    "DATA after the end": lambda n: data(n, b"x"),
    "HEADERS after the end": None,
    "a stream that depends on itself": lambda n: frame(PRIORITY, 0, n, n.to_bytes(4, "big") + b"\0"),
    "PRIORITY of four bytes": lambda n: frame(PRIORITY, 0, n, b"abcd"),
}


@pytest.mark.parametrize("provoke", PROVOKED.values(), ids=PROVOKED)
def test_resets_that_we_are_made_to_send_count_as_well(provoke):
    raw = Raw()
    for number in range(1, 2001, 2):
        raw.send(raw.headers(number))
        raw.send(provoke(number) if provoke else raw.headers(number, [("x", "y")]))
    assert raw.goaway() == ENHANCE_YOUR_CALM
    assert len(raw.hand.requests) <= raw.server.limits.h2_resets + 1
    assert all(request.lost_with for request in raw.hand.requests)


def test_resets_now_and_then_are_fine():
    raw = Raw()
    for number in range(1, 2001, 2):
        raw.send(raw.headers(number), reset(number))
        raw.clock.advance(0.1)
    assert not raw.wire.closing and raw.goaway() is None and len(raw.hand.requests) == 1000


def test_resets_after_the_answer_do_not_count():
    raw = Raw(hello)
    for number in range(1, 1001, 2):
        raw.send(raw.headers(number, POST, end=False), reset(number))
    assert raw.goaway() is None and len(raw.hand.requests) == 500


FLOODS = {
    "PING": frame(PING, 0, 0, b"12345678"),
    "PING answers": frame(PING, 1, 0, b"12345678"),
    "SETTINGS": frame(SETTINGS, 0, 0, b""),
    "SETTINGS answers": frame(SETTINGS, 1, 0, b""),
    "settings that change": frame(SETTINGS, 0, 0, b"\0\4\0\0\1\0"),
    "PRIORITY": frame(PRIORITY, 0, 1, b"\0\0\0\3\0"),
    "PRIORITY of streams that are not there": frame(PRIORITY, 0, 4001, b"\0\0\0\3\0"),
    "windows of the connection": window(0, 1),
    "windows of a stream": window(1, 1),
    "empty DATA": data(1),
    "DATA of padding": frame(DATA, 8, 1, b"\5" + bytes(5)),
    "unknown frames": frame(0xFA, 0, 0, b"?"),
    "resets of what is closed": None,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_control_frames_ends_the_connection(flood):
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False))
    if flood is None:
        raw.send(reset(1))
        flood = reset(1)
    for _ in range(15):
        raw.send(flood * 100)
    assert raw.goaway() == ENHANCE_YOUR_CALM
    assert all(request.lost_with for request in raw.hand.requests)


@pytest.mark.parametrize("flood", [frame(PING, 0, 0, b"12345678"), frame(SETTINGS, 0, 0)], ids=["PING", "SETTINGS"])
def test_control_frames_of_a_client_that_reads_nothing_are_bounded(flood):
    raw = Raw(room=1000, h2_controls=1_000_000)
    for _ in range(10_000):
        raw.send(flood)
        if raw.wire.aborted:
            break
    assert raw.wire.aborted and len(raw.wire.dataBuffer) < 1000 + 16 * 1024 + 100


def test_crumbs_of_data_are_a_flood_but_not_at_a_person_s_pace():
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False))
    Sink().drink(raw.request)
    for _ in range(5000):
        raw.send(data(1, b"key"))
        raw.clock.advance(0.02)
    assert raw.goaway() is None
    raw.send(data(1, b"x") * 12_000)
    raw.clock.advance(0)
    assert raw.goaway() == ENHANCE_YOUR_CALM


def test_a_text_that_is_sent_line_by_line_is_no_flood():
    raw = Raw()
    raw.send(raw.headers(1, POST, end=False))
    sink = Sink().drink(raw.request)
    for _ in range(150):
        raw.send(data(1, b"a line of sixteen") * 100)
        raw.clock.advance(0)
    assert raw.goaway() is None and len(sink.data) == 15_000 * 17


def test_many_requests_of_one_read_take_turns_with_other_work():
    raw = Raw(hello)
    whole = b"".join(raw.headers(number) for number in range(1, 1001, 2))
    raw.send(whole[:-5])
    first = len(raw.hand.requests)
    assert 15 < first < 30 and raw.wire.held
    raw.send(whole[-5:])
    assert len(raw.hand.requests) == first
    for _ in range(20):
        raw.clock.advance(0)
    assert len(raw.hand.requests) == 500 and not raw.wire.held and not raw.clock.getDelayedCalls()
    assert [number for kind, _, number, _ in raw.frames() if kind == HEADERS] == list(range(1, 1001, 2))


def filled(number, piece):
    """A request with a header block of 64,000 bytes in four frames; `piece` fills it."""
    block = b"\x82\x87\x84\x41\x01a\x40\x01a\x01b" + piece * (64_000 // len(piece))
    parts = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
    rest = [frame(CONTINUATION, 4 if part is parts[-1] else 0, number, part) for part in parts[1:]]
    return frame(HEADERS, 1, number, parts[0]) + b"".join(rest)


def ask(number, more=b""):
    return frame(HEADERS, 5, number, b"\x82\x87\x84\x41\x01a" + more)


HEAVY = {
    "large header blocks": b"".join(filled(number, b"\0\1x\x7f\x01" + b"v" * 128) for number in range(1, 9, 2)),
    "many names": b"".join(
        ask(number, b"".join(b"\0\2%02x\0" % at for at in range(250))) for number in range(1, 401, 2)
    ),
    "crumbs of DATA": frame(HEADERS, 4, 1, b"\x82\x87\x84\x41\x01a") + data(1, b"key") * 5000,
}


@pytest.mark.parametrize("heavy", HEAVY.values(), ids=HEAVY)
def test_heavy_work_of_one_read_takes_turns_with_other_work(heavy):
    raw = Raw(hello)
    raw.send(heavy)
    raw.clock.advance(0)
    assert raw.wire.holds >= 3 and not raw.wire.held and raw.goaway() is None


def test_connections_that_sent_much_take_their_turns_one_after_another():
    raws = [Raw(hello) for _ in range(5)]
    server = raws[0].server
    for raw in raws:
        raw.http2._server = server
        raw.send(b"".join(raw.headers(number) for number in range(1, 201, 2)))
    began = [raw.http2.last for raw in raws]
    went = []
    server.clock.callLater(0, lambda: went.extend(raw.http2.last for raw in raws))
    server.clock.advance(0)
    assert [now > before for now, before in zip(went, began, strict=True)] == [True] + [False] * 4
    assert [raw.http2.last for raw in raws] == [199] * 5 and not server.clock.getDelayedCalls()


@pytest.mark.parametrize("how", ["lost", "cut"])
def test_an_end_between_turns_leaves_no_timer(how):
    raw = Raw(hello)
    raw.send(b"".join(raw.headers(number) for number in range(1, 1001, 2)))
    if how == "cut":
        raw.http2.close_now()
    raw.leave()
    assert not raw.clock.getDelayedCalls() and 15 < len(raw.hand.requests) < 30


def test_an_ordinary_busy_connection_is_no_flood():
    raw = Raw(hello)
    for number in range(1, 10_001, 2):
        raw.send(raw.headers(number), window(number, 10_000), frame(PRIORITY, 0, number, bytes(5)), window(0, 100))
    assert len(raw.hand.requests) == 5000 and raw.goaway() is None


def test_a_slow_stream_whose_client_acknowledges_each_event_is_no_flood():
    raw = Raw()
    raw.send(raw.headers(1))
    raw.request.respond(200, [], None)
    for _ in range(5000):
        raw.request.send(b"data: x\n\n")
        raw.send(window(0, 9), window(1, 9))
    assert raw.goaway() is None


def test_a_setting_that_opens_and_shuts_all_windows_by_the_byte_is_a_flood():
    raw = Raw(lambda request: request.reply(200, [], b"x" * 5000), settings=[(4, 0)])
    for number in range(1, 257, 2):
        raw.send(raw.headers(number))
    for size in range(100):
        raw.send(frame(SETTINGS, 0, 0, b"\0\4\0\0\0" + bytes((size,))))
    assert raw.goaway() == ENHANCE_YOUR_CALM


def test_a_window_that_opens_by_the_byte_is_a_flood():
    raw = Raw(settings=[(4, 0)])
    raw.send(raw.headers(1))
    raw.request.reply(200, [], b"x" * 100_000)
    for _ in range(3000):
        raw.send(window(1, 1))
    assert raw.goaway() == ENHANCE_YOUR_CALM


@pytest.mark.parametrize("values", [(0, 1), (1, 2**20)], ids=["shut and open", "open and wide"])
def test_one_frame_of_thousands_of_settings_is_worked_through_all_streams_once(values, monkeypatch):
    raw = Raw(hello, settings=[(4, 0)])
    for number in range(1, 257, 2):
        raw.send(raw.headers(number))
    widened = []
    widen = Stream.widen
    monkeypatch.setattr(Stream, "widen", lambda stream, size: (widened.append(size), widen(stream, size)))
    raw.send(frame(SETTINGS, 0, 0, b"".join(b"\0\4" + value.to_bytes(4, "big") for value in values) * 1365))
    assert widened == [values[1]] * 128
    raw.send(*[frame(SETTINGS, 0, 0, b"\0\4\0\0\0\1" * 2730)] * 8)
    assert raw.goaway() == ENHANCE_YOUR_CALM


@pytest.mark.parametrize("full", ["the connection's window", "the transport"])
def test_streams_that_end_while_they_wait_in_line_leave_it(full):
    raw = Raw(lambda request: request.reply(200, [], b"x" * 70_000), room=100 if full == "the transport" else None)
    raw.send(raw.headers(1))
    for number in range(3, 2003, 2):
        raw.send(raw.headers(number))
        raw.send(reset(number))
        raw.clock.advance(0.06)
    assert not raw.http2.closed and len(raw.hand.requests) == 1001
    assert len(raw.http2.sender.ready) + len(raw.http2.sender.blocked) <= 1
    raw.send(window(0, 2**20), window(1, 2**20))
    raw.frames()
    assert not raw.http2.streams and raw.http2.sender.window > 0


BOMBS = {
    "one large entry": (b"\x40\x01x\x7f\xa1\x1e" + b"v" * 4000, b"\xbe"),
    "small entries": (b"\x40\x01x\x01v", b"\xbe"),
    "entries that come and go": (b"\x40\x01x\x00" * 120, b"\x7f\0\0"),
}


@pytest.mark.parametrize("first, piece", BOMBS.values(), ids=BOMBS)
def test_a_header_block_that_unfolds_to_many_times_its_size_is_read_no_further(first, piece):
    raw = Raw()
    raw.send(ask(1, first))
    decoder = raw.http2._reader._decoder
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    raw.send(filled(3, piece))
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert raw.goaway() == ENHANCE_YOUR_CALM and peak < 512 * 1024
    assert decoder._size <= 4096 and len(decoder._entries) <= 128


def test_the_table_changes_its_size_twice_in_a_block_and_no_more():
    raw = Raw()
    raw.send(frame(HEADERS, 5, 1, b"\x20\x3e\x82\x87\x84\x41\x01a"))
    assert len(raw.hand.requests) == 1
    raw.send(frame(HEADERS, 5, 3, b"\x20\x3e\x3e\x82\x87\x84\x41\x01a"))
    assert raw.goaway() == COMPRESSION_ERROR


ERRORS = {
    "a preface of HTTP/1.1": (b"GET / HTTP/1.1\r\n\r\n", PROTOCOL_ERROR, False),
    "no SETTINGS first": (PREFACE + frame(PING, 0, 0, bytes(8)), PROTOCOL_ERROR, False),
    "an answer to SETTINGS first": (PREFACE + frame(SETTINGS, 1, 0), PROTOCOL_ERROR, False),
    "too large a frame": (frame(DATA, 0, 1, bytes(16_385)), FRAME_SIZE_ERROR, True),
    "DATA for the connection": (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR, True),
    "DATA for no stream": (frame(DATA, 0, 9, b"x"), PROTOCOL_ERROR, True),
    "HEADERS for the connection": (frame(HEADERS, 5, 0, b"\x82"), PROTOCOL_ERROR, True),
    "HEADERS for an even stream": (frame(HEADERS, 5, 2, b"\x82"), PROTOCOL_ERROR, True),
    "HEADERS for an earlier stream": (frame(HEADERS, 5, 3, b"\x82"), PROTOCOL_ERROR, True),
    "HEADERS after its end": (frame(HEADERS, 5, 5, b"\x82"), STREAM_CLOSED, True),
    "HEADERS with too much padding": (frame(HEADERS, 0xD, 9, b"\x09\x82"), PROTOCOL_ERROR, True),
    "HEADERS without its padding": (frame(HEADERS, 0xD, 9, b""), FRAME_SIZE_ERROR, True),
    "HEADERS without its priority": (frame(HEADERS, 0x25, 9, b"\x82"), FRAME_SIZE_ERROR, True),
    "an index of nothing": (frame(HEADERS, 5, 9, b"\x80"), COMPRESSION_ERROR, True),
    "an index that is not there": (frame(HEADERS, 5, 9, b"\xff\x40"), COMPRESSION_ERROR, True),
    "an index without end": (frame(HEADERS, 5, 9, b"\xff" + b"\xff" * 9), COMPRESSION_ERROR, True),
    "a field cut short": (frame(HEADERS, 5, 9, b"\x00\x05ab"), COMPRESSION_ERROR, True),
    "Huffman code that is not": (frame(HEADERS, 5, 9, b"\x00\x81\xff\x00"), COMPRESSION_ERROR, True),
    "a table too large": (frame(HEADERS, 5, 9, b"\x3f\xff\x7f"), COMPRESSION_ERROR, True),
    "a table that changes late": (frame(HEADERS, 5, 9, b"\x82\x20"), COMPRESSION_ERROR, True),
    "a broken block for a stream that is refused": (frame(HEADERS, 5, 5, b"\x80"), COMPRESSION_ERROR, True),
    "PRIORITY for the connection": (frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL_ERROR, True),
    "RST_STREAM for the connection": (reset(0), PROTOCOL_ERROR, True),
    "RST_STREAM for no stream": (reset(9), PROTOCOL_ERROR, True),
    "RST_STREAM of five bytes": (frame(RST_STREAM, 0, 5, bytes(5)), FRAME_SIZE_ERROR, True),
    "SETTINGS for a stream": (frame(SETTINGS, 0, 5), PROTOCOL_ERROR, True),
    "SETTINGS of five bytes": (frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE_ERROR, True),
    "an answer to SETTINGS with a payload": (frame(SETTINGS, 1, 0, bytes(6)), FRAME_SIZE_ERROR, True),
    "a switch set to 2": (frame(SETTINGS, 0, 0, b"\0\2\0\0\0\2"), PROTOCOL_ERROR, True),
    "a window set too large": (frame(SETTINGS, 0, 0, b"\0\4\x80\0\0\0"), FLOW_CONTROL_ERROR, True),
    "frames set too small": (frame(SETTINGS, 0, 0, b"\0\5\0\0\x3f\xff"), PROTOCOL_ERROR, True),
    "frames set too large": (frame(SETTINGS, 0, 0, b"\0\5\1\0\0\0"), PROTOCOL_ERROR, True),
    "a push": (frame(PUSH_PROMISE, 4, 5, b"\0\0\0\2\x82"), PROTOCOL_ERROR, True),
    "PING for a stream": (frame(PING, 0, 5, bytes(8)), PROTOCOL_ERROR, True),
    "PING of six bytes": (frame(PING, 0, 0, bytes(6)), FRAME_SIZE_ERROR, True),
    "GOAWAY for a stream": (frame(GOAWAY, 0, 5, bytes(8)), PROTOCOL_ERROR, True),
    "GOAWAY of four bytes": (frame(GOAWAY, 0, 0, bytes(4)), FRAME_SIZE_ERROR, True),
    "WINDOW_UPDATE of three bytes": (frame(WINDOW_UPDATE, 0, 0, bytes(3)), FRAME_SIZE_ERROR, True),
    "WINDOW_UPDATE of nothing": (window(0, 0), PROTOCOL_ERROR, True),
    "WINDOW_UPDATE for no stream": (window(9, 1), PROTOCOL_ERROR, True),
    "CONTINUATION of nothing": (frame(CONTINUATION, 4, 5, b"\x82"), PROTOCOL_ERROR, True),
    "CONTINUATION for another": (frame(HEADERS, 1, 9, b"\x82") + frame(CONTINUATION, 4, 11), PROTOCOL_ERROR, True),
    "a frame inside a header block": (
        frame(HEADERS, 1, 9, b"\x82") + frame(PING, 0, 0, bytes(8)),
        PROTOCOL_ERROR,
        True,
    ),
    "an unknown frame inside a header block": (frame(HEADERS, 1, 9, b"\x82") + frame(0xFA, 0, 9), PROTOCOL_ERROR, True),
}


@pytest.mark.parametrize("wrong, code, greet", ERRORS.values(), ids=ERRORS)
def test_errors_end_the_connection_with_their_code_and_soon(wrong, code, greet):
    raw = Raw(greet=greet)
    if greet:
        # One request that is open, one whose stream is closed on both sides.
        raw.send(raw.headers(1), raw.headers(5))
        raw.hand.requests[1].reply(200, [], b"done")
    raw.send(wrong)
    assert raw.goaway() == code
    assert raw.wire.producer is None, "a producer would hold the close back"
    if greet:
        assert len(raw.hand.requests[0].lost_with) == 1
    raw.send(b"\0" * 100)
    raw.clock.advance(0.25)
    assert raw.wire.closing and not raw.wire.aborted
    raw.wait(3)
    assert raw.wire.aborted


@pytest.mark.parametrize("ahead", range(1, 30))
def test_bytes_may_come_one_by_one(ahead):
    sinks = []
    raw = Raw(lambda request: sinks.append(Sink().drink(request)), greet=False)
    whole = (
        PREFACE + frame(SETTINGS, 0, 0) + raw.headers(1) + raw.headers(3, POST, end=False) + data(3, b"body", end=True)
    )
    for at in range(0, len(whole), ahead):
        raw.send(whole[at : at + ahead])
    assert [request.verb for request in raw.hand.requests] == ["GET", "POST"]
    assert [(sink.data, sink.done) for sink in sinks] == [(b"", [None]), (b"body", [None])]
    assert raw.goaway() is None


def test_unknown_frames_and_flags_are_ignored():
    raw = Raw(hello)
    raw.send(frame(0xFA, 0xFF, 77, b"what"), frame(PING, 0xF0, 0, bytes(8)), raw.headers(1))
    kinds = [kind for kind, *_ in raw.frames()]
    assert kinds == [PING, HEADERS, DATA]


def test_goaway_with_an_error_loses_what_is_open():
    raw = Raw()
    raw.send(raw.headers(1), frame(GOAWAY, 0, 0, bytes(4) + ENHANCE_YOUR_CALM.to_bytes(4, "big")))
    assert raw.request.lost_with and raw.goaway() == NO_ERROR

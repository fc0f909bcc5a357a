"""What RFC 9113 asks of a server, frame by frame: for each case what the client sends, and the one outcome that is right.

The cases and their numbers are those of h2spec (`generic/`, `http2/`, `hpack/`), in the sections of RFC 7540 that it
names, and after them what RFC 9113 and RFC 8441 add. Where a rule leaves a choice, the table says ours:

- The dependency of a stream on itself is an error of the stream, though RFC 9113 5.3 took the rule away; inside HEADERS
  it ends the connection, as the stream is not there yet.
- An error of a stream that is idle ends the connection: an idle stream cannot be reset (RFC 9113 6.4).
- HEADERS for a stream that is closed end the connection unless it was we who reset it; DATA reset it again.
- A malformed request is answered by 400 before the reset, so that its sender learns why.
- GOAWAY with any code but NO_ERROR ends the connection.
"""

import pytest
from attrs import frozen

from edge.wire.h2_frames import (
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    WITH_PRIORITY,
)
from tests.wire.h2_client import Raw, Sink, data, frame, reset, window

BOTH = END_STREAM | END_HEADERS


@frozen
class Lives:
    """The connection goes on, nothing is reset."""


@frozen
class Answers:
    """As well, and the streams get whole answers."""

    status: bytes = b"\x88"
    streams: tuple[int, ...] = (1,)


@frozen
class Resets:
    """One stream ends with this code, the connection goes on."""

    code: int
    stream: int = 1


@frozen
class Ends:
    """The connection ends with this code."""

    code: int


LIVES, ANSWERS = Lives(), Answers()
MALFORMED, CLOSED = Resets(PROTOCOL_ERROR), Ends(STREAM_CLOSED)
PROTOCOL, SIZE, COMPRESSION, FLOW = map(Ends, (PROTOCOL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR, FLOW_CONTROL_ERROR))


def block(*pairs: tuple[str, str]) -> bytes:
    """Fields, each literal and without indexing."""
    return b"".join(b"\0" + bytes((len(n),)) + n.encode() + bytes((len(v),)) + v.encode() for n, v in pairs)


M, S, A, P = (":method", "GET"), (":scheme", "https"), (":authority", "gate.example"), (":path", "/")
GET, POST = block(M, S, A, P), block((":method", "POST"), S, A, P)
HOLD = block(M, S, A, (":path", "/hold"))
X = block(("x-one", "two"))
TRAILER = frame(HEADERS, BOTH, 1, X)


def ask(number: int = 1, fields: bytes = GET, flags: int = BOTH, before: bytes = b"", after: bytes = b"") -> bytes:
    return frame(HEADERS, flags, number, before + fields + after)


def fields(*pairs: tuple[str, str]) -> list[bytes]:
    return [ask(fields=block(*pairs))]


def upload(*more: tuple[str, str]) -> bytes:
    return ask(fields=POST + block(*more), flags=END_HEADERS)


def priority(number: int, on: int, weight: int = 0) -> bytes:
    return frame(PRIORITY, 0, number, on.to_bytes(4, "big") + bytes((weight,)))


def setting(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(n.to_bytes(2, "big") + v.to_bytes(4, "big") for n, v in pairs))


def cont(payload: bytes = X, flags: int = END_HEADERS, number: int = 1) -> bytes:
    return frame(CONTINUATION, flags, number, payload)


def goaway(code: int) -> bytes:
    return frame(GOAWAY, 0, 0, bytes(4) + code.to_bytes(4, "big"))


PONG = frame(PING, 1, 0, bytes(8))
OPEN, HELD, DONE, GONE = upload(), ask(fields=HOLD), ask(), reset(1)
BEGUN = ask(flags=END_STREAM)
NOTHING = bytes(1)

GENERIC = {
    "1/1 a preface": ([], LIVES),
    "2/1 PRIORITY on an idle stream": ([priority(1, 0, 255)], LIVES),
    "2/2 WINDOW_UPDATE on a half-closed stream": ([HELD, window(1, 1)], LIVES),
    "2/3 PRIORITY on a half-closed stream": ([HELD, priority(1, 0)], LIVES),
    "2/4 RST_STREAM on a half-closed stream": ([HELD, GONE], LIVES),
    "2/5 PRIORITY on a closed stream": ([DONE, priority(1, 0)], ANSWERS),
    "3.1/1 a DATA frame": ([OPEN, data(1, b"test", end=True)], ANSWERS),
    "3.1/2 two DATA frames": ([OPEN, data(1, b"test"), data(1, b"test", end=True)], ANSWERS),
    "3.1/3 DATA with padding": ([OPEN, frame(DATA, PADDED | END_STREAM, 1, b"\6test" + bytes(6))], ANSWERS),
    "3.2/1 HEADERS": ([DONE], ANSWERS),
    "3.2/2 HEADERS with padding": ([ask(flags=BOTH | PADDED, before=b"\6", after=bytes(6))], ANSWERS),
    "3.2/3 HEADERS with a priority": ([ask(flags=BOTH | WITH_PRIORITY, before=bytes(5))], ANSWERS),
    "3.3/1 PRIORITY of 1": ([priority(1, 0, 0), DONE], ANSWERS),
    "3.3/2 PRIORITY of 256": ([priority(1, 0, 255), DONE], ANSWERS),
    "3.3/3 PRIORITY with a dependency": ([priority(1, 0), priority(3, 1)], LIVES),
    "3.3/4 PRIORITY that is exclusive": ([priority(1, 0), priority(3, 2**31 | 1)], LIVES),
    "3.3/5 PRIORITY, then a lower stream": ([priority(5, 0), ask(3)], Answers(streams=(3,))),
    "3.4/1 RST_STREAM": ([HELD, GONE], LIVES),
    "3.5/1 SETTINGS": ([setting((3, 100))], LIVES),
    "3.7/1 PING": ([frame(PING, 0, 0, bytes(8))], LIVES),
    "3.8/1 GOAWAY": ([goaway(NO_ERROR)], Ends(NO_ERROR)),
    "3.9/1 WINDOW_UPDATE of the connection": ([window(0, 1)], LIVES),
    "3.9/2 WINDOW_UPDATE of a stream": ([HELD, window(1, 1)], LIVES),
    "3.10/1 CONTINUATION": ([BEGUN, cont()], ANSWERS),
    "3.10/2 more CONTINUATION": ([BEGUN, cont(flags=0), cont()], ANSWERS),
    "4/1 GET": ([DONE], ANSWERS),
    "4/2 HEAD": (fields((":method", "HEAD"), S, A, P), ANSWERS),
    "4/3 POST": ([OPEN, data(1, b"test", end=True)], ANSWERS),
    "4/4 POST with trailers": ([OPEN, data(1, b"test"), TRAILER], ANSWERS),
    "5/1 an indexed field": ([ask(after=b"\x90")], ANSWERS),
    "5/2 indexed name, added": ([ask(after=b"\x7a\4test")], ANSWERS),
    "5/3 the same in Huffman code": ([ask(after=b"\x7a\x83\x49\x50\x9f")], ANSWERS),
    "5/4 new name, added": ([ask(after=b"\x40\1x\4test")], ANSWERS),
    "5/5 the same in Huffman code": ([ask(after=b"\x40\x81\xf3\x83\x49\x50\x9f")], ANSWERS),
    "5/6 indexed name, not added": ([ask(after=b"\x0f\x2b\4test")], ANSWERS),
    "5/7 the same in Huffman code": ([ask(after=b"\x0f\x2b\x83\x49\x50\x9f")], ANSWERS),
    "5/8 new name, not added": ([ask(after=b"\0\1x\4test")], ANSWERS),
    "5/9 the same in Huffman code": ([ask(after=b"\0\x81\xf3\x83\x49\x50\x9f")], ANSWERS),
    "5/10 indexed name, never added": ([ask(after=b"\x1f\x2b\4test")], ANSWERS),
    "5/11 the same in Huffman code": ([ask(after=b"\x1f\x2b\x83\x49\x50\x9f")], ANSWERS),
    "5/12 new name, never added": ([ask(after=b"\x10\1x\4test")], ANSWERS),
    "5/13 the same in Huffman code": ([ask(after=b"\x10\x81\xf3\x83\x49\x50\x9f")], ANSWERS),
    "5/14 a table size": ([ask(before=b"\x3e")], ANSWERS),
    "5/15 table sizes": ([ask(before=b"\x20\x3e")], ANSWERS),
}

HTTP2 = {
    "3.5/2 no preface": (b"INVALID CONNECTION PREFACE\r\n\r\n", PROTOCOL),
    "4.1/1 an unknown type": ([frame(0x16, 0, 0, bytes(8))], LIVES),
    "4.1/2 unknown flags": ([frame(PING, 0x16, 0, bytes(8))], LIVES),
    "4.1/3 the reserved bit": ([frame(PING, 0, 2**31, bytes(8))], LIVES),
    "4.2/1 DATA of 2^14": ([OPEN, data(1, bytes(2**14), end=True)], ANSWERS),
    "4.2/2 DATA larger than that": ([OPEN, data(1, bytes(2**14 + 1), end=True)], SIZE),
    "4.2/3 HEADERS larger than that": ([ask(after=bytes(2**14))], SIZE),
    "4.3/1 a broken block": ([frame(HEADERS, BOTH, 1, b"\x40")], COMPRESSION),
    "4.3/2 PRIORITY inside a block": ([BEGUN, priority(1, 0)], PROTOCOL),
    "4.3/3 another stream inside a block": ([BEGUN, ask(3)], PROTOCOL),
    "5.1/1 DATA, idle": ([data(1, b"test", end=True)], PROTOCOL),
    "5.1/2 RST_STREAM, idle": ([reset(1)], PROTOCOL),
    "5.1/3 WINDOW_UPDATE, idle": ([window(1, 100)], PROTOCOL),
    "5.1/4 CONTINUATION, idle": ([cont()], PROTOCOL),
    "5.1/5 DATA, half-closed": ([HELD, data(1, b"test", end=True)], Resets(STREAM_CLOSED)),
    "5.1/6 HEADERS, half-closed": ([HELD, TRAILER], Resets(STREAM_CLOSED)),
    "5.1/7 CONTINUATION, half-closed": ([HELD, cont()], PROTOCOL),
    "5.1/8 DATA after its RST_STREAM": ([OPEN, GONE, data(1, b"test", end=True)], Resets(STREAM_CLOSED)),
    "5.1/9 HEADERS after its RST_STREAM": ([OPEN, GONE, TRAILER], CLOSED),
    "5.1/10 CONTINUATION after its RST_STREAM": ([OPEN, GONE, cont()], PROTOCOL),
    "5.1/11 DATA, closed": ([DONE, data(1, b"test", end=True)], Resets(STREAM_CLOSED)),
    "5.1/12 HEADERS, closed": ([DONE, DONE], CLOSED),
    "5.1/13 CONTINUATION, closed": ([DONE, cont()], PROTOCOL),
    "5.1.1/1 an even stream": ([ask(2)], PROTOCOL),
    "5.1.1/2 a lower stream": ([ask(5), ask(3)], PROTOCOL),
    "5.1.2/1 too many streams": ([ask(n, HOLD) for n in range(1, 258, 2)], Resets(REFUSED_STREAM, 257)),
    "5.3.1/1 HEADERS that depend on themselves": ([ask(flags=BOTH | 32, before=b"\0\0\0\1\0")], PROTOCOL),
    "5.3.1/2 PRIORITY that depends on itself": ([HELD, priority(1, 1)], MALFORMED),
    "5.4.1/1 a broken PING": ([frame(PING, 0, 3, bytes(8))], PROTOCOL),
    "5.5/1 an unknown frame": ([frame(0x16, 0, 0, b"test")], LIVES),
    "5.5/2 an unknown frame inside a block": ([BEGUN, frame(0x16, 0, 0, b"test")], PROTOCOL),
    "6.1/1 DATA, stream 0": ([data(0, b"test")], PROTOCOL),
    "6.1/2 DATA on a stream that is not open": ([HELD, data(1, b"test")], Resets(STREAM_CLOSED)),
    "6.1/3 DATA with too much padding": ([OPEN, frame(DATA, PADDED, 1, b"\6test")], PROTOCOL),
    "6.2/1 HEADERS, then PRIORITY": ([BEGUN, priority(1, 0)], PROTOCOL),
    "6.2/2 HEADERS inside HEADERS": ([BEGUN, ask(3)], PROTOCOL),
    "6.2/3 HEADERS, stream 0": ([ask(0)], PROTOCOL),
    "6.2/4 HEADERS with too much padding": ([ask(flags=BOTH | PADDED, before=b"\xff")], PROTOCOL),
    "6.3/1 PRIORITY, stream 0": ([priority(0, 0)], PROTOCOL),
    "6.3/2 PRIORITY of four bytes": ([HELD, frame(PRIORITY, 0, 1, bytes(4))], Resets(FRAME_SIZE_ERROR)),
    "6.4/1 RST_STREAM, stream 0": ([reset(0)], PROTOCOL),
    "6.4/2 RST_STREAM, idle": ([reset(1)], PROTOCOL),
    "6.4/3 RST_STREAM of three bytes": ([HELD, frame(RST_STREAM, 0, 1, bytes(3))], SIZE),
    "6.5/1 SETTINGS acknowledged with a payload": ([frame(SETTINGS, 1, 0, bytes(6))], SIZE),
    "6.5/2 SETTINGS for a stream": ([frame(SETTINGS, 0, 1, bytes(6))], PROTOCOL),
    "6.5/3 SETTINGS of three bytes": ([frame(SETTINGS, 0, 0, bytes(3))], SIZE),
    "6.5.2/1 ENABLE_PUSH of 2": ([setting((2, 2))], PROTOCOL),
    "6.5.2/2 INITIAL_WINDOW_SIZE of 2^31": ([setting((4, 2**31))], FLOW),
    "6.5.2/3 MAX_FRAME_SIZE too small": ([setting((5, 2**14 - 1))], PROTOCOL),
    "6.5.2/4 MAX_FRAME_SIZE too large": ([setting((5, 2**24))], PROTOCOL),
    "6.5.2/5 an unknown setting": ([setting((0xFF, 1))], LIVES),
    "6.7/2 PING that is an answer": ([PONG], LIVES),
    "6.7/3 PING for a stream": ([frame(PING, 0, 1, bytes(8))], PROTOCOL),
    "6.7/4 PING of six bytes": ([frame(PING, 0, 0, bytes(6))], SIZE),
    "6.8/1 GOAWAY for a stream": ([frame(GOAWAY, 0, 1, bytes(8))], PROTOCOL),
    "6.9/1 WINDOW_UPDATE of nothing": ([window(0, 0)], PROTOCOL),
    "6.9/2 WINDOW_UPDATE of nothing for a stream": ([HELD, window(1, 0)], MALFORMED),
    "6.9/3 WINDOW_UPDATE of three bytes": ([frame(WINDOW_UPDATE, 0, 0, bytes(3))], SIZE),
    "6.9.1/2 a window over the top": ([window(0, 2**31 - 1), window(0, 2**31 - 1)], FLOW),
    "6.9.1/3 a stream's window over the top": (
        [HELD, window(1, 2**31 - 1), window(1, 2**31 - 1)],
        Resets(FLOW_CONTROL_ERROR),
    ),
    "6.9.2/3 a setting over the top": ([frame(SETTINGS, 0, 0, b"\0\4\x80\0\0\0")], FLOW),
    "6.10/1 more CONTINUATION": ([BEGUN, cont(flags=0), cont()], ANSWERS),
    "6.10/2 CONTINUATION, then DATA": ([BEGUN, cont(flags=0), data(1, b"test")], PROTOCOL),
    "6.10/3 CONTINUATION, stream 0": ([BEGUN, cont(number=0)], PROTOCOL),
    "6.10/4 CONTINUATION after the end of HEADERS": ([HELD, cont()], PROTOCOL),
    "6.10/5 CONTINUATION after its end": ([BEGUN, cont(), cont()], PROTOCOL),
    "6.10/6 CONTINUATION after DATA": ([OPEN, data(1, b"test"), cont()], PROTOCOL),
    "7/1 GOAWAY with an unknown code": ([goaway(0xFF)], Ends(NO_ERROR)),
    "7/2 RST_STREAM with an unknown code": ([HELD, reset(1, 0xFF)], LIVES),
    "8.1/1 trailers that do not end": ([OPEN, frame(HEADERS, END_HEADERS, 1, X)], MALFORMED),
    "8.1.2/1 an upper-case name": (fields(M, S, A, P, ("X-TEST", "ok")), MALFORMED),
    "8.1.2.1/1 an unknown pseudo-header": (fields(M, S, A, P, (":test", "ok")), MALFORMED),
    "8.1.2.1/2 an answer's pseudo-header": (fields(M, S, A, P, (":status", "200")), MALFORMED),
    "8.1.2.1/3 a pseudo-header in trailers": ([OPEN, frame(HEADERS, BOTH, 1, block(M))], MALFORMED),
    "8.1.2.1/4 a late pseudo-header": (fields(M, S, A, ("x", "y"), P), MALFORMED),
    "8.1.2.2/1 connection": (fields(M, S, A, P, ("connection", "keep-alive")), MALFORMED),
    "8.1.2.2/2 te": (fields(M, S, A, P, ("te", "trailers, deflate;q=0.5")), MALFORMED),
    "8.1.2.3/1 an empty :path": (fields(M, S, A, (":path", "")), MALFORMED),
    "8.1.2.3/2 no :method": (fields(S, A, P), MALFORMED),
    "8.1.2.3/3 no :scheme": (fields(M, A, P), MALFORMED),
    "8.1.2.3/4 no :path": (fields(M, S, A), MALFORMED),
    "8.1.2.3/5 two :method": (fields(M, M, S, A, P), MALFORMED),
    "8.1.2.3/6 two :scheme": (fields(M, S, S, A, P), MALFORMED),
    "8.1.2.3/7 two :path": (fields(M, S, A, P, P), MALFORMED),
    "8.1.2.6/1 a shorter body": ([upload(("content-length", "5")), data(1, b"test", end=True)], MALFORMED),
    "8.1.2.6/2 a longer body": (
        [upload(("content-length", "5")), data(1, b"test"), data(1, b"test", end=True)],
        MALFORMED,
    ),
    "8.2/1 PUSH_PROMISE": ([OPEN, frame(PUSH_PROMISE, 4, 1, b"\0\0\0\2" + GET)], PROTOCOL),
}

HPACK = {
    "2.3.3/1 an index that is not there": ([ask(after=b"\xc6")], COMPRESSION),
    "2.3.3/2 a name that is not there": ([ask(after=b"\x0f\x37\1x")], COMPRESSION),
    "4.2/1 a table size at the end": ([ask(after=b"\x21")], COMPRESSION),
    "5.2/1 Huffman code with 8 bits of padding": ([ask(after=b"\0\1x\x84\x49\x50\x9f\xff")], COMPRESSION),
    "5.2/2 Huffman code padded with zeros": ([ask(after=b"\0\1x\x83\x49\x50\x90")], COMPRESSION),
    "5.2/3 Huffman code with the end mark": ([ask(after=b"\0\1x\x87\x49\x50\xff\xff\xff\xff\xff")], COMPRESSION),
    "6.1/1 index 0": ([ask(after=b"\x80")], COMPRESSION),
    "6.3/1 a table size over the limit": ([ask(before=b"\x3f\xe2\x1f")], COMPRESSION),
}

BEYOND = {
    "3.4 SETTINGS are not the first frame": (PREFACE + frame(PING, 0, 0, bytes(8)), PROTOCOL),
    "4.2 SETTINGS larger than a frame": ([frame(SETTINGS, 0, 0, bytes(16_386))], SIZE),
    "5.1 DATA on a stream that only a server opens": ([ask(9), data(2, b"test")], PROTOCOL),
    "5.1 RST_STREAM on such a stream": ([ask(9), reset(2)], PROTOCOL),
    "5.1 WINDOW_UPDATE on such a stream": ([ask(9), window(2, 1)], PROTOCOL),
    "5.1 DATA on a stream that was passed over": ([ask(9, HOLD), data(3, b"test")], Resets(STREAM_CLOSED, 3)),
    "5.1 WINDOW_UPDATE on a closed stream": ([DONE, window(1, 5), window(1, 0)], ANSWERS),
    "5.1 RST_STREAM on a closed stream": ([DONE, reset(1)], ANSWERS),
    "5.1 DATA that crosses our reset": ([upload(("content-length", "1")), data(1, b"ab"), data(1, b"c")], MALFORMED),
    "5.1 trailers that cross our reset": ([upload(("content-length", "1")), data(1, b"ab"), TRAILER], MALFORMED),
    "6.1 padding as long as the frame": ([OPEN, frame(DATA, PADDED, 1, b"\1")], PROTOCOL),
    "6.1 padding without its length": ([OPEN, frame(DATA, PADDED, 1)], SIZE),
    "6.3 PRIORITY of four bytes, idle": ([frame(PRIORITY, 0, 9, bytes(4))], SIZE),
    "6.3 PRIORITY that depends on itself, idle": ([priority(9, 9)], PROTOCOL),
    "6.5.2 ENABLE_CONNECT_PROTOCOL of 2": ([setting((8, 2))], PROTOCOL),
    "6.5.2 NO_RFC7540_PRIORITIES of 2 (RFC 9218 2.1)": ([setting((9, 2))], PROTOCOL),
    "6.5.2 a table of any size": ([setting((1, 0)), setting((1, 2**32 - 1)), DONE], ANSWERS),
    "6.9.2 a setting that lifts a stream over the top": ([HELD, window(1, 2**31 - 65_536), setting((4, 65_536))], FLOW),
    "8.1 trailers, then DATA": ([OPEN, TRAILER, data(1, b"x", end=True)], Resets(STREAM_CLOSED)),
    "8.1.1 a length and no body": (fields(M, S, A, P, ("content-length", "1")), MALFORMED),
    "8.2.1 a space before a value": (fields(M, S, A, P, ("x", " y")), MALFORMED),
    "8.2.1 CR LF in a value": (fields(M, S, A, P, ("x", "y\r\nz: 1")), MALFORMED),
    "8.2.2 te: trailers": (fields(M, S, A, P, ("te", "trailers")), ANSWERS),
    "8.2.2 connection in trailers": ([OPEN, frame(HEADERS, BOTH, 1, block(("connection", "x")))], MALFORMED),
    "8.2.2 transfer-encoding in trailers": (
        [OPEN, frame(HEADERS, BOTH, 1, block(("transfer-encoding", "chunked")))],
        MALFORMED,
    ),
    "8.5 trailers in a tunnel (RFC 8441 4)": (
        [ask(fields=block((":method", "CONNECT"), (":protocol", "websocket"), S, A, P), flags=END_HEADERS), TRAILER],
        MALFORMED,
    ),
}

ALL = {
    f"{part} {name}": case
    for part, cases in (("generic", GENERIC), ("http2", HTTP2), ("hpack", HPACK), ("beyond", BEYOND))
    for name, case in cases.items()
}


def serve(request):
    if request.path != b"/hold" and request.upgrade is None:
        done = request.body.startProducing(Sink())
        done.addCallbacks(lambda _: request.reply(200, [], b"hello"), lambda _: None)


@pytest.mark.parametrize("sent, right", ALL.values(), ids=ALL)
def test_case(sent, right):
    raw = Raw(serve, greet=not isinstance(sent, bytes))
    for piece in [sent] if isinstance(sent, bytes) else sent:
        raw.send(piece)
    raw.send(frame(PING, 0, 0, b"at last!"))
    found = raw.frames()
    ends = [int.from_bytes(payload[4:8], "big") for kind, _, _, payload in found if kind == GOAWAY]
    resets = [(number, int.from_bytes(payload, "big")) for kind, _, number, payload in found if kind == RST_STREAM]
    lives = (PING, 1, 0, b"at last!") in found and not raw.wire.closing
    raw.clock.advance(0.25)
    match right:
        case Ends(code):
            assert ends == [code] and not resets and not lives and raw.wire.closing
        case Resets(code, stream):
            assert resets == [(stream, code)] and not ends and lives
        case Answers(status, streams):
            begun = [(number, payload.lstrip(b"\x20")[:1]) for kind, _, number, payload in found if kind == HEADERS]
            ended = [number for kind, flags, number, _ in found if kind in (HEADERS, DATA) and flags & END_STREAM]
            assert begun == [(number, status) for number in streams] and ended == list(streams)
            assert not resets and not ends and lives
        case _:
            assert not resets and not ends and lives


def test_the_servers_settings_come_first():
    raw = Raw(greet=False)
    kinds = [(kind, flags) for kind, flags, _, _ in raw.frames()]
    assert kinds[0] == (SETTINGS, 0)


def test_settings_and_pings_are_acknowledged_at_once_and_in_order():
    raw = Raw()
    raw.send(setting((3, 1)), frame(PING, 0, 0, b"12345678"), setting((3, 2)))
    assert raw.frames() == [(SETTINGS, 1, 0, b""), (PING, 1, 0, b"12345678"), (SETTINGS, 1, 0, b"")]


@pytest.mark.parametrize("windows", [(1,), (100, 1), (2**31 - 1, 0, 1)], ids=str)
def test_windows_are_kept_to_by_the_last_value(windows):
    raw = Raw(serve)
    raw.send(setting(*((4, size) for size in windows)), DONE)
    assert [payload for kind, _, _, payload in raw.frames() if kind == DATA] == [b"h"]
    raw.send(setting((4, 0)), window(1, 1))
    assert not raw.frames(DATA)
    raw.send(window(1, 2))
    assert raw.frames(DATA) == [(DATA, 0, 1, b"el")]
    raw.send(setting((4, 10)))
    assert raw.frames(DATA) == [(DATA, END_STREAM, 1, b"lo")]


def test_cancel_is_what_ends_a_stream_quietly():
    raw = Raw(serve)
    raw.send(HELD, reset(1, CANCEL))
    assert len(raw.request.lost_with) == 1 and not raw.frames()

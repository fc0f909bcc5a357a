"""Bytes of an HTTP/2 client, whatever they are: nothing raises, what is held is bounded, and the connection comes to an end."""

from hpack import Encoder

from edge.wire.h2_frames import LARGEST, PREFACE
from edge.wire.http2 import Http2
from edge.wire.request import Request
from tests.wire.memory import Bench

OPENING = PREFACE + b"\0\0\0\4\0\0\0\0\0"
_HELD = 64 * 1024
"""Bytes that a connection may hold of what is no complete frame, and of a header block that is not complete."""
_TURNS = 50


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def pieces() -> list[bytes]:
    """Good frames and some that are not: what sequences are made of. Heads name no table, so that each stands alone."""

    def block(method: str, path: str, *more: tuple[str, str]) -> bytes:
        pairs = [(":method", method), (":scheme", "https"), (":authority", "h"), (":path", path), *more]
        encoder = Encoder()
        encoder.header_table_size = 0
        return bytes(encoder.encode(pairs, huffman=False))

    heads = [frame(1, 5, stream, block("GET", "/x")) for stream in (1, 3, 5, 7)]
    uploads = [frame(1, 4, stream, block("POST", "/x", ("content-length", "5"))) for stream in (1, 3, 9)]
    open_ended = [frame(1, 4, stream, block("POST", "/x")) for stream in (1, 3, 11)]
    tunnels = [frame(1, 4, 13, block("CONNECT", "/x", (":protocol", "websocket")))]
    data = [frame(0, flags, stream, payload) for flags in (0, 1) for stream in (1, 3, 9) for payload in (b"", b"hello")]
    padded = [frame(0, 9, 3, b"\3hello\0\0\0"), frame(1, 13, 15, b"\1" + block("GET", "/y") + b"\0")]
    split = [frame(1, 1, 17, block("GET", "/z")[:5]) + frame(9, 4, 17, block("GET", "/z")[5:])]
    control = [
        frame(2, 0, 3, b"\0\0\0\1\0"), frame(3, 0, 1, b"\0\0\0\x08"), frame(3, 0, 3, bytes(4)),
        frame(4, 0, 0, b"\0\4\0\0\0\0"), frame(4, 0, 0, b"\0\4\0\1\0\0"), frame(4, 1, 0), frame(4, 0, 0, b"\0\1\0\0\0\0"),
        frame(6, 0, 0, b"12345678"), frame(6, 1, 0, bytes(8)), frame(7, 0, 0, bytes(8)), frame(7, 0, 0, bytes(7) + b"\2"),
        frame(8, 0, 0, b"\0\0\1\0"), frame(8, 0, 1, b"\0\0\1\0"), frame(8, 0, 3, b"\x7f\xff\xff\xff"), frame(10, 0, 0, b"x"),
        frame(5, 4, 1, bytes(4)), frame(9, 4, 1, b"x"), frame(1, 37, 19, b"\0\0\0\1\xff" + block("GET", "/p")),
        frame(1, 5, 1, block("GET", "/x", ("transfer-encoding", "chunked"))), frame(1, 5, 3, b"\x40\1x\1y"),
    ]  # fmt: skip
    return [*heads, *uploads, *open_ended, *tunnels, *data, *padded, *split, *control]


def judge_frames(data: bytes) -> None:
    """AssertionError, or whatever escapes, where the connection does not stand it."""
    answers = 0

    def handle(request: Request) -> None:
        nonlocal answers
        answers += 1
        if answers % 3 == 0:
            # Left unanswered: the client's reset or the end of the connection ends it.
            return
        request.reply(200, [(b"x", b"y")], b"z" * (answers % 5 * 20_000))

    line = Bench(Http2, handle)
    protocol = line.protocol
    line.send(OPENING)
    # Cut by what the data itself says, so that a frame comes in one piece, in two, or byte by byte.
    step = 1 + sum(data[:3]) % 400
    for at in range(0, len(data), step):
        if line.closed or protocol.closed:
            break
        line.send(data[at : at + step])
        line.clock.advance(0)
        reader = protocol._reader
        assert len(reader._buffer) <= LARGEST + 9 + step + (_TURNS * LARGEST if protocol._waits else 0)
        assert sum(map(len, reader._block)) <= _HELD + LARGEST
        assert len(protocol.streams) <= protocol.limits.h2_streams
        assert len(protocol.ended) <= 256
        sender = protocol.sender
        assert sender.queued == sum(stream.queued for stream in protocol.streams.values()) >= 0
    _well_formed(line.out())
    # Who says nothing more is waited for, and not for ever.
    line.wait(200)
    assert line.closed or protocol.closed or protocol.streams, "an idle connection that stays open"
    line.leave()
    assert protocol.sender.queued == 0
    assert not protocol.streams
    assert all(request.finished or request.upgrade for request in line.requests)


def _well_formed(out: bytes) -> None:
    """What the gate said is frames, on streams that a client may have opened."""
    at = 0
    while at < len(out):
        size = int.from_bytes(out[at : at + 3], "big")
        assert size <= LARGEST, size
        assert out[at + 3] in (0, 1, 3, 4, 6, 7, 8), out[at + 3]
        assert int.from_bytes(out[at + 5 : at + 9], "big") % 2 or out[at + 3] in (4, 6, 7, 8)
        at += 9 + size
    assert at == len(out)

"""The chunked coding: payload out of any cut of the bytes, and every malformed framing refused within its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.wire.chunked import LONGEST_LINE, MOST_EXTENSIONS, ChunkedReader, chunk
from edge.wire.head import BadHead


def read(data: bytes, size: int = 0) -> tuple[bytes, bool, bytes]:
    """(payload, whether it has ended, what followed), fed whole or `size` bytes at a time."""
    reader = ChunkedReader()
    out = b""
    for at in range(0, len(data), size or len(data)):
        out += reader.feed(data[at : at + (size or len(data))])
        if reader.done:
            return out, True, reader.rest + data[at + (size or len(data)) :]
    return out, False, b""


WHOLE = b'3\r\nabc\r\nA;x="y;\\" z";b\r\n0123456789\r\n0\r\nT: 1\r\nU:\r\n\r\nnext'


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 8, 13])
def test_payload_is_the_same_however_the_bytes_are_cut(size: int) -> None:
    assert read(WHOLE, size) == (b"abc0123456789", True, b"next")


@pytest.mark.parametrize(
    "data",
    [
        b"0x3\r\nabc\r\n", b"+3\r\nabc\r\n", b"-3\r\n", b"3 \r\nabc\r\n", b" 3\r\n", b"3\nabc\r\n", b"3\rabc", b"\r\n", b"g\r\n",
        b"3;\r\nabc\r\n", b"3 ;a\r\nabc\r\n", b"3;a b\r\n", b'3;a="b\r\nabc', b"3;a\x00\r\n", b"3;a\rb\r\n", b"3;a\n",
        b"3\r\nabcd\r\n", b"3\r\nabc\n0\r\n", b"3\r\nabcX", b"1" * 16 + b"\r\n", b"0\r\nX\r\n\r\n", b"0\r\nX : y\r\n\r\n",
        b"0\r\n X: y\r\n\r\n", b"0\r\nX: y\n\r\n", b"0\r\nX: \x01\r\n\r\n", b"0\r\n\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\ncontent-LENGTH: 3\r\n\r\n", b"0\r\nHost: h\r\n\r\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [0, 1])
def test_malformed_framing_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(BadHead):
        read(data + b"\r\n" * 3, size)


def test_what_nobody_reads_has_bounds() -> None:
    with pytest.raises(BadHead):
        read(b"1;" + b"a" * LONGEST_LINE)
    reader = ChunkedReader()
    with pytest.raises(BadHead):
        for _ in range(MOST_EXTENSIONS):
            reader.feed(b"1;abcdefgh\r\nx\r\n")
    reader = ChunkedReader(most_trailers=100)
    with pytest.raises(BadHead):
        reader.feed(b"0\r\n" + b"X: y\r\n" * 50)
    reader = ChunkedReader(most_trailers=100)
    reader.feed(b"0\r\nX: ")
    with pytest.raises(BadHead):
        reader.feed(b"y" * 200)


def test_what_is_written_is_what_is_read() -> None:
    assert read(chunk(b"abc") + chunk(b"d" * 300) + b"0\r\n\r\n") == (b"abc" + b"d" * 300, True, b"")


def told(data: bytes, size: int) -> object:
    try:
        return read(data, size)
    except BadHead:
        return "refused"


PIECES = st.sampled_from(
    [b"\r\n", b"\r", b"\n", b"0", b"1", b"2", b"a", b"A", b"01", b"1a", b"1A", b";x", b"+", b"_", b" ", b"ab"]
)


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_what_comes_at_once_is_read_as_what_comes_byte_by_byte(data: bytes) -> None:
    assert not data or told(data, 0) == told(data, 1)


@given(st.binary(min_size=1, max_size=600), st.sampled_from(["%x", "%X", "%04x"]))
def test_a_whole_chunk_is_its_payload_and_another_may_follow(payload: bytes, form: str) -> None:
    reader = ChunkedReader()
    whole = (form % len(payload)).encode() + b"\r\n" + payload + b"\r\n"
    assert reader.feed(whole) == payload and not reader.done
    assert reader.feed(whole[:-1]) + reader.feed(whole[-1:] + b"0\r\n\r\n") == payload and reader.done


@pytest.mark.parametrize("size", [0, 2, 4])
def test_a_whole_chunk_of_another_size_is_none(size: int) -> None:
    with pytest.raises(BadHead):
        ChunkedReader().feed(b"%x\r\nabc\r\n" % size)

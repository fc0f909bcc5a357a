"""Our lean header compression against the hpack library's."""

import random

import pytest
from hpack import Decoder as TheirDecoder
from hpack import Encoder as TheirEncoder

from edge.wire.h2_frames import H2Error
from edge.wire.hpack import NO_TABLE, Decoder, encode_head

NAMES = [b":path", b":method", b"accept", b"cookie", b"x-one", b"x-two", b"authorization", b"x-long-" + b"n" * 150]
VALUES = [b"", b"GET", b"POST", b"/", b"*/*", b"a=b; c=d", b"v" * 126, b"v" * 127, b"v" * 128, b"\xc3\xa4", b"w" * 3000]


def test_what_their_encoder_writes_is_read_the_same_for_long():
    chance = random.Random(7)
    theirs, ours = TheirEncoder(), Decoder(1_000_000)
    for _ in range(1500):
        if chance.random() < 0.02:
            theirs.header_table_size = chance.choice([0, 64, 100, 4096])
        fields = [
            (chance.choice(NAMES), chance.choice([*VALUES, b"%d" % chance.randrange(10**6)]), chance.random() < 0.1)
            for _ in range(chance.randrange(1, 12))
        ]
        pairs, cut = ours.decode(theirs.encode(fields, huffman=chance.random() < 0.7))
        assert pairs == [(name, value) for name, value, _ in fields] and not cut


def test_broken_blocks_are_errors_and_nothing_else():
    chance = random.Random(8)
    good = TheirEncoder().encode([(name, value) for name in NAMES for value in VALUES[:6]])
    for _ in range(3000):
        block = bytearray(good[: chance.randrange(1, len(good))])
        for _ in range(chance.randrange(4)):
            block[chance.randrange(len(block))] = chance.randrange(256)
        try:
            pairs, _ = Decoder(100_000).decode(bytes(block))
        except H2Error:
            continue
        assert pairs == [tuple(pair) for pair in TheirDecoder(100_000).decode(bytes(block), raw=True)]


def test_what_we_write_is_read_the_same_and_leaves_no_trace():
    theirs = TheirDecoder(1_000_000)
    for status in (200, 204, 206, 304, 400, 404, 500, 100, 401, 503, 599):
        pairs = [(b"X-" + name.strip(b":"), value) for name in NAMES for value in VALUES]
        block = NO_TABLE + encode_head(status, [*pairs, (b"Content-Type", b"a/b"), (b"Connection", b"close")], 12345)
        read = [tuple(pair) for pair in theirs.decode(block, raw=True)]
        said = [(name.lower(), value) for name, value in pairs]
        assert read == [
            (b":status", b"%d" % status),
            *said,
            (b"content-type", b"a/b"),
            (b"content-length", b"12345"),
        ]
        assert not theirs.header_table.dynamic_entries


def test_a_list_over_the_limit_is_cut_and_the_table_kept():
    theirs, ours = TheirEncoder(), Decoder(200)
    pairs, cut = ours.decode(theirs.encode([(b"x-a", b"v" * 300), (b"x-b", b"1")]))
    assert cut and not pairs
    assert ours.decode(theirs.encode([(b"x-b", b"1")])) == ([(b"x-b", b"1")], False)


@pytest.mark.parametrize(
    "block",
    [b"\x80", b"\xbe", b"\x40", b"\x40\x01", b"\x3f\xe2\x1f", b"\x82\x20", b"\x0f", b"\xff\xff\xff\xff\xff\x7f"],
)
def test_malformed_blocks(block):
    with pytest.raises(H2Error):
        Decoder(1000).decode(block)

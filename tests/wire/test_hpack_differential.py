"""Header blocks by chance, good ones and broken ones: our reading and the hpack library's agree, connection by connection."""

from hpack import Decoder as TheirDecoder
from hpack.exceptions import HPACKError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.wire.h2_frames import H2Error
from edge.wire.hpack import NO_TABLE, TABLE, Decoder, encode_head

_coder = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


def integer(value: int, prefix: int, first: int, overlong: int = 0) -> bytes:
    """An integer, with `overlong` further bytes that add nothing."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes((first | value,))
    out, value = [first | most], value - most
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value | (0x80 if overlong else 0)]) + (b"\x80" * (overlong - 1) + b"\0" if overlong else b"")


def string(value: bytes, huffman: bool) -> bytes:
    coded = _coder.encode(value) if huffman else value
    return integer(len(coded), 7, 0x80 if huffman else 0) + coded


texts = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"", b"gzip, deflate", b"v" * 127, b"w" * 1000, b"z" * 5000, bytes(range(256))]),
)
strings = st.builds(string, texts, st.booleans())
names = st.one_of(
    st.builds(lambda first, name: bytes((first,)) + name, st.sampled_from([0x40, 0x00, 0x10]), strings),
    st.builds(integer, st.integers(1, 75), st.just(6), st.just(0x40)),
    st.builds(integer, st.integers(1, 75), st.just(4), st.sampled_from([0x00, 0x10])),
)
literals = st.builds(lambda name, value: name + value, names, strings)
indexed = st.builds(integer, st.integers(1, 75), st.just(7), st.just(0x80))
sizes = st.builds(integer, st.integers(0, TABLE), st.just(5), st.just(0x20))
blocks = st.builds(
    lambda first, rest: b"".join(first + rest),
    st.lists(sizes, max_size=2),
    st.lists(st.one_of(literals, literals, indexed), max_size=8),
)


def same(sent: list[bytes], short_integers: bool = True) -> None:
    """Both read the same of each block until both refuse one; where integers are overlong, we may refuse alone."""
    theirs, ours = TheirDecoder(1_000_000), Decoder(1_000_000)
    for block in sent:
        try:
            right = [tuple(pair) for pair in theirs.decode(block, raw=True)]
        except HPACKError:
            right = None
        try:
            pairs, cut = ours.decode(block)
            assert pairs == right and not cut
        except H2Error:
            assert right is None or not short_integers
            return
        entries = theirs.header_table
        assert list(ours._entries) == [tuple(pair) for pair in entries.dynamic_entries]
        assert (ours._size, ours._table) == (entries._current_size, entries.maxsize)


@settings(max_examples=120, deadline=None)
@given(st.lists(blocks, min_size=1, max_size=6))
def test_blocks_of_every_kind_of_field_are_read_the_same(sent):
    same(sent)


@settings(max_examples=120, deadline=None)
@given(st.lists(blocks, min_size=1, max_size=4), st.data())
@example([b"\0\1x\x83\x49\x50\x90"], None)
@example([b"\0\1x\x84\x49\x50\x9f\xff"], None)
@example([b"\0\1x\x84\xff\xff\xff\xff"], None)
@example([b"\0\x81\xff\x81\xff"], None)
@example([b"\x20\x3f\xe1\x1f\x82", b"\x82\x3e"], None)
@example([b"\x3f\xe2\x1f"], None)
def test_broken_blocks_are_refused_by_both(sent, more):
    if more is not None:
        broken = bytearray(b"".join(sent[-1:]))
        for _ in range(more.draw(st.integers(1, 3))):
            if broken:
                broken[more.draw(st.integers(0, len(broken) - 1))] = more.draw(st.integers(0, 255))
        sent = [*sent[:-1], bytes(broken[: more.draw(st.integers(0, len(broken)))])]
    same(sent, short_integers=more is None)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_the_same(block):
    same([block], short_integers=False)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**40), st.sampled_from([(7, 0x80), (6, 0x40), (4, 0x00), (5, 0x20)]), st.integers(0, 9))
def test_no_integer_is_too_large_to_be_refused(value, kind, overlong):
    prefix, first = kind
    block = integer(value, prefix, first, overlong) + b"\1v" * 2
    try:
        ours, _ = Decoder(1_000_000).decode(block)
    except H2Error:
        return
    assert ours == [tuple(pair) for pair in TheirDecoder(1_000_000).decode(block, raw=True)]


@settings(max_examples=80, deadline=None)
@given(st.lists(blocks, min_size=1, max_size=6), st.integers(0, 3000))
def test_a_list_that_is_cut_is_the_beginning_and_keeps_the_table(sent, most):
    theirs, ours = TheirDecoder(1_000_000), Decoder(most)
    for block in sent:
        try:
            whole = [tuple(pair) for pair in theirs.decode(block, raw=True)]
        except HPACKError:
            return
        try:
            pairs, cut = ours.decode(block)
        except H2Error:
            assert sum(32 + len(name) + len(value) for name, value in whole) > 5 * most
            return
        assert pairs == whole[: len(pairs)] and cut == (pairs != whole)
        assert sum(32 + len(name) + len(value) for name, value in pairs) <= most
        assert list(ours._entries) == [tuple(pair) for pair in theirs.header_table.dynamic_entries]


token = st.from_regex(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,40}", fullmatch=True)
LEFT_OUT = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"content-length"}


@settings(max_examples=120, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(200, 599),
            st.lists(st.tuples(st.one_of(token, st.sampled_from(sorted(LEFT_OUT))), texts), max_size=8),
            st.one_of(st.none(), st.integers(0, 2**63)),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_we_write_is_read_the_same(answers):
    theirs, first = TheirDecoder(10_000_000), NO_TABLE
    for status, pairs, length in answers:
        read = [tuple(pair) for pair in theirs.decode(first + encode_head(status, pairs, length), raw=True)]
        said = [(name.lower(), value) for name, value in pairs if name.lower() not in LEFT_OUT]
        told = [] if length is None else [(b"content-length", b"%d" % length)]
        assert read == [(b":status", b"%d" % status), *said, *told]
        assert not theirs.header_table.dynamic_entries
        first = b""


# RFC 7541, appendix C: requests (C.3, C.4 in Huffman code), and answers whose table evicts (C.5, a table of 256).
_C3 = ["828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865"]
_C3 += ["828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"]
_C4 = ["828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf"]
_C4 += ["828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"]
_DATE = "611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
_C5 = [f"3fe1014803333032580770726976617465{_DATE}6e1768747470733a2f2f7777772e6578616d706c652e636f6d"]
_C5 += ["4803333037c1c0bf"]


def test_the_examples_of_the_rfc():
    request = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]
    for examples in (_C3, _C4):
        ours = Decoder(4096)
        first, second, third = (ours.decode(bytes.fromhex(text))[0] for text in examples)
        assert first == request and second == [*request, (b"cache-control", b"no-cache")]
        assert third[1:3] == [(b":scheme", b"https"), (b":path", b"/index.html")]
        assert third[-1] == (b"custom-key", b"custom-value") and ours._size == 164
    ours = Decoder(4096)
    first, second = (ours.decode(bytes.fromhex(text))[0] for text in _C5)
    assert [value for _, value in first][::3] == [b"302", b"https://www.example.com"]
    assert second == [(b":status", b"307"), *first[1:]] and ours._size == 222

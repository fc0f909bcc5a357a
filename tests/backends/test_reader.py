"""Answers out of bytes, wherever these are cut."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.backends.reader import BOUNDS, AnswerReader
from edge.wire.head import BadHead, answer_head

WIRE = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: t\r\n\r\n"
)


def read(pieces):
    """(statuses, body, whether the body ended, whether nothing followed)."""
    reader, statuses, body, done = AnswerReader(), [], b"", False
    for piece in pieces:
        while piece or not statuses:
            if statuses and statuses[-1] >= 200:
                payload, done = reader.body(piece)
                body += payload
                break
            head = reader.head(piece)
            if head is None:
                break
            statuses.append(head.status)
            piece = reader.rest
            if head.status >= 200:
                reader.expect(head, False)
    return statuses, body, done, reader.keep


@given(st.lists(st.integers(1, len(WIRE) - 1), max_size=12))
def test_an_answer_reads_the_same_wherever_its_bytes_are_cut(cuts):
    places = [0, *sorted(set(cuts)), len(WIRE)]
    pieces = [WIRE[a:b] for a, b in itertools.pairwise(places)]
    assert read(pieces) == ([103, 200], b"abcdefg", True, True)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise_than_by_saying_so(data):
    reader = AnswerReader()
    with contextlib.suppress(BadHead):
        reader.head(data)
    chunks = AnswerReader()
    chunks.expect(answer_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"), False)
    with contextlib.suppress(BadHead):
        chunks.body(data)


def test_what_follows_a_body_is_noticed():
    assert read([WIRE + b"HTTP/1.1 200 OK\r\n\r\n"])[3] is False
    reader = AnswerReader()
    head = answer_head(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n")
    assert reader.expect(head, False) == 3
    assert reader.keep
    assert reader.body(b"abcd") == (b"abc", True)
    assert not reader.keep


def test_heads_are_bounded():
    reader = AnswerReader()
    with pytest.raises(BadHead, match="larger"):
        for _ in range(BOUNDS.head // 1000 + 2):
            reader.head(b"HTTP/1.1 200 OK\r\nX: " if not reader.started else b"a" * 1000)
    reader = AnswerReader()
    interim = b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n"
    for _ in range(BOUNDS.interims):
        assert reader.head(interim).status == 102
    with pytest.raises(BadHead, match="interim"):
        reader.head(interim)


def test_a_head_that_comes_again_is_the_same_one_and_any_other_is_read():
    reader, heads = AnswerReader(), []
    first = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: a\r\n\r\n"
    for head in (first, first, first.replace(b"a\r", b"b\r"), first):
        read_one = reader.head(head + b"abc")
        assert read_one is not None and reader.expect(read_one, False) == 3
        assert reader.body(reader.rest) == (b"abc", True)
        heads.append(read_one)
        reader.begin()
    assert heads[0] is heads[1]
    assert [one.fields.get(b"etag") for one in heads] == [b"a", b"a", b"b", b"a"]


def test_a_head_that_comes_again_has_no_body_after_head_and_one_after_get():
    reader = AnswerReader()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    for bodyless, payload in ((True, b""), (False, b"abc"), (True, b"")):
        read_one = reader.head(head + payload)
        assert read_one is not None
        reader.expect(read_one, bodyless)
        assert reader.body(reader.rest) == (payload, True)
        assert reader.keep
        reader.begin()


def test_a_long_head_is_not_remembered():
    reader = AnswerReader()
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + b"y" * 5000 + b"\r\n\r\n"
    seen = []
    for _ in range(2):
        seen.append(reader.head(long))
        reader.begin()
    assert seen[0] is not seen[1]

import itertools
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.nesting import DEEPEST, Nesting

JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet='ab\\"[]{},:\n\u00e9', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='a\\"{', max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


def plainly(text: bytes) -> tuple[bytes, bool]:
    """The open brackets, and whether a string is open, read a byte at a time."""
    brackets, inside, escaped = bytearray(), False, False
    for byte in text:
        if inside:
            if escaped:
                escaped = False
            elif byte == ord("\\"):
                escaped = True
            elif byte == ord('"'):
                inside = False
        elif byte == ord('"'):
            inside = True
        elif byte in b"[{":
            brackets.append(byte)
        elif byte in b"]}":
            brackets.pop()
    return bytes(brackets), inside


@given(JSON, st.booleans(), st.lists(st.integers(0, 200), max_size=6), st.integers(0, 200))
def test_it_is_what_a_plain_reader_says_wherever_the_pieces_end(value, pretty, cuts, end):
    text = json.dumps(value, ensure_ascii=False, indent=1 if pretty else None).encode()[:end]
    nesting = Nesting()
    for start, stop in itertools.pairwise([0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]):
        nesting.read(text[start:stop])
    brackets, inside = plainly(text)
    assert nesting.at(brackets) is not inside


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_whatever_comes_nothing_is_raised_and_little_is_kept(pieces):
    nesting = Nesting()
    for piece in pieces:
        nesting.read(piece)
    assert len(nesting._open) <= DEEPEST
    nesting.reset()
    nesting.read(b'{"a": ')
    assert nesting.at(b"{")


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"]" * 100_000, b"[" * 50_000 + b"]" * 50_000])
def test_too_many_brackets_are_given_up_in_little_time(text):
    nesting = Nesting()
    started = time.process_time()
    nesting.read(text)
    assert time.process_time() - started < 1
    assert len(nesting._open) <= DEEPEST
    nesting.read(b'{"a":')
    assert not nesting.at(b"{")

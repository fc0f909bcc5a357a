"""The form of our keys."""

import re
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.secrets import id_in, mint, possible, strangeness, well_formed

TOKEN = UUID("12345678-1234-4234-8234-123456789abc")
KEY = mint("0badcafe", TOKEN)


def test_the_form_is_the_promised_one() -> None:
    assert re.fullmatch(r"aig_[0-9a-f]{8}_[0-9a-f]{32}_[0-9a-f]{8}", KEY)
    assert "aig_0badcafe_12345678123442348234123456789abc_" + KEY[-8:] == KEY
    assert well_formed(KEY.encode())
    assert id_in(KEY.encode()) == "0badcafe"


@given(st.integers(0, 53), st.integers(0, 255))
def test_one_wrong_character_anywhere_is_noticed(place: int, byte: int) -> None:
    damaged = bytearray(KEY.encode())
    if damaged[place] != byte:
        damaged[place] = byte
        assert not well_formed(bytes(damaged))


@given(st.integers(0, 60))
def test_a_piece_of_a_key_is_none(length: int) -> None:
    piece = (KEY + "0")[:length].encode()
    if piece != KEY.encode():
        assert not well_formed(piece)
        assert id_in(piece) is None


def test_what_may_be_a_key() -> None:
    assert possible(KEY.encode())
    assert possible(b"sk-anything")
    assert possible(b"x" * 512)
    for value in (b"", b"x" * 513, b"aig_", KEY.encode()[:-1], KEY.upper().encode().replace(b"AIG_", b"aig_")):
        assert not possible(value)


@pytest.mark.parametrize("text", ["", "two words", "tab\there", "new\nline", "ümlaut", "x" * 513, "aig_mine", KEY[:-1]])
def test_what_a_header_cannot_carry_is_no_old_key(text: str) -> None:
    assert strangeness(text)


def test_two_keys_are_never_the_same() -> None:
    assert len({mint("0badcafe", uuid4()) for _ in range(1000)}) == 1000
    assert strangeness(KEY) == ""

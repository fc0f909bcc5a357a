"""Keyed digests: HMAC-SHA-256, faster."""

import hmac
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.digests import digester, fingerprint


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=600))
def test_it_is_hmac_sha_256(pepper: bytes, secret: bytes) -> None:
    assert digester(pepper)(secret) == hmac.digest(pepper, secret, "sha256")


def test_a_digester_may_be_used_again() -> None:
    digest = digester(b"p" * 32)
    assert digest(b"a") == digest(b"a") != digest(b"b")


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_pepper_has_one_length(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        digester(bytes(length))


def test_a_fingerprint_tells_peppers_apart_and_no_more() -> None:
    pepper = os.urandom(32)
    assert fingerprint(pepper) == fingerprint(pepper) != fingerprint(os.urandom(32))
    assert pepper.hex()[:8] not in fingerprint(pepper)

"""The form of our keys: `aig_<8 hex id>_<32 hex, a UUID4>_<8 hex crc32>`.

The checksum is no protection; it tells a mistyped or truncated key from a foreign one without a look at the store, and
lets scanners of leaked secrets be sure.
"""

from typing import Final
from uuid import UUID
from zlib import crc32

PREFIX: Final = b"aig_"
LENGTH: Final = 54
LONGEST: Final = 512
"""Longer values are never keys: an imported key has at most so many bytes, and hashing more would be a gift to floods."""


def mint(key_id: str, token: UUID) -> str:
    """The secret of a new key from its id (8 lower-case hex digits) and a fresh UUID4."""
    head = f"aig_{key_id}_{token.hex}"
    return f"{head}_{crc32(head.encode()):08x}"


def well_formed(secret: bytes) -> bool:
    """Whether a value has the length of our keys and a checksum that holds."""
    return len(secret) == LENGTH and secret[45:46] == b"_" and b"%08x" % crc32(secret[:45]) == secret[46:]


def possible(secret: bytes) -> bool:
    """Whether a value may be a key at all: one of ours that is whole, or an imported one of any form."""
    if secret.startswith(PREFIX):
        return well_formed(secret)
    return 0 < len(secret) <= LONGEST


def id_in(secret: bytes) -> str | None:
    """The id inside one of our own keys, None for any other value."""
    return secret[4:12].decode() if secret.startswith(PREFIX) and well_formed(secret) else None


def strangeness(text: str) -> str:
    """Why a text cannot be taken as an imported key, "" where it can: it must survive a header field unchanged."""
    if not text:
        return "it is empty"
    if not text.isascii() or not text.isprintable() or " " in text:
        return "it has characters that a header cannot carry"
    if len(text) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    if text.startswith("aig_") and not well_formed(text.encode()):
        return "it begins like a key of ours but its checksum does not hold"
    return ""

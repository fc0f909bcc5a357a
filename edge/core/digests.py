"""Keyed digests of secrets: HMAC-SHA-256 (RFC 2104) with the pads hashed once per pepper."""

from collections.abc import Callable
from hashlib import sha256
from typing import Final

PEPPER_BYTES: Final = 32
Digest = Callable[[bytes], bytes]


def digester(pepper: bytes) -> Digest:
    """A function from a secret to its 32-byte digest under `pepper` (32 bytes).

    The same value as `hmac.digest(pepper, secret, "sha256")` in less than half of its time, since a copy of a hash
    costs less than setting one up. Raises ValueError for a pepper of another length.
    """
    if len(pepper) != PEPPER_BYTES:
        raise ValueError(f"a pepper has {PEPPER_BYTES} bytes")
    block = pepper.ljust(64, b"\0")
    inner = sha256(bytes(byte ^ 0x36 for byte in block))
    outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(secret: bytes) -> bytes:
        first = inner.copy()
        first.update(secret)
        second = outer.copy()
        second.update(first.digest())
        return second.digest()

    return digest


def fingerprint(pepper: bytes) -> str:
    """16 hex digits that tell one pepper from another and nothing more: the record knows by it whether a pepper is the right one."""
    return digester(pepper)(b"aigate pepper").hex()[:16]

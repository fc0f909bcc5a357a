"""What of a request may be written down: no key of ours, nothing that a client put where keys are often put."""

import re
from typing import Final

LONGEST: Final = 512
_KEYS = re.compile(rb"aig_[0-9A-Za-z_%]{4,}")
# A name in an encoding of its own hides what it is, and no client of good will writes one. Its quantifiers are possessive:
# what a stranger sends must not make the search try again and again.
_PARAMETERS = re.compile(
    rb"(?i)([?&;](?:[a-z0-9_.-]*"
    rb"(?:key|token|secret|passw(?:or)?d|pwd|auth|authorization|credential|signature|sig|ticket|session|jwt)"
    rb"|[^=&;?#\s%]*+%[^=&;?#\s]*+)=)[^&;#\s]+"
)
_PASSWORD = re.compile(rb"//[^/?#@\s]*+@")
MASK: Final = b"***"


def redacted(target: bytes) -> bytes:
    """A request target or an address without values that may be secrets: `?api_key=***`, `https://***@host/`."""
    if b"aig_" in target:
        target = _KEYS.sub(MASK, target)
    if b"=" in target:
        target = _PARAMETERS.sub(rb"\1" + MASK, target)
    if b"@" in target:
        target = _PASSWORD.sub(b"//" + MASK + b"@", target)
    return target


def printable(raw: bytes, longest: int = LONGEST) -> str:
    """Text from a client that cannot move the cursor, end the line or be taken for another field."""
    text = raw[: longest + 1].decode("ascii", "backslashreplace")
    shown = text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return shown if len(raw) <= longest else shown[:longest] + "…"

"""What of a request may be written down: no key of ours, nothing that a client put where keys are often put."""

import re
import string
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

LONGEST: Final = 512
MASK: Final = b"***"
# Numbers, since a byte is looked for in bytes ten times as fast as bytes are.
PERCENT, EQUALS, AT, UNDERSCORE = b"%=@_"
ROUNDS: Final = 3
"""How often what is percent-encoded is decoded to look for secrets."""
_WORDS: Final = (
    b"key", b"token", b"tokens", b"secret", b"password", b"passwd", b"passphrase", b"pwd", b"auth", b"authorization", b"bearer",
    b"credential", b"signature", b"sig", b"ticket", b"session", b"jwt",
)  # fmt: skip
_MARKS: Final = bytes(set(range(256)) - set((string.ascii_letters + string.digits).encode()))
_KEYS: Final = re.compile(rb"aig_[0-9A-Za-z_%]{4,}")
# A name in an encoding of its own hides what it is, and no client of good will writes one. Quantifiers are possessive or end
# at what the next match begins with: what a stranger sends must not make the search try again and again.
_PARAMETERS: Final = re.compile(
    rb"(?i)([?&;](?:[^=&;?#\s%]*(?:" + b"|".join(_WORDS) + rb")[^=&;?#\s%0-9a-z]*+|[^=&;?#\s%]*+%[^=&;?#\s]*+)=)"
    # A semicolon ends a value only where another parameter follows.
    rb"(?:[^&;#\s]++|;(?![^=&;#\s]*+=))+"
)
_PASSWORD: Final = re.compile(rb"//[^/?#\s]*@")
# `%`, `=`, `@`, `_`, letters and digits, without which nothing is hidden: whoever encodes only what has to be has few of them.
_VEILED: Final = re.compile(rb"%(?:25|3[0-9dD]|4|5[0-9aAfF]|6|7[0-9aA])")
_SAFE: Final = "".join(set(string.punctuation) - set('"%'))


def redacted(target: bytes) -> bytes:
    """A request target or an address without values that may be secrets: `?api_key=***`, `https://***@host/`.

    What is percent-encoded is shown decoded where that brings a secret to light: `?next=%2F%3Ftoken%3D1` as `?next=/?token=***`.
    """
    target = _masked(target)
    return _unveiled(target) if PERCENT in target and _VEILED.search(target) else target


def _masked(target: bytes) -> bytes:
    if UNDERSCORE in target:
        target = _KEYS.sub(MASK, target)
    if EQUALS in target and _names_secret(target):
        target = _PARAMETERS.sub(rb"\1" + MASK, target)
    if AT in target:
        target = _PASSWORD.sub(b"//" + MASK + b"@", target)
    return target


def _names_secret(target: bytes) -> bool:
    # Whether the search could find anything; this is much faster, and most targets have nothing.
    *names, _ = target.lower().split(b"=")
    return any(PERCENT in name or name.rstrip(_MARKS).endswith(_WORDS) for name in names)


def _unveiled(target: bytes) -> bytes:
    plain, found = target, False
    for _ in range(ROUNDS):
        opened = unquote_to_bytes(plain)
        if opened == plain:
            break
        plain = _masked(opened)
        found = found or plain != opened
    return quote_from_bytes(plain, _SAFE).encode() if found else target


def printable(raw: bytes, longest: int = LONGEST) -> str:
    """Text from a client that cannot move the cursor, end the line or be taken for another field."""
    text = raw[: longest + 1].decode("ascii", "backslashreplace")
    shown = text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return shown if len(raw) <= longest else shown[:longest] + "…"

"""Where in a JSON text one stands, while it passes by in pieces.

Only brackets outside of strings count, and these are left over when everything else is taken away, which C does: a
nanosecond a byte, where to read the values costs ten. A text that is no JSON has a nesting as well, of no use.
"""

from typing import Final

DEEPEST: Final = 256
"""Brackets that are open at once, beyond which it is not known any more where one stands (RFC 8259 9 allows a limit)."""
_LOST: Final = b"?"
_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C
_REST: Final = bytes(set(range(256)) - set(b'"[]{}'))


class Nesting:
    """The brackets that are open after what was read."""

    __slots__ = ("_begun", "_open")

    def __init__(self) -> None:
        self._open = b""
        self._begun = b""

    def reset(self) -> None:
        """A new text begins."""
        self._open = self._begun = b""

    def read(self, text: bytes) -> None:
        """Go on over a piece of the text, however it was cut."""
        text = self._begun + text
        escape = b""
        if _BACKSLASH in text:
            text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
            escape = b"\\" if text.endswith(b"\\") else b""
        # Two quotation marks side by side change nothing for what stands behind them.
        left = text.translate(None, _REST).replace(b'""', b"")
        if _QUOTE in left:
            parts = left.split(b'"')
            left = b"".join(parts[::2])
            self._begun = escape if len(parts) & 1 else b'"' + escape
        else:
            self._begun = escape
        self._open = _closed(self._open + left)

    def at(self, where: bytes) -> bool:
        """Whether one stands outside of every string, and exactly these brackets are open."""
        return self._open == where and not self._begun


def _closed(brackets: bytes) -> bytes:
    """What is open of them."""
    for _ in range(DEEPEST):
        size = len(brackets)
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(brackets) == size:
            return brackets if size <= DEEPEST and not brackets.startswith(_LOST) else _LOST
    return _LOST

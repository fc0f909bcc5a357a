"""Header compression (RFC 7541), lean both ways.

Heads are read with the dynamic table that a client may fill, and written without one, as nginx does: no state per
connection, nothing of one answer that another could reveal, and the cost of an answer is a few dictionary look-ups.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from edge.core.headers import Pair
from edge.wire.h2_frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, H2Error

TABLE: Final = 4096
"""Bytes of the dynamic table that a client may fill, the protocol's default."""
_BOMB: Final = 4
"""How many times larger than what is kept a list may be: an honest one is hardly larger than its block."""
_MOST_SIZES: Final = 2
"""Changes of the table's size in one block: the least and the last are enough (RFC 7541 4.2)."""
_STATIC: Final[tuple[Pair, ...]] = ((b"", b""), *HeaderTable.STATIC_TABLE)
_STATIC_SIZE: Final = len(_STATIC)

_STATIC_NAMES: Final[dict[bytes, int]] = {}
for _index in range(_STATIC_SIZE - 1, 0, -1):
    _STATIC_NAMES[_STATIC[_index][0]] = _index

NO_TABLE: Final = b"\x20"
"""Said once in front of the first block that is sent: the table is of size 0, and stays so (RFC 7541 6.3)."""

_CONNECTION_SPECIFIC: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"content-length"}
)
_NAMES: Final[dict[bytes, bytes]] = {}
_MOST_NAMES: Final = 512
_STATUSES: Final[dict[int, bytes]] = {}


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """An integer with a prefix (RFC 7541 5.1), at most 2^28, and where it ends."""
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    for shift in (0, 7, 14, 21):
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise H2Error(COMPRESSION_ERROR, "an integer in a header block is too large")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """A string (RFC 7541 5.2) and where it ends."""
    coded = block[at] & 0x80
    length, at = _integer(block, at, 0x7F)
    end = at + length
    if end > len(block):
        raise H2Error(COMPRESSION_ERROR, "a header block is cut short")
    raw = block[at:end]
    return (decode_huffman(raw) if coded else raw), end


class Decoder:
    """Reads a connection's header blocks, in order."""

    __slots__ = ("_entries", "_most", "_size", "_table")

    def __init__(self, most: int) -> None:
        """`most` is the largest list that is kept, counted as RFC 9113 10.5.1 says."""
        self._most = most
        self._table = TABLE
        self._size = 0
        self._entries: deque[Pair] = deque()

    def decode(self, block: bytes) -> tuple[list[Pair], bool]:
        """The fields of a block, and whether they were more than is kept: then the list is cut, yet all were read.

        Raises H2Error for what is malformed, and for a list that is many times larger than what is kept.
        """
        try:
            return self._decode(block)
        except IndexError:
            raise H2Error(COMPRESSION_ERROR, "a header block is cut short or names no entry") from None
        except HPACKError as error:
            raise H2Error(COMPRESSION_ERROR, str(error)) from None

    def _decode(self, block: bytes) -> tuple[list[Pair], bool]:
        pairs: list[Pair] = []
        entries = self._entries
        room = self._most
        at, end = 0, len(block)
        sizes = 0
        least = -_BOMB * room
        while at < end:
            byte = block[at]
            if byte & 0x80:
                if byte < 0xFF:
                    index = byte & 0x7F
                    at += 1
                else:
                    index, at = _integer(block, at, 0x7F)
                if not index:
                    raise H2Error(COMPRESSION_ERROR, "a header block names entry 0")
                pair = _STATIC[index] if index < _STATIC_SIZE else entries[index - _STATIC_SIZE]
            elif byte & 0x60 == 0x20:
                sizes += 1
                if sizes > _MOST_SIZES:
                    raise H2Error(COMPRESSION_ERROR, "a table size changes inside a header block, or time and again")
                self._table, at = _integer(block, at, 0x1F)
                if self._table > TABLE:
                    raise H2Error(COMPRESSION_ERROR, "the table is larger than was allowed")
                self._shrink()
                continue
            else:
                keep = byte & 0x40
                index, at = _integer(block, at, 0x3F if keep else 0x0F)
                if index:
                    name = _STATIC[index][0] if index < _STATIC_SIZE else entries[index - _STATIC_SIZE][0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                pair = (name, value)
                if keep:
                    self._size += 32 + len(name) + len(value)
                    entries.appendleft(pair)
                    if self._size > self._table:
                        self._shrink()
            sizes = _MOST_SIZES
            room -= 32 + len(pair[0]) + len(pair[1])
            if room >= 0:
                pairs.append(pair)
            elif room < least:
                raise H2Error(ENHANCE_YOUR_CALM, "a header block unfolds to many times its size")
        return pairs, room < 0

    def _shrink(self) -> None:
        entries = self._entries
        while self._size > self._table:
            name, value = entries.pop()
            self._size -= 32 + len(name) + len(value)


def _length(size: int, prefix: int, first: int) -> bytes:
    """An integer with `prefix` bits, the others of its first byte being `first`."""
    most = (1 << prefix) - 1
    if size < most:
        return bytes((first | size,))
    out = [first | most]
    size -= most
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


_LENGTHS: Final = [_length(size, 7, 0) for size in range(1024)]


def _name(name: bytes) -> bytes:
    """A literal field without indexing up to its value; nothing for a field that HTTP/2 must not carry."""
    low = name.lower()
    if low in _CONNECTION_SPECIFIC:
        start = b""
    elif low in _STATIC_NAMES:
        start = _length(_STATIC_NAMES[low], 4, 0)
    else:
        start = b"\0" + _length(len(low), 7, 0) + low
    if len(_NAMES) < _MOST_NAMES:
        _NAMES[name] = start
    return start


def _status(status: int) -> bytes:
    index = next((at for at in range(8, 15) if _STATIC[at][1] == b"%d" % status), 0)
    _STATUSES[status] = block = bytes((0x80 | index,)) if index else b"\x08\x03%03d" % status
    return block


_CONTENT_LENGTH: Final = _length(_STATIC_NAMES[b"content-length"], 4, 0)


def encode_head(status: int, pairs: Iterable[Pair], length: int | None) -> bytes:
    """The header block of an answer; `length` is its Content-Length, None for none."""
    out = [_STATUSES.get(status) or _status(status)]
    for name, value in pairs:
        start = _NAMES.get(name)
        if start is None:
            start = _name(name)
        if start:
            size = len(value)
            out += (start, _LENGTHS[size] if size < 1024 else _length(size, 7, 0), value)
    if length is not None:
        digits = b"%d" % length
        out += (_CONTENT_LENGTH, _LENGTHS[len(digits)], digits)
    return b"".join(out)

"""The header of the PROXY protocol, in which a proxy says whose connection it hands on.

Source: "The PROXY protocol", versions 1 and 2, by Willy Tarreau (HAProxy's doc/proxy-protocol.txt).
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from attrs import frozen

LONGEST_LINE: Final = 107
"""Bytes of a header of version 1 with its CRLF (section 2.1)."""
LONGEST: Final = 4096
"""Bytes of a header of version 2: room for what a proxy adds of its client's TLS, none of which is read."""

_LINE: Final = b"PROXY "
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED: Final = 16
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_ADDRESSES: Final = {0x00: 0, _TCP4: 12, 0x12: 12, _TCP6: 36, 0x22: 36, 0x31: 216, 0x32: 216}
"""Bytes of addresses by family and transport (section 2.2); datagrams and UNIX sockets are as good as unspecified here."""


@frozen
class Preamble:
    """A whole header: its `length` in bytes, and whose connection follows."""

    length: int
    source: tuple[str, int] | None
    """Address in canonical form, mapped IPv4 unwrapped, and port; None where the proxy speaks for itself or cannot say."""


def preamble(data: bytes) -> Preamble | None:
    """The header that `data` begins with, None while more of it must come: at most LONGEST bytes are.

    Raises ValueError, whose words hold nothing of `data`, as soon as this can be none.
    """
    if data.startswith(_LINE):
        return _version_1(data)
    if data.startswith(_SIGNATURE):
        return _version_2(data)
    if _LINE.startswith(data) or _SIGNATURE.startswith(data):
        return None
    raise ValueError("no header of the PROXY protocol")


def _version_1(data: bytes) -> Preamble | None:
    end = data.find(b"\r\n", 0, LONGEST_LINE)
    if end < 0:
        if len(data) >= LONGEST_LINE:
            raise ValueError("a PROXY line that does not end")
        return None
    _, family, *words = data[:end].split(b" ")
    if family == b"UNKNOWN":
        return Preamble(end + 2, None)
    if family not in (b"TCP4", b"TCP6") or len(words) != 4:
        raise ValueError("a malformed PROXY line")
    host, _ = (_address(word, family == b"TCP6") for word in words[:2])
    port, _ = (_port(word) for word in words[2:])
    return Preamble(end + 2, (host, port))


def _version_2(data: bytes) -> Preamble | None:
    if len(data) < _FIXED:
        return None
    command, family = data[12], data[13]
    length = _FIXED + int.from_bytes(data[14:_FIXED])
    if command not in (0x20, 0x21):
        raise ValueError("a PROXY header of an unknown version or command")
    if length > LONGEST:
        raise ValueError("a PROXY header that is too long")
    local = command == 0x20
    if not local and (family not in _ADDRESSES or length < _FIXED + _ADDRESSES[family]):
        raise ValueError("a malformed PROXY header")
    if len(data) < length:
        return None
    if local or family not in (_TCP4, _TCP6):
        return Preamble(length, None)
    if family == _TCP4:
        return Preamble(length, (str(IPv4Address(data[16:20])), int.from_bytes(data[24:26])))
    return Preamble(length, (_plain(IPv6Address(data[16:32])), int.from_bytes(data[48:50])))


def _address(word: bytes, six: bool) -> str:
    try:
        text = word.decode("ascii")
        if "%" in text:
            raise ValueError("a zone means nothing elsewhere")
        return _plain(IPv6Address(text)) if six else str(IPv4Address(text))
    except ValueError:
        raise ValueError("a PROXY line with an address that is none") from None


def _plain(address: IPv6Address) -> str:
    return str(address.ipv4_mapped or address)


def _port(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or int(word) > 65535:
        raise ValueError("a PROXY line with a port that is none")
    return int(word)

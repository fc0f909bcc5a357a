"""HTTP/2 frames (RFC 9113 4 and 6): their numbers, and the bytes of those that a server sends."""

from struct import Struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

HEAD: Final = Struct(">HBBBL")
"""A frame's nine bytes: length (16 and 8 bits), type, flags, stream."""
LARGEST: Final = 16384
"""The payload of one frame, either way: we announce no more, and larger frames would delay the other streams."""
MOST_WINDOW: Final = 2**31 - 1
DEFAULT_WINDOW: Final = 65535

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
INTERNAL_ERROR: Final = 0x2
FLOW_CONTROL_ERROR: Final = 0x3
SETTINGS_TIMEOUT: Final = 0x4
STREAM_CLOSED: Final = 0x5
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
COMPRESSION_ERROR: Final = 0x9
CONNECT_ERROR: Final = 0xA
ENHANCE_YOUR_CALM: Final = 0xB

SET_ENABLE_PUSH: Final = 0x2
SET_MAX_CONCURRENT_STREAMS: Final = 0x3
SET_INITIAL_WINDOW_SIZE: Final = 0x4
SET_MAX_FRAME_SIZE: Final = 0x5
SET_MAX_HEADER_LIST_SIZE: Final = 0x6
SET_ENABLE_CONNECT_PROTOCOL: Final = 0x8
SET_NO_RFC7540_PRIORITIES: Final = 0x9

_SETTING = Struct(">HL")


class H2Error(Exception):
    """The connection cannot go on; `code` goes into the GOAWAY (RFC 9113 5.4.1)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class StreamError(Exception):
    """One stream ends here, the others go on; `code` goes into its RST_STREAM (RFC 9113 5.4.2)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class StreamResetError(Exception):
    """The client reset the stream."""


def head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """A frame's head."""
    return HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream)


def settings(pairs: dict[int, int]) -> bytes:
    body = b"".join(_SETTING.pack(name, value) for name, value in pairs.items())
    return head(len(body), SETTINGS, 0, 0) + body


def read_settings(body: bytes) -> list[tuple[int, int]]:
    """The settings in a SETTINGS payload, in order, each judged by RFC 9113 6.5.2. Raises H2Error."""
    if len(body) % 6:
        raise H2Error(FRAME_SIZE_ERROR, "a SETTINGS frame is not a list of settings")
    pairs: list[tuple[int, int]] = list(_SETTING.iter_unpack(body))
    for name, value in pairs:
        if name == SET_INITIAL_WINDOW_SIZE and value > MOST_WINDOW:
            raise H2Error(FLOW_CONTROL_ERROR, "the initial window is too large")
        if name == SET_MAX_FRAME_SIZE and not LARGEST <= value < 2**24:
            raise H2Error(PROTOCOL_ERROR, "the largest frame is out of bounds")
        if value > 1 and name in (SET_ENABLE_PUSH, SET_ENABLE_CONNECT_PROTOCOL, SET_NO_RFC7540_PRIORITIES):
            raise H2Error(PROTOCOL_ERROR, "a setting that is a switch is neither 0 nor 1")
    return pairs


SETTINGS_ACK: Final = head(0, SETTINGS, ACK, 0)


def window_update(stream: int, size: int) -> bytes:
    return head(4, WINDOW_UPDATE, 0, stream) + size.to_bytes(4, "big")


def rst_stream(stream: int, code: int) -> bytes:
    return head(4, RST_STREAM, 0, stream) + code.to_bytes(4, "big")


def ping_ack(body: bytes) -> bytes:
    return head(8, PING, ACK, 0) + body


def goaway(last: int, code: int) -> bytes:
    return head(8, GOAWAY, 0, 0) + last.to_bytes(4, "big") + code.to_bytes(4, "big")


def header_frames(stream: int, block: bytes, ended: bool) -> bytes:
    """A header block as HEADERS and, where it is large, CONTINUATION frames."""
    flags = END_STREAM if ended else 0
    if len(block) <= LARGEST:
        return head(len(block), HEADERS, flags | END_HEADERS, stream) + block
    out = [head(LARGEST, HEADERS, flags, stream), block[:LARGEST]]
    for at in range(LARGEST, len(block), LARGEST):
        part = block[at : at + LARGEST]
        last = END_HEADERS if at + LARGEST >= len(block) else 0
        out += (head(len(part), CONTINUATION, last, stream), part)
    return b"".join(out)


def unpadded(flags: int, payload: bytes) -> bytes:
    """A payload without its padding. Raises H2Error."""
    if not flags & PADDED:
        return payload
    if not payload:
        raise H2Error(FRAME_SIZE_ERROR, "a padded frame has no room for its padding")
    padding = payload[0]
    if padding >= len(payload):
        raise H2Error(PROTOCOL_ERROR, "a frame's padding is longer than the frame")
    return payload[1 : len(payload) - padding]

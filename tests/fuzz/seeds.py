"""Where fuzzing begins: the corpus of requests, answers in the same spirit, and what earlier runs found worth keeping."""

from pathlib import Path

from tests.fuzz.frames import pieces
from tests.hostile.corpus import cases, filled
from tests.hostile.test_bypass import FORGED, PULLS, SECRETS
from tests.hostile.test_endings import BROKEN_CHUNKS, CHUNKED, LENGTH, MALFORMED

CORPUS = Path(__file__).parent / "corpus"

PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b";", b",", b"/", b"?", b"#", b"%", b"_", b"-", b"+", b"0x", b"5",
    b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n",
    b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Host: x\r\n", b"Expect: 100-continue\r\n", b"X: y\r\n", b" z\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"5;a=b\r\nhello\r\n",
    b'5;a="b\\"c"\r\nhello\r\n', b"HTTP/1.0", b"HTTP/1.1", b"GET ", b"POST ", b"\x7f", b"\x80", b"\xff", b"a" * 300,
]  # fmt: skip
"""What messages are made of, and what has broken parsers before."""


def requests() -> list[bytes]:
    return [filled(case, "key") for case in cases()]


def answers() -> list[bytes]:
    return [LENGTH, CHUNKED, *MALFORMED.values(), *(_chunked(chunks) for chunks in BROKEN_CHUNKS.values())]


def _chunked(chunks: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks


def chunks() -> list[bytes]:
    bodies = [data.partition(b"\r\n\r\n")[2] for data in requests() if b"chunked" in data]
    return [*bodies, *BROKEN_CHUNKS.values()]


def paths() -> list[bytes]:
    targets = [case.data.split(b" ", 2)[1] for case in cases() if case.group == "target"]
    return [path.lstrip(b"/") for path in (*(path.encode("latin-1") for path in PULLS), *targets)]


def fields() -> list[bytes]:
    connection = [b"Connection: X-Y, Host\nX-Y: 1\nHost: h", b"X-Aigate-User: x\nx_aigate_user: y"]
    return [f"{name}: x".encode() for name in (*SECRETS, *FORGED)] + connection


def frames() -> list[bytes]:
    good = pieces()
    return [*good, b"".join(good[:14]), b"".join(good[4:24])]


def kept(target: str) -> list[bytes]:
    """What earlier runs found, by target."""
    return [file.read_bytes() for file in sorted((CORPUS / target).glob("*"))]

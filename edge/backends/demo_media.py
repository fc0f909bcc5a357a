"""What the demo plays and draws: a beep and a picture, made of nothing but numbers."""

import math
import struct
import wave
import zlib
from io import BytesIO
from typing import Final

RATE: Final = 16000
SIDES: Final = (16, 512)
"""The least and the most pixels of a side; what is asked beyond is cut to it."""


def beep(seconds: float = 0.4, hertz: float = 660.0) -> bytes:
    """A WAV file: one soft tone, mono, 16 bit, RATE samples a second."""
    count = int(RATE * seconds)
    samples = (
        int(12000 * math.sin(2 * math.pi * hertz * i / RATE) * math.sin(math.pi * i / count)) for i in range(count)
    )
    out = BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return out.getvalue()


def picture(width: int, height: int, seed: str = "") -> bytes:
    """A PNG file: a disc before a sky whose colours follow from `seed`; sides in pixels, cut to SIDES."""
    width, height = (max(SIDES[0], min(SIDES[1], side)) for side in (width, height))
    tint = zlib.crc32(seed.encode("utf-8", "replace"))
    sky, disc = [bytes([tint >> shift & 127 | bright for shift in (0, 8, 16)]) for bright in (0, 128)]
    radius = min(width, height) / 3
    rows = bytearray()
    for y in range(height):
        across = radius**2 - (y - height / 2) ** 2
        half = int(math.sqrt(across)) if across > 0 else 0
        left = width // 2 - half
        shade = bytes(channel * (height + y) // (2 * height) for channel in sky)
        # Each row begins with its filter, 0 for none (PNG, section 9.2).
        rows += b"\0" + shade * left + disc * (2 * half) + shade * (width - left - 2 * half)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )

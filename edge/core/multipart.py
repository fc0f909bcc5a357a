"""multipart/form-data (RFC 7578), read so strictly that no other reader can see other parts in it."""

import re
from itertools import pairwise
from typing import Final

from attrs import frozen

MOST_PARTS: Final = 200
LONGEST_HEAD: Final = 8192

_BOUNDARY: Final = re.compile(
    rb'multipart/form-data[ \t]*;[ \t]*boundary=(?:"([0-9A-Za-z\'()+_,./:=?-]{1,70})"|([0-9A-Za-z\'+_.-]{1,70}))[ \t]*',
    re.IGNORECASE,
)
"""Without quotes only what a token may hold (RFC 9110 5.6.6): readers end it at anything else, or do not."""
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_DISPOSITION: Final = re.compile(
    rb'form-data[ \t]*;[ \t]*name="([^"\\]*)"(?:[ \t]*;[ \t]*filename="([^"\\]*)")?(?:[ \t]*;[ \t]*filename\*=[^;]*)?[ \t]*',
    re.IGNORECASE,
)

_ODD_TYPE: Final = re.compile(rb"multipart/|.*charset", re.IGNORECASE | re.DOTALL)
"""A part of parts, or in a character set: another reading, unless it says no more than _UTF8."""
_UTF8: Final = re.compile(rb'[a-z0-9.+/-]+[ \t]*;[ \t]*charset="?utf-8"?[ \t]*', re.IGNORECASE)


class MultipartError(Exception):
    """A body that two readers could read differently; the text is fit for the client."""


@frozen
class Part:
    """One part: `name` of the field, whether it is a file, and its bytes, not copied."""

    name: str
    is_file: bool
    content: memoryview


def parts(body: bytes, content_type: bytes) -> list[Part]:
    """The parts of a body. Raises MultipartError for whatever is not plain.

    Wherever the delimiter's bytes occur it must be a delimiter: after CR LF (or at the very start), before CR LF, and
    only the last one before `--`. No preamble, no epilogue, no folded or repeated part header, no transfer encoding.
    """
    match = _BOUNDARY.fullmatch(content_type.strip())
    if match is None:
        raise MultipartError("its boundary is missing or odd")
    delimiter = b"--" + (match[1] or match[2])
    starts = _delimiters(body, delimiter)
    found = []
    whole = memoryview(body)
    for begin, end in pairwise(starts):
        # From after the delimiter's own CR LF to before the next one's.
        first, last = begin + len(delimiter) + 2, end - 2
        head_end = body.find(b"\r\n\r\n", first, min(last, first + LONGEST_HEAD))
        if head_end < 0:
            raise MultipartError("a part has no head, or one that is too long")
        name, is_file = _name(body[first:head_end])
        found.append(Part(name, is_file, whole[head_end + 4 : last]))
    return found


def _delimiters(body: bytes, delimiter: bytes) -> list[int]:
    size, starts, at = len(delimiter), [], 0
    if not body.startswith(delimiter):
        raise MultipartError("it does not begin with its boundary")
    while (at := body.find(delimiter, at)) >= 0:
        if at and body[at - 2 : at] != b"\r\n":
            raise MultipartError("its boundary stands inside a part")
        starts.append(at)
        at += size
        after = body[at : at + 2]
        if after == b"--":
            if body[at + 2 :] not in (b"", b"\r\n"):
                raise MultipartError("something follows its end")
            return starts
        if after != b"\r\n":
            raise MultipartError("its boundary stands inside a part")
        if len(starts) > MOST_PARTS:
            raise MultipartError(f"it has more than {MOST_PARTS} parts")
    raise MultipartError("its end is missing")


def _name(head: bytes) -> tuple[str, bool]:
    seen: set[bytes] = set()
    name: bytes | None = None
    is_file = False
    for line in head.split(b"\r\n"):
        match = _FIELD.fullmatch(line)
        if match is None:
            raise MultipartError("a part's head is malformed")
        field, value = match[1].lower(), match[2]
        if field in seen:
            raise MultipartError("a part's head names a field twice")
        seen.add(field)
        if field == b"content-disposition":
            said = _DISPOSITION.fullmatch(value)
            if said is None:
                raise MultipartError("a part's name is missing or odd")
            name, is_file = said[1], b"filename" in value[said.end(1) :].lower()
        elif field == b"content-transfer-encoding" and value.strip().lower() not in (b"binary", b"8bit", b"7bit"):
            raise MultipartError("a part has a transfer encoding")
        elif field == b"content-type" and _ODD_TYPE.match(value) and not _UTF8.fullmatch(value):
            raise MultipartError("a part's content type is not plain")
    if name is None:
        raise MultipartError("a part has no name")
    try:
        told = name.decode("utf-8")
    except UnicodeDecodeError:
        raise MultipartError("a part's name is not in UTF-8") from None
    if told == "_charset_" or "%" in told or not told.isprintable():
        raise MultipartError("a part's name is odd")
    return told, is_file

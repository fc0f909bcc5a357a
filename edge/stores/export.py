"""The export `keys.runtime.jsonl`: what the gate reads. A header line, then one key a line: digest and rules only.

The form of a line is fixed to the byte, so that an index over 100,000 of them is made without parsing JSON, and a line is
parsed when its key is first used.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from edge.core.keyrules import to_key
from edge.core.keys import Key
from edge.errors import StoreError
from edge.files import keep_owner, sync_folder

FILE: Final = "keys.runtime.jsonl"
VERSION: Final = 1
HEAD: Final = 4096
"""The most bytes of the first line."""
LARGEST: Final = 2**30
"""Bytes of an export beyond which it is not read: about four million keys."""
CHUNK: Final = 1000
_NAME: Final = "aigate keys"
_EMPTY_SUM: Final = "0" * 64
LINE: Final = re.compile(
    rb'\{"digest":"([0-9a-f]{64})","pepper":(\d{1,9}),"id":"([0-9a-f]{8})","rules":(\{[^\n]*\})\}\n'
)


@frozen
class Header:
    """The first line: what follows and how to know that it is whole."""

    generation: int
    count: int
    peppers: Mapping[int, str]
    """Number → fingerprint of the peppers that the digests were made with."""
    sum: str
    """SHA-256 of all that follows the header line, in hex."""

    def line(self) -> bytes:
        said = {
            "format": _NAME,
            "version": VERSION,
            "generation": self.generation,
            "count": self.count,
            "peppers": {str(number): mark for number, mark in self.peppers.items()},
            "sha256": self.sum,
        }
        return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def line(digest: bytes, pepper: int, key_id: str, rules: str) -> bytes:
    """One key's line; `rules` is JSON in ASCII."""
    return b'{"digest":"%s","pepper":%d,"id":"%s","rules":%s}\n' % (
        digest.hex().encode(), pepper, key_id.encode(), rules.encode("ascii"),
    )  # fmt: skip


def prepare(folder: Path, generation: int, peppers: Mapping[int, str], lines: Iterable[bytes]) -> Callable[[], None]:
    """Write a new export beside the old one, down to the disk; the function that is returned puts it in its place.

    Raises OSError and leaves nothing behind where the disk is full or the folder cannot be written. Whoever calls holds
    the folder's lock for writers, so what a killed one left lying is cleared away.
    """
    for stale in folder.glob(f".{FILE}.*.new"):
        stale.unlink(missing_ok=True)
    fresh = folder / f".{FILE}.{generation}.new"
    sum_, count = sha256(), 0
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            # The lines wait in memory (20 MB at 100,000 keys), since the header before them holds their sum.
            body, written = bytearray(), []
            for text in lines:
                body += text
                count += 1
                if count % CHUNK == 0:
                    sum_.update(body)
                    written.append(bytes(body))
                    body.clear()
            sum_.update(body)
            written.append(bytes(body))
            file.write(Header(generation, count, peppers, sum_.hexdigest()).line())
            for chunk in written:
                file.write(chunk)
            file.flush()
            os.fsync(handle)
        keep_owner(fresh)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise

    def place() -> None:
        try:
            fresh.replace(folder / FILE)
        except OSError:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
        sync_folder(folder)

    return place


def read_header(data: bytes) -> tuple[Header, int]:
    """The header and where the keys begin. Raises StoreError."""
    end = data.find(b"\n", 0, HEAD)
    try:
        said: Any = json.loads(data[: max(end, 0)])
        if said["format"] != _NAME or said["version"] != VERSION:
            raise StoreError(
                f"{FILE}: format {said['format']!r}, version {said['version']!r} is not known to this aigate"
            )
        peppers = {int(number): str(mark) for number, mark in said["peppers"].items()}
        return Header(int(said["generation"]), int(said["count"]), peppers, str(said["sha256"])), end + 1
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StoreError(f"{FILE}: its first line is broken") from error


def generation(path: Path) -> int:
    """The generation of the export at `path` by its first line alone, 0 where there is no export. Raises StoreError."""
    try:
        with path.open("rb") as file:
            return read_header(file.read(HEAD))[0].generation
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error


def read(path: Path) -> tuple[Header, bytes, int]:
    """An export that is whole: header, all its bytes, and where the keys begin. Raises StoreError for any other."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise StoreError(f"{path}: is larger than {LARGEST} bytes")
            data = file.read(size)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    header, start = read_header(data)
    if sha256(memoryview(data)[start:]).hexdigest() != header.sum:
        raise StoreError(f"{path}: is damaged or cut short: its checksum does not hold")
    return header, data, start


def entries(data: bytes, start: int) -> Iterator[tuple[int, bytes, int, bytes, int]]:
    """(offset, digest, pepper, id, end) of every line. Raises StoreError where a line has not its form."""
    match_at, end = LINE.match, len(data)
    while start < end:
        match = match_at(data, start)
        if match is None:
            raise StoreError(f"{FILE}: a line has not its form")
        digest, pepper, key_id, _ = match.groups()
        yield start, bytes.fromhex(digest.decode()), int(pepper), key_id, match.end()
        start = match.end()


def parse(data: bytes, offset: int) -> Key:
    """The key whose line begins at `offset`. Raises StoreError: a line that cannot be understood lets nobody in."""
    match = LINE.match(data, offset)
    try:
        if match is None:
            raise ValueError("it has not its form")
        rules: Any = json.loads(match[4])
        return to_key(match[3].decode(), rules)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{FILE}: the line of a key cannot be understood: {error}") from error

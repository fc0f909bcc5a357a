"""The pepper: what digests of keys are made with, in a file of its own, numbered so that it can be changed.

One line for each pepper, its number and 64 hex digits; two are live at most, the one with the higher number is new keys'.
A systemd credential named `pepper` is read in place of the file.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from secrets import token_bytes
from typing import Final

from attrs import field, frozen

from edge.core.digests import PEPPER_BYTES, Digest, digester, fingerprint
from edge.errors import StoreError
from edge.files import write_atomically

FILE: Final = "pepper"
LIVE: Final = 2
"""The most peppers that are live at once: each one costs every request a digest."""
HIGHEST: Final = 999_999_999
"""The highest number of a pepper."""
_LINE = re.compile(r"([1-9]\d{0,8}) ([0-9a-f]{64})")
_HEAD = "# Without this file no key of this gate works: keep it with every backup of keys.sqlite, and from everybody.\n"


@frozen
class Peppers:
    """The live peppers by number."""

    path: Path
    values: Mapping[int, bytes] = field(repr=False)
    credential: bool = False

    @property
    def current(self) -> int:
        """The number of the pepper that new keys are digested with."""
        return max(self.values)

    def digests(self) -> tuple[tuple[int, Digest], ...]:
        """(number, digest function), the current one first."""
        return tuple((number, digester(self.values[number])) for number in sorted(self.values, reverse=True))

    def fingerprints(self) -> dict[int, str]:
        return {number: fingerprint(value) for number, value in self.values.items()}

    def with_new(self, number: int) -> "Peppers":
        """These and a fresh one."""
        return Peppers(self.path, {**self.values, number: token_bytes(PEPPER_BYTES)}, self.credential)

    def without(self, number: int) -> "Peppers":
        return Peppers(self.path, {n: value for n, value in self.values.items() if n != number}, self.credential)

    def write(self) -> None:
        """Write the file (0600). Raises StoreError: for a credential too, which only its owner can change."""
        if self.credential:
            raise StoreError(f"{self.path}: the pepper is a systemd credential; change it where the unit takes it from")
        lines = (f"{number} {value.hex()}\n" for number, value in sorted(self.values.items()))
        try:
            write_atomically(self.path, (_HEAD + "".join(lines)).encode())
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be written: {error.strerror}") from error


def locate(folder: Path, environ: Mapping[str, str]) -> tuple[Path, bool]:
    """Where the pepper is read from, and whether that is a systemd credential."""
    if (given := environ.get("CREDENTIALS_DIRECTORY")) and (path := Path(given) / FILE).exists():
        return path, True
    return folder / FILE, False


def read_peppers(folder: Path, environ: Mapping[str, str]) -> Peppers | None:
    """The peppers of a data folder, None where there is no file.

    Raises StoreError for a file that others may read, or that cannot be read as peppers.
    """
    path, credential = locate(folder, environ)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            # systemd gives credentials their own mode and access list.
            if not credential and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise StoreError(f"{path}: the pepper is open to others; `chmod 600 {path}`")
            text = file.read(4096).decode("ascii")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path}: the pepper cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # Without its cause, which would quote the bytes.
        raise StoreError(f"{path}: this is no pepper file") from None
    values: dict[int, bytes] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or int(match[1]) in values:
            raise StoreError(f"{path}: a line is no pepper; each is a number and 64 hex digits")
        values[int(match[1])] = bytes.fromhex(match[2])
    if not 1 <= len(values) <= LIVE:
        raise StoreError(f"{path}: holds {len(values)} peppers; one or {LIVE} can be live")
    return Peppers(path, values, credential)

"""Certificates that lie in a folder as PEM files, as certbot, acme.sh and people put them there."""

import datetime
import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import define, field, frozen
from twisted.logger import Logger

from edge.errors import TLSError
from edge.tls.contexts import server_context
from edge.tls.identity import LARGEST_FILE, Identity, identity

MOST_CERTIFICATES: Final = 200
"""Certificates read from one folder; each is a context of about 100 KiB."""

log = Logger()

Signature = tuple[int, int, int, int, int]


@frozen
class Files:
    """Where one certificate lies: `label` for messages and as its name when it says none; chain and key may be one file."""

    label: str
    chain: Path
    key: Path


@define
class _Held:
    """What is known of one certificate: how its files looked, what they held, what came of it, what was said of it."""

    looks: tuple[Signature, ...] = ()
    digest: bytes = b""
    identity: Identity | None = None
    said: str = ""
    doubted: bytes = b""
    """The digest of what did not fit once, beside an identity that does: perhaps half of a change."""
    missed: bool = False
    """Whether its chain was not there at the last look: perhaps the middle of a change."""


@define
class Directory:
    """The identities of one folder. `refresh` reads what changed; a file that broke leaves the identity that it gave before.

    What was loaded, and what is wrong with which file, is logged once per cause.
    """

    folder: Path
    failures: int = field(init=False, default=0)
    """How often something could not be read, once for each cause."""
    _held: dict[str, _Held] = field(init=False, factory=dict)
    _said: str = field(init=False, default="")

    @property
    def identities(self) -> tuple[Identity, ...]:
        """What can be shown at present, by label."""
        return tuple(each.identity for _, each in sorted(self._held.items()) if each.identity is not None)

    def refresh(self, now: float) -> bool:
        """Read what changed since the last time; whether `identities` did. `now` in Unix seconds, to warn of what has ended."""
        try:
            found = {files.label: files for files in find(self.folder)}
        except OSError as error:
            self._say_once(f"{self.folder}: this folder of certificates cannot be read: {error.strerror}")
            return False
        self._say_once("")
        before = self.identities
        for label in self._held.keys() - found.keys():
            if self._held[label].missed:
                log.warn("{folder}: the certificate {label} is gone", folder=self.folder, label=label)
                del self._held[label]
            else:
                self._held[label].missed = True
        for files in found.values():
            held = self._held.setdefault(files.label, _Held())
            held.missed = False
            self._read(files, held, now)
        return self.identities != before

    def _read(self, files: Files, held: _Held, now: float) -> None:
        try:
            looks = tuple(_looks(path) for path in (files.chain, files.key))
            if looks == held.looks:
                return
            chain, key = _text(files.chain), _text(files.key)
            held.looks, digest = looks, hashlib.sha256(chain + b"\0" + key).digest()
            if digest == held.digest:
                held.said = ""
                return
            fresh = identity(files.label, chain, key, str(files.chain))
            server_context(fresh)  # what OpenSSL refuses must not stop the others from being shown
        except OSError as error:
            held.looks = ()  # a file that comes back with its old looks must be read again
            self._fail(held, f"{error.filename}: cannot be read: {error.strerror}")
        except TLSError as error:
            if held.identity is not None and held.doubted != digest:
                held.doubted, held.looks = digest, ()  # perhaps half of a change: what is as bad next time is said
            else:
                self._fail(held, str(error))
        else:
            held.identity, held.digest, held.said = fresh, digest, ""
            log.info(
                "{file}: serves {names} until {day}",
                file=files.chain,
                names=", ".join(fresh.names[:10]),
                day=day(fresh.not_after),
            )
            if fresh.not_after <= now:
                log.error(
                    "{file}: THIS CERTIFICATE ENDED on {day}; clients refuse it until it is renewed",
                    file=files.chain,
                    day=day(fresh.not_after),
                )
            if looks[1][4] & (stat.S_IRWXO | stat.S_IWGRP):
                log.warn(
                    "{file}: others on this machine may read this private key; run: chmod 600 {file}", file=files.key
                )

    def _fail(self, held: _Held, line: str) -> None:
        if line != held.said:
            held.said = line
            self.failures += 1
            log.error("{line}", line=line + ("; the one read before stays in use" if held.identity else ""))

    def _say_once(self, line: str) -> None:
        if line and line != self._said:
            self.failures += 1
            log.error("{line}", line=line)
        self._said = line


def find(folder: Path) -> Iterator[Files]:
    """The certificates in `folder`: `NAME.pem`, `NAME.crt` + `NAME.key`, `NAME/fullchain.pem` + `NAME/privkey.pem`, in this order.

    Of two forms with one NAME the last one found counts. Raises OSError where the folder cannot be read.
    """
    entries = sorted(each for each in folder.iterdir() if not each.name.startswith("."))[: MOST_CERTIFICATES * 3]
    for path in entries:
        if path.suffix == ".pem":
            yield Files(path.stem, path, path)
    for path in entries:
        if path.suffix == ".crt":
            yield Files(path.stem, path, path.with_suffix(".key"))
    for path in entries:
        if _holds_chain(path):
            yield Files(path.name, path / "fullchain.pem", path / "privkey.pem")


def _holds_chain(folder: Path) -> bool:
    try:
        return (folder / "fullchain.pem").exists()
    except PermissionError:
        return True  # reading it will name the folder that is closed to us


def _looks(path: Path) -> Signature:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns, status.st_mode


def _text(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_FILE)


def day(moment: float) -> str:
    """The date of `moment` (Unix seconds) in UTC: `2026-05-01`."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).date().isoformat()

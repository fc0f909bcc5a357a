"""The certificates of a running gate: made or read at the start, kept fresh while it runs."""

import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal

from attrs import define, field, frozen
from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from edge.core.expiry import DAY
from edge.errors import TLSError
from edge.tls.authority import LocalAuthority, open_authority
from edge.tls.contexts import PROTOCOLS, Contexts, Shown, contexts, shown, wildcard
from edge.tls.directory import Directory, day
from edge.tls.host import Address, host_addresses, host_names, is_host_name
from edge.tls.identity import Identity
from edge.tls.local import local_identity

Host = tuple[Sequence[str], Sequence[Address]]
"""A host's names, its own one first, and its addresses."""

log = Logger()

FILES_POLL: Final = 5.0
HOST_POLL: Final = 60.0
"""Seconds between two looks at the folder of certificates, and at this host's names and addresses."""
ROTATION: Final = DAY
SOON: Final = 7 * DAY
"""A certificate from a file that ends within this is spoken of once a day."""


@frozen
class CertificateStatus:
    """One certificate in use: its label, its end in Unix seconds, and the file that it is from."""

    name: str
    not_after: float
    source: str


@define(eq=False)
class CertificateService(Service):
    """Keeps `contexts` fresh: reads changed files, renews the local leaf, throws ticket keys away once a day.

    `clock` drives the looks, `now` gives wall time in Unix seconds: certificates end by the calendar.
    """

    clock: IReactorTime
    now: Callable[[], float]
    authority: LocalAuthority
    local: "LocalLeaf"
    directory: Directory | None
    names: tuple[str, ...]
    """The names that the files serve; none for all that they are valid for."""
    contexts: Contexts
    reloads: int = field(init=False, default=0)
    """How often other certificates came into use since the start."""
    _failures: int = field(init=False, default=0)
    _loops: list[LoopingCall] = field(init=False, factory=list)
    _uncovered: frozenset[str] = field(init=False, default=frozenset())

    def startService(self) -> None:
        """Begin to look; the contexts are complete before."""
        super().startService()  # type: ignore[no-untyped-call]
        jobs = [(self._look_at_host, HOST_POLL), (self._each_day, ROTATION)]
        if self.directory is not None:
            jobs.append((self._look_at_files, FILES_POLL))
            self._say_uncovered()
        for job, seconds in jobs:
            loop = LoopingCall(self._safely, job)
            loop.clock = self.clock
            loop.start(seconds, now=False)
            self._loops.append(loop)

    def stopService(self) -> None:
        """Stop looking; connections keep what they have."""
        super().stopService()  # type: ignore[no-untyped-call]
        while self._loops:
            self._loops.pop().stop()

    def status(self) -> tuple[CertificateStatus, ...]:
        """The certificates in use, the local one first."""
        showing = self.contexts.shown
        each = {id(one): one for one in (showing.default, *showing.by_name.values())}
        return tuple(CertificateStatus(one.label, one.not_after, one.source) for one in each.values())

    @property
    def failures(self) -> int:
        """How often a look for other certificates failed, or found what cannot be used."""
        return self._failures + (self.directory.failures if self.directory is not None else 0)

    def _safely(self, job: Callable[[], None]) -> None:
        """A failure leaves what is in use as it is and is said; the next look may do better."""
        try:
            job()
        except TLSError as error:
            self._failures += 1
            log.error("{error}; the certificate in use stays", error=error)
        except Exception:
            self._failures += 1
            log.failure("looking after the certificates failed; those in use stay")

    def _look_at_host(self) -> None:
        fresh, why = self.local.identity(self.authority, self.now())
        if why:
            self._show(fresh)

    def _look_at_files(self) -> None:
        if self.directory is not None:
            self.directory.refresh(self.now())
            # Asked each time: what was read long ago begins and ends by the calendar.
            self._show(self.contexts.shown.default)

    def _show(self, default: Identity) -> None:
        found = self.directory.identities if self.directory is not None else ()
        fresh = table(default, found, self.names, self.now())
        if fresh != self.contexts.shown:
            self.contexts.replace(fresh)
            self.reloads += 1
            self._say_uncovered()

    def _say_uncovered(self) -> None:
        uncovered = frozenset(self.names) - self.contexts.shown.by_name.keys()
        for name in sorted(uncovered - self._uncovered):
            log.warn("{name}: no file holds a certificate for this name; it gets the local CA's", name=name)
        self._uncovered = uncovered

    def _each_day(self) -> None:
        self.contexts.rotate()
        now = self.now()
        for each in {id(one): one for one in self.contexts.shown.by_name.values()}.values():
            if each.not_after - now < SOON:
                verb = "ends" if each.not_after > now else "ENDED"
                log.warn(
                    "{file}: this certificate {verb} on {day}", file=each.source, verb=verb, day=day(each.not_after)
                )


@define(eq=False)
class LocalLeaf:
    """The leaf that the local CA signs for this host and for the configured `names` and `addresses`, in `file`."""

    file: Path
    names: tuple[str, ...]
    addresses: tuple[Address, ...]
    host: Callable[[], Host]
    _left_out: frozenset[str] = field(init=False, default=frozenset())

    def wanted(self) -> Host:
        """All names and addresses that it should be valid for."""
        names, addresses = self.host()
        return tuple(dict.fromkeys((*names, *self.names))), tuple(dict.fromkeys((*addresses, *self.addresses)))

    def identity(self, authority: LocalAuthority, now: float) -> tuple[Identity, str]:
        """The Identity at `now`, and why it is a new one, "" where it is not. Raises TLSError."""
        names, addresses = self.wanted()
        left_out = {name for name in names if not authority.may_name(name)}
        left_out |= {str(address) for address in addresses if not authority.may_sign(address)}
        for each in sorted(left_out - self._left_out):
            log.warn("{each}: left out of this host's certificate, since the local CA may not sign it", each=each)
        self._left_out = frozenset(left_out)
        fresh, why = local_identity(authority, self.file, names, addresses, now)
        if why:
            log.info("a new certificate for this host until {day}: {why}", day=day(fresh.not_after), why=why)
        return fresh, why


def this_host() -> Host:
    """The names and addresses of the machine that we run on."""
    return host_names(), host_addresses()


def certificates(
    clock: IReactorTime,
    data: Path,
    *,
    certificate: Literal["local", "files"] = "local",
    names: Sequence[str] = (),
    certs_dir: Path | None = None,
    protocols: Sequence[bytes] = PROTOCOLS,
    minimum: str = "1.2",
    now: Callable[[], float] = time.time,
    host: Callable[[], Host] = this_host,
) -> CertificateService:
    """A service whose `contexts` are ready: the CA and the leaf are made in `data` where they are missing, files are read.

    Meant for makeService: raises TLSError with a line for the operator, before anything listens. With "files" the
    `names` are looked for in `certs_dir`, with "local" our own CA signs them, addresses among them too.
    """
    files = certificate == "files"
    plain, addressed = _sorted_out(names)
    leaf = LocalLeaf(data / "tls" / "local.pem", *(((), ()) if files else (plain, addressed)), host)
    wanted, addresses = leaf.wanted()
    authority = open_authority(data / "ca", leaf.file, wanted, addresses, now())
    default, _ = leaf.identity(authority, now())
    directory = Directory(certs_dir) if files and certs_dir else None
    if directory is not None:
        directory.refresh(now())
    served = plain if files else ()
    found = directory.identities if directory is not None else ()
    made = contexts(table(default, found, served, now()), protocols, minimum)
    return CertificateService(clock, now, authority, leaf, directory, served, made)


def _sorted_out(written: Sequence[str]) -> tuple[tuple[str, ...], tuple[Address, ...]]:
    """Names in the form that certificates use, and the addresses among them. Raises TLSError for what is neither."""
    names: list[str] = []
    addresses: list[Address] = []
    for text in written:
        try:
            addresses.append(ip_address(text))
            continue
        except ValueError:
            pass  # most are names, which are judged next
        try:
            name = text.strip().rstrip(".").encode("idna").decode("ascii").lower()
        except UnicodeError:
            name = ""
        if not is_host_name(name.removeprefix("*.")):
            raise TLSError(f"{text!r} is not a host name that a certificate can carry")
        names.append(name)
    return tuple(dict.fromkeys(names)), tuple(addresses)


def table(default: Identity, found: Sequence[Identity], names: Sequence[str], now: float) -> Shown:
    """Which name gets which of `found` at `now`: the configured `names`, or all that they are valid for where none is."""
    if not names:
        return shown(default, ((name, each) for each in found for name in each.names), now)
    return shown(default, ((name, each) for name in names for each in found if covers(each, name)), now)


def covers(each: Identity, name: str) -> bool:
    """Whether `each` is valid for the DNS `name` (lower case), itself or by a wildcard."""
    return name in each.names or wildcard(name) in each.names

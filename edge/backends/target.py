"""Where requests go: a service's address, read once when the configuration is."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import evolve, field, frozen
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates

from edge.core.value import value

Creator = Callable[[str, Path | None], IOpenSSLClientConnectionCreator]
"""From a host's name or address, and a file of the CAs that are trusted for it (None: the system's), to its TLS."""

_URL: Final = re.compile(r"(https?)://((?:\[[0-9A-Fa-f:.]{2,45}\])|[A-Za-z0-9._~-]{1,255})(?::([0-9]{1,5}))?(/[!-~]*)?")
_PORTS: Final = {"http": 80, "https": 443}
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\s*", re.DOTALL)


@frozen
class Target:
    """One upstream. Connections are shared among all that equals it."""

    scheme: str
    """http, https or unix."""
    host: str
    """A name or an address without brackets; "" for unix."""
    port: int
    path: str = ""
    """Of the socket, for unix."""
    ca_file: Path | None = None
    netloc: bytes = field(default=b"localhost", eq=False)
    """The Host field that the upstream expects."""
    base: bytes = field(default=b"", eq=False)
    """The path that the address carries, without a slash at the end: it goes before every path that is sent."""
    tls: IOpenSSLClientConnectionCreator | None = field(default=None, eq=False, repr=False)
    key: str = field(init=False, eq=False, repr=False)
    """The same text for all that are equal, which is found in a dict faster than they are."""

    @key.default
    def _key(self) -> str:
        return repr((self.scheme, self.host, self.port, self.path, self.ca_file))

    @property
    def name(self) -> str:
        """For people: `http://127.0.0.1:11434`."""
        return f"unix:{self.path}" if self.scheme == "unix" else f"{self.scheme}://{self.netloc.decode('ascii')}"


@value
class UpstreamURL:
    """A target and the raw path with query that it is sent, byte for byte."""

    target: Target
    raw_path: bytes


def stock_creator(host: str, ca_file: Path | None) -> IOpenSSLClientConnectionCreator:
    """TLS towards `host` as Twisted does it, verified with service-identity. Raises OSError or ValueError for `ca_file`."""
    if ca_file is None:
        return optionsForClientTLS(host, trustRoot=platformTrust())
    found = _CERTIFICATE.findall(ca_file.read_bytes())
    if not found:
        raise ValueError(f"{ca_file} holds no certificate")
    return optionsForClientTLS(host, trustRoot=trustRootFromCertificates(map(Certificate.loadPEM, found)))


def target_of(url: str, ca_file: Path | None = None, creator: Creator = stock_creator) -> Target:
    """The target that `http://host[:port][/base]`, `https://…` or `unix:/path` names. Raises ValueError, with words."""
    target = address_of(url)
    if target.scheme == "unix":
        return target
    return evolve(target, ca_file=ca_file, tls=creator(target.host, ca_file) if target.scheme == "https" else None)


def address_of(url: str) -> Target:
    """The same without its TLS, for whoever only judges an address."""
    if url.startswith("unix:"):
        path = url[5:].removeprefix("//")
        if not path.startswith("/") or "\0" in path:
            raise ValueError("a unix upstream is written unix:/path/to.sock")
        return Target("unix", "", 0, path)
    match = _URL.fullmatch(url)
    if match is None or (match[4] and set(match[4]) & set("?#")):
        raise ValueError("an upstream is written http://host:port, https://host:port or unix:/path/to.sock")
    scheme, authority, digits = match[1], match[2].lower(), match[3]
    port = int(digits) if digits else _PORTS[scheme]
    if not 0 < port < 65536:
        raise ValueError(f"{port} is no port")
    host = authority.strip("[]")
    return Target(
        scheme,
        host,
        port,
        netloc=(authority if digits is None else f"{authority}:{port}").encode("ascii"),
        base=(match[4] or "").rstrip("/").encode("ascii"),
    )

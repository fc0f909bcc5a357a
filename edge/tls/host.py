"""What this host is called and which addresses it has, without a question to the network."""

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

Address = IPv4Address | IPv6Address

MOST_ADDRESSES: Final = 64
"""Addresses that are taken from the interfaces; a host of many containers has hundreds."""
MOST_DOMAINS: Final = 6
_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")
_TEMPORARY_OR_UNUSABLE: Final = 0x01 | 0x08 | 0x20 | 0x40
"""IFA_F_TEMPORARY (a privacy address that changes daily), DADFAILED, DEPRECATED and TENTATIVE of linux/if_addr.h."""
_LINK_SCOPE: Final = 0x20


def host_names(resolv: Path = Path("/etc/resolv.conf"), hostname: str = "") -> tuple[str, ...]:
    """This host's names: its own, that with `.local` (mDNS) and with each search domain of the resolver, `localhost`.

    The search domains stand in for a fully qualified name, since asking the resolver for one can hang a start.
    """
    own = (hostname or socket.gethostname()).lower().rstrip(".")
    short = own.partition(".")[0]
    domains = ["local", *_search_domains(resolv)]
    names = [own, short, *(f"{short}.{domain}" for domain in domains), "localhost"]
    return tuple(name for name in dict.fromkeys(names) if is_host_name(name))


def is_host_name(name: str) -> bool:
    """Whether `name` can stand in a certificate: ASCII labels of letters, digits, hyphens and underscores."""
    labels = name.split(".")
    return len(name) <= 253 and all(re.fullmatch(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", label) for label in labels)


def _search_domains(resolv: Path) -> list[str]:
    try:
        lines = resolv.read_text("ascii", "replace").splitlines()
    except OSError:
        return []
    domains = [word for line in lines if line.startswith(("search ", "domain ")) for word in line.split()[1:]]
    return [domain.lower().strip(".") for domain in domains[:MOST_DOMAINS] if domain.strip(".")]


def host_addresses(proc: Path = Path("/proc/net"), sys: Path = Path("/sys/class/net")) -> tuple[Address, ...]:
    """This host's addresses, loopback included, sorted; at most MOST_ADDRESSES beside loopback.

    Link-local IPv6 addresses count on real interfaces only: each container's end of a cable has one.
    """
    found: set[Address] = set(_ipv4(proc / "fib_trie")) | set(_ipv6(proc / "if_inet6", sys))
    if not any(not address.is_loopback for address in found):
        found |= set(_routed())
    own = sorted((each for each in found if not each.is_loopback), key=lambda each: (each.version, int(each)))
    return (IPv4Address("127.0.0.1"), IPv6Address("::1"), *own[:MOST_ADDRESSES])


def _ipv4(trie: Path) -> list[Address]:
    try:
        return [IPv4Address(text) for text in _LOCAL.findall(trie.read_text("ascii"))]
    except (OSError, ValueError):
        return []


def _ipv6(table: Path, sys: Path) -> list[Address]:
    try:
        rows = [line.split() for line in table.read_text("ascii").splitlines()]
        kept = [
            IPv6Address(int(digits, 16))
            for digits, _index, _prefix, scope, flags, interface in rows
            if not int(flags, 16) & _TEMPORARY_OR_UNUSABLE
            and (int(scope, 16) != _LINK_SCOPE or (sys / interface / "device").exists())
        ]
    except (OSError, ValueError):
        return []
    return list(kept)


def _routed() -> list[Address]:
    """The addresses from which packets to the world would go; connecting UDP sends none."""
    found: list[Address] = []
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((target, 9))
                found.append(ip_address(sock.getsockname()[0].partition("%")[0]))
        except OSError:
            continue  # a host without this family has no address in it
    return found

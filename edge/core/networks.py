"""Addresses and networks: mapped IPv4 unwrapped, so that one machine has one name."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def network(text: str) -> Network:
    """The network of `192.168.1.0/24`, `2001:db8::/32` or a single address; host bits are dropped. Raises ValueError."""
    try:
        made = ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a network; write it like 192.168.1.0/24 or 2001:db8::/32") from error
    if isinstance(made, IPv6Network) and made.prefixlen >= 96 and (mapped := made.network_address.ipv4_mapped):
        return IPv4Network((mapped, made.prefixlen - 96))
    return made


@lru_cache(maxsize=4096)
def address(text: str) -> Address | None:
    """The address a text stands for, mapped IPv4 unwrapped and a zone (`%eth0`) dropped; None for "unix" and the like."""
    try:
        made = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (made.ipv4_mapped or made) if isinstance(made, IPv6Address) else made


def within(text: str, networks: Iterable[Network]) -> bool:
    """Whether an address lies in one of the networks; what is no address lies in none."""
    found = address(text)
    return found is not None and any(found.version == net.version and found in net for net in networks)


def household(text: str) -> str:
    """The name under which failures of an address are counted: an IPv6 address counts as its /64, anything else as itself."""
    found = address(text)
    if isinstance(found, IPv6Address):
        return str(IPv6Address(int(found) >> 64 << 64)) + "/64"
    return text if found is None else str(found)

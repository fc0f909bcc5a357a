"""Counts open connections: all of them, and those of one peer."""

from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network

from attrs import define, field


def peer_of(host: str) -> str:
    """Whom an address counts as: an IPv4 address itself, an IPv6 address its /64, a UNIX socket (`""`) nobody."""
    if ":" not in host:
        return host
    address = IPv6Address(host)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address) >> 64 << 64, 64)))


@define(eq=False)
class Crowd:
    """Who is here. `total` and `per_peer` are the most connections there may be, None for no limit.

    `exempt(host)` says whose connections count towards the total only. One crowd may serve several listeners.
    """

    total: int | None = None
    per_peer: int | None = None
    exempt: Callable[[str], bool] = lambda host: False
    here: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    _peers: dict[str, int] = field(factory=dict, init=False)

    def admits(self, host: str) -> bool:
        """Whether one more from `host` may come in; a no is counted in `refused`."""
        full = self.total is not None and self.here >= self.total
        if not full and self.per_peer is not None and host:
            full = self._peers.get(peer_of(host), 0) >= self.per_peer and not self.exempt(host)
        self.refused += full
        return not full

    def enter(self, host: str) -> None:
        """One more from `host` is here."""
        self.here += 1
        if host:
            peer = peer_of(host)
            self._peers[peer] = self._peers.get(peer, 0) + 1

    def leave(self, host: str) -> None:
        """One from `host` has gone; a peer with none left is forgotten."""
        self.here -= 1
        if host:
            peer = peer_of(host)
            left = self._peers[peer] - 1
            if left:
                self._peers[peer] = left
            else:
                del self._peers[peer]

    def moves(self, host: str, to: str) -> bool:
        """Whether one from `host` who turns out to be from `to` may stay; only then it counts as theirs."""
        self.leave(host)
        welcome = self.admits(to)
        self.enter(to if welcome else host)
        return welcome

    def of(self, host: str) -> int:
        """Connections open now from whom `host` counts as."""
        return self._peers.get(peer_of(host), 0)

"""When a certificate of our own must be made anew, and for how long: decisions over values and `now` (Unix seconds)."""

from typing import Final

from attrs import frozen

DAY: Final = 86400.0
LEAF_DAYS: Final = 365
"""Longest life of a leaf: Apple takes 825 days from an own CA and 398 from a public one, Mozilla's guide asks for 366."""
BACKDATE: Final = 3600.0
"""Seconds by which a certificate begins in the past, for devices whose clock is slow."""


@frozen
class Life:
    """From `begin` to `end`, Unix seconds."""

    begin: float
    end: float

    def left(self, now: float) -> float:
        """Share of the life that is still to come: 1.0 at the beginning, 0.0 or less when it is over."""
        return (self.end - now) / max(self.end - self.begin, 1.0)


@frozen
class Leaf:
    """What a leaf says of itself: its life, its names and addresses, and the key id of the CA that signed it."""

    life: Life
    names: frozenset[str]
    addresses: frozenset[str]
    issuer: bytes


def leaf_life(now: float, ca: Life) -> Life:
    """The life of a leaf made `now`, within that of its CA. Raises ValueError when the CA's own life is over."""
    if ca.end <= now:
        raise ValueError("the CA has ended")
    begin = max(now - BACKDATE, ca.begin)
    return Life(begin, min(begin + LEAF_DAYS * DAY, ca.end))


def why_renew(
    leaf: Leaf | None, names: frozenset[str], addresses: frozenset[str], issuer: bytes, ca: Life, now: float
) -> str:
    """Why the leaf must be made anew for this host's `names` and `addresses`, in words; "" while it may stay.

    `issuer` is the key id of the CA that is to sign it, `ca` that CA's life. An address that went away is no reason: a
    laptop that moves between two networks would get a leaf at every move. Nor is a clock from before the CA was made,
    which a board without a battery shows until it is set.
    """
    if leaf is None:
        return "there is none yet"
    if leaf.issuer != issuer:
        return "another CA signed it"
    if ca.begin <= now < leaf.life.begin:
        return "it begins in the future: the clock was wrong when it was made"
    if leaf.life.left(now) <= 1 / 3:
        return "it has ended" if now >= leaf.life.end else "a third of its life is left"
    if fresh := sorted(names - leaf.names) or sorted(addresses - leaf.addresses):
        return f"it lacks {', '.join(fresh[:5])}"
    if gone := sorted(leaf.names - names):
        return f"it names {', '.join(gone[:5])}, which this host has no more"
    return ""

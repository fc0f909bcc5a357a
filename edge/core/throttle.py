"""How often strangers may be written down one by one; the rest is counted, one line for an address and a minute."""

from collections.abc import Iterator
from typing import Final

from attrs import define, field

from edge.core.networks import household

MINUTE: Final = 60.0
EACH: Final = 20
"""Single lines an address gets in a minute."""
ALL: Final = 240
"""Single lines that all addresses together get in a minute."""
ADDRESSES: Final = 1000
"""Addresses that are counted by name in a minute; further ones together, under ""."""


@define
class Throttle:
    """Counts what is left out. An IPv6 address counts as its /64. Times are Unix seconds."""

    each: int = EACH
    all: int = ALL
    addresses: int = ADDRESSES
    _minute: int = field(default=0, init=False)
    _passed: int = field(default=0, init=False)
    _seen: dict[str, int] = field(factory=dict, init=False)
    _left: dict[tuple[str, str], int] = field(factory=dict, init=False)

    def passes(self, address: str, reason: str, now: float, always_count: bool = False) -> bool:
        """Whether this one gets a line of its own; where not, it is counted under address and reason.

        `always_count` is for those that never get one.
        """
        minute = int(now / MINUTE)
        if minute != self._minute:
            self._minute, self._passed = minute, 0
            self._seen.clear()
        name = household(address)
        seen = self._seen.get(name, 0)
        if not always_count and seen < self.each and self._passed < self.all:
            # What is not in the table yet may only enter while there is room.
            if seen or len(self._seen) < self.addresses:
                self._seen[name] = seen + 1
            self._passed += 1
            return True
        key = (name, reason)
        if key not in self._left and len(self._left) >= self.addresses:
            key = ("", reason)
        self._left[key] = self._left.get(key, 0) + 1
        return False

    def due(self, now: float) -> bool:
        """Whether a minute is over in which something was left out."""
        return bool(self._left) and int(now / MINUTE) != self._minute

    def counted(self) -> Iterator[tuple[str, str, int]]:
        """(address, reason, how many) of what was left out since the last call."""
        left, self._left = self._left, {}
        for (name, reason), count in left.items():
            yield name, reason, count

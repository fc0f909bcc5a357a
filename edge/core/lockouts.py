"""Bad keys from one address: slowed, then locked out for a growing time.

Only bad keys are turned away: whoever shows a valid key is let in from any address, so that a household or a tunnel
that shares one address cannot be locked out by its worst member. Times are seconds on one monotonic clock.
"""

from collections import OrderedDict
from typing import Final

from attrs import define, field

from edge.core.networks import household

SLOWED: Final = 1.0
"""The pause after a bad key, in seconds, once half of the allowed failures are used up."""
FIRST: Final = 60.0
"""The first lock-out in seconds; each further one doubles it."""
_DOUBLINGS: Final = 20


@define
class _Record:
    since: float
    seen: float
    failures: int = 0
    locks: int = 0
    until: float = 0.0


@define
class Lockouts:
    """At most `failures` bad keys `within` so many seconds; then locked for a minute, doubled each time up to `longest` seconds.

    An address that was quiet for twice its last lock-out starts afresh. Beyond `capacity` addresses the one that failed
    longest ago is forgotten; an entry takes about 400 bytes.
    """

    failures: int = 20
    within: float = 600.0
    longest: float = 3600.0
    capacity: int = 100_000
    _records: OrderedDict[str, _Record] = field(factory=OrderedDict, init=False)

    def failed(self, address: str, now: float) -> float:
        """Count a bad key from `address`. Returns the seconds for which it is turned away from now on, 0.0 for none yet.

        While it is turned away nothing more is counted, so that a client that retries blindly comes free in the end.
        """
        name = household(address)
        record = self._records.get(name)
        if record is None:
            record = self._records[name] = _Record(since=now, seen=now)
            if len(self._records) > self.capacity:
                self._records.popitem(last=False)
        elif now < record.until:
            return record.until - now
        elif now - record.seen > max(self.within, 2 * self._pause(record.locks)):
            record.failures, record.locks, record.since = 0, 0, now
        elif now - record.since > self.within:
            record.failures, record.since = 0, now
        self._records.move_to_end(name)
        record.seen = now
        record.failures += 1
        if record.failures >= self.failures:
            pause = self._pause(record.locks)
            record.locks = min(record.locks + 1, _DOUBLINGS)
            record.failures, record.since = 0, now + pause
        elif record.failures * 2 >= self.failures:
            pause = SLOWED
        else:
            return 0.0
        record.until = now + pause
        return pause

    def locked(self, address: str, now: float) -> float:
        """The seconds for which bad keys from `address` are still turned away, 0.0 for not at all."""
        record = self._records.get(household(address))
        return max(0.0, record.until - now) if record is not None else 0.0

    def _pause(self, locks: int) -> float:
        return min(FIRST * 2.0**locks, self.longest)

    def __len__(self) -> int:
        return len(self._records)

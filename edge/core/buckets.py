"""A bucket of n, refilled evenly: `n/period` in exact whole numbers.

What is kept is how much is *used*, not when the next request conforms, so that a changed limit keeps what was used.
`used` is in units times microseconds of the period: it drains by `amount` each microsecond and the bucket is full at
`amount * period`, hence nothing is ever rounded. One bucket is three numbers: O(1) state and O(1) work, as GCRA
(ITU-T I.371, Annex A), whose theoretical arrival time is `at + used / amount`.
"""

from typing import Final

State = list[int]
"""[used, at in microseconds, the amount per period that was in force then]; changed in place."""

NEVER: Final = -1
"""The wait of a cost that is larger than the whole bucket."""


def micros(seconds: float) -> int:
    """Seconds as whole microseconds, rounded down."""
    return int(seconds * 1_000_000)


def drained(state: State, amount: int, period: int, now: int) -> int:
    """What is still used at `now` (microseconds, as is the period); moves the state's `at`, and nothing else of it.

    A clock that goes back drains nothing until it has caught up. One that goes back by more than a period was set
    anew: waiting for it could take years, so the count goes on from where it stands now.
    """
    used, at, _ = state
    if now > at:
        used -= (now - at) * amount
        if used < 0:
            used = 0
        state[0] = used
        state[1] = now
    elif now < at - period:
        state[1] = now
    return used


def wait(used: int, cost: int, amount: int, period: int) -> int:
    """Microseconds until `cost` (units times period) fits: 0 for now, NEVER where the bucket is too small for it.

    A cost of nothing still needs something left: what a request will cost is not always known when it asks.
    """
    full = amount * period
    over = used + (cost or 1) - full
    if over <= 0:
        return 0
    return NEVER if cost > full else -(-over // amount)


def idle(state: State, now: int) -> bool:
    """Whether a bucket has drained by `now` (microseconds), so that forgetting it changes nothing."""
    used, at, amount = state
    return used <= (now - at) * amount

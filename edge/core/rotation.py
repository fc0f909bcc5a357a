"""Keys and their successors: who may fetch one, when, and what becomes of the old key."""

from functools import lru_cache
from typing import Final

from attrs import evolve

from edge.core.keys import Key
from edge.core.refusal import Refusal
from edge.core.times import stamp_utc

WEEK: Final = 7 * 86_400.0
"""A key's last days, in which its answers tell when it ends."""
GRACE: Final = 86_400.0
"""Seconds that an old key lives on beside its successor, unless said otherwise."""


def opens(key: Key) -> float | None:
    """From when on (Unix seconds) a key may fetch its successor: its last week, or the last half of a shorter life. None: never."""
    if key.rotate_every is None:
        return None
    return 0.0 if key.expires is None else key.expires - min(WEEK, key.rotate_every / 2)


def may_rotate(key: Key, now: float) -> Refusal | None:
    """Why a key may not fetch its successor now, None where it may. Whether it did so before, the record knows."""
    since = opens(key)
    if since is None:
        return Refusal("path-not-allowed", "This key was not made to fetch a successor.", retry=False)
    if now < since:
        return Refusal("path-not-allowed", f"This key may fetch its successor from {stamp_utc(since)} on.", retry=False)
    return None


def succession(key: Key, new_id: str, now: float, grace: float = GRACE) -> tuple[Key, Key]:
    """(the successor, the old key as it is from now on): the same rules, and the old one ends after `grace` seconds at the latest.

    A beginning that is still to come stays. The successor of a key that rotates ends after another period; any other keeps
    the end that was set. Raises ValueError for a key that is switched off or over, since its successor would not be.
    """
    if key.disabled:
        raise ValueError(f"key {key.id} is switched off; enable it first, or make another")
    begins = key.not_before if key.not_before is not None and key.not_before > now else None
    if key.rotate_every is not None:
        ends: float | None = (begins or now) + key.rotate_every
    else:
        ends = key.expires
        if ends is not None and ends <= now:
            raise ValueError(f"key {key.id} has expired; give it another end first, or make another")
    last = now + max(0.0, grace)
    old = evolve(key, expires=last if key.expires is None else min(key.expires, last))
    return evolve(key, id=new_id, expires=ends, not_before=begins), old


def ends_soon(key: Key, now: float) -> bytes:
    """The header line of answers to a key in its last seven days, `x-aigate-key-expires: 2026-12-31T17:00:00Z`; b"" before."""
    if key.expires is None or key.expires - now > WEEK:
        return b""
    return _ends(key.expires)


@lru_cache(maxsize=256)
def _ends(at: float) -> bytes:
    return b"x-aigate-key-expires: %b\r\n" % stamp_utc(at).encode()

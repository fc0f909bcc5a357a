"""Tickets: for browsers' `EventSource` and `WebSocket`, which cannot send a key. One use, one minute, one key, one service."""

from hashlib import sha256
from secrets import token_urlsafe
from typing import Final

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

LIFE: Final = 60
"""Seconds from issue to the last moment of use."""
PER_KEY: Final = 64
"""The most unused tickets of one key; a further one takes the place of the oldest."""
IN_ALL: Final = 10_000
"""The most unused tickets of all keys, about 5 MB; a further one takes the place of the oldest."""


@frozen
class _Ticket:
    key: str
    service: str
    until: float


class Tickets:
    """Unused tickets, by digest: who reads this memory learns none."""

    def __init__(self, clock: IReactorTime, per_key: int = PER_KEY, in_all: int = IN_ALL) -> None:
        self._clock = clock
        self._per_key = per_key
        self._in_all = in_all
        self._tickets: dict[bytes, _Ticket] = {}
        self._of: dict[str, dict[bytes, None]] = {}

    def issue(self, key_id: str, service: str) -> tuple[str, int]:
        """A new ticket of a key for a service, and the seconds it lasts. It is fit for a URL and for a WebSocket subprotocol."""
        self._expire()
        mine = self._of.setdefault(key_id, {})
        if len(mine) >= self._per_key:
            self._drop(next(iter(mine)))
        elif len(self._tickets) >= self._in_all:
            self._drop(next(iter(self._tickets)))
        ticket = token_urlsafe(32)
        digest = sha256(ticket.encode()).digest()
        self._tickets[digest] = _Ticket(key_id, service, self._clock.seconds() + LIFE)
        self._of.setdefault(key_id, {})[digest] = None
        return ticket, LIFE

    def redeem(self, ticket: str, service: str) -> str | None:
        """The id of the key that a ticket stands for, None where it is unknown, used, too old or for another service.

        A ticket that is shown at all is used up, at the wrong service too.
        """
        digest = sha256(ticket.encode("utf-8", "replace")).digest()
        found = self._drop(digest)
        if found is None or found.service != service or self._clock.seconds() >= found.until:
            return None
        return found.key

    def revoke(self, key_ids: frozenset[str]) -> None:
        """Forget the tickets of keys: for `IKeyStore.subscribe`."""
        for key_id in key_ids:
            for digest in list(self._of.get(key_id, ())):
                self._drop(digest)

    def __len__(self) -> int:
        return len(self._tickets)

    def _drop(self, digest: bytes) -> _Ticket | None:
        found = self._tickets.pop(digest, None)
        if found is not None:
            mine = self._of[found.key]
            del mine[digest]
            if not mine:
                del self._of[found.key]
        return found

    def _expire(self) -> None:
        now = self._clock.seconds()
        while self._tickets:
            first = next(iter(self._tickets))
            if self._tickets[first].until > now:
                break
            self._drop(first)

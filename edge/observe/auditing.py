"""What a running gate puts on the audit log: attempts to get in, within a second and never in a request's way."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Final

from attrs import define, field
from twisted.logger import Logger

from edge.core.attempts import Attempt
from edge.core.throttle import Throttle
from edge.errors import StoreError
from edge.observe.audit import AuditTrail, body, moment
from edge.observe.quoting import keep, known, quoted, scrubbed

HELD: Final = 50_000
"""Attempts that wait for the disk; about 20 MB. Further ones are lost, and the log says how many."""
_PARTS: Final = tuple(f".{part:03d}Z" for part in range(1000))
"""The end of a moment, by milliseconds."""
SIGN: Final = 5.0
"""Seconds between two signatures while lines are written."""


@define(eq=False)
class Auditing:
    """A taker of attempts; `flush` belongs to a thread of its own.

    Refused attempts get `throttle` lines for an address and a minute, and are counted beyond that; those from a
    locked-out address are counted at once.
    """

    trail: AuditTrail
    refuse_when_full: bool = False
    now: Callable[[], float] = time.time
    throttle: Throttle = field(factory=Throttle)
    lost: int = 0
    """Attempts that are on no record."""
    problem: str = ""
    log: Logger = field(factory=lambda: Logger(namespace="aigate.audit"), repr=False)
    _waiting: deque[Attempt] = field(factory=deque, init=False, repr=False)
    _pending: list[str] = field(factory=list, init=False, repr=False)
    _guard: threading.Lock = field(factory=threading.Lock, init=False, repr=False)
    _told: int = field(default=0, init=False)
    _signed: float = field(default=0.0, init=False)
    _unsigned: bool = field(default=False, init=False)

    def attempt(self, attempt: Attempt) -> None:
        """Take note of an attempt."""
        if not attempt.allowed:
            with self._guard:
                counted = attempt.reason == "locked-out"
                if not self.throttle.passes(attempt.address, attempt.reason, attempt.at, counted):
                    return
        if len(self._waiting) < HELD:
            self._waiting.append(attempt)
        else:
            self.lost += 1

    def note(self, **entry: object) -> None:
        """Put something else on record with the next lines: `what` and more."""
        self._pending.append(body(moment(self.now()), entry))

    def refuses(self) -> bool:
        """Whether nobody may be let in now: the log cannot be written, and the operator wants no request without a line."""
        return self.refuse_when_full and (bool(self.problem) or len(self._waiting) >= HELD)

    def flush(self) -> None:
        """Write what waits. Never raises."""
        waiting, pending = self._waiting, self._pending
        if len(pending) < HELD:
            pending.extend(attempt_bodies([waiting.popleft() for _ in range(len(waiting))]))
        now = self.now()
        with self._guard:
            counted = list(self.throttle.counted()) if self.throttle.due(now) else []
        for address, reason, count in counted:
            entry = {"what": "attempts", "address": address or "others", "reason": reason, "count": count}
            pending.append(body(moment(now), entry))
        if self.lost > self._told:
            pending.append(body(moment(now), {"what": "lost", "count": self.lost - self._told}))
            self._told = self.lost
        try:
            self._write(now)
        except StoreError as error:
            if not self.problem:
                self.log.error("{error}", error=error)
            self.problem = str(error)
        else:
            if self.problem:
                self.log.info("the audit log can be written again")
            self.problem = ""

    def _write(self, now: float) -> None:
        pending = self._pending
        sign = now - self._signed >= SIGN or now < self._signed
        count = len(pending)
        if count:
            self.trail.append(pending[:count], signed=sign)
            # Only what was written: a note may have come meanwhile.
            del pending[:count]
            self._unsigned = not sign
        elif sign and self._unsigned:
            self.trail.sign()
            self._unsigned = False
        else:
            return
        if sign:
            self._signed = now

    def finish(self) -> None:
        """Write what is left, with a line that says so, and sign it."""
        self.flush()
        self.note(what="stopped")
        self._signed = 0.0
        self.flush()


def attempt_bodies(attempts: Iterable[Attempt]) -> list[str]:
    """Attempts as members of JSON objects."""
    made = []
    second, text = -1, ""
    for attempt in attempts:
        at, request = attempt.at, attempt.request
        if int(at) != second:
            # The calendar is asked only once for a second.
            second = int(at)
            text = moment(second)[:-5]
        if "_" in request:
            request = scrubbed(request)
        mark = (
            "attempt", attempt.address, attempt.key, attempt.user, attempt.service, attempt.allowed, attempt.reason,
        )  # fmt: skip
        who = known.get(mark) or _who(attempt, mark)
        made.append(
            f'"at":"{text}{_PARTS[int((at - second) * 1000)]}","what":"attempt","request":{quoted(request)}{who}'
        )
    return made


def _who(attempt: Attempt, mark: Hashable) -> str:
    made = (
        f',"address":"{attempt.address}","key":{quoted(attempt.key)},"user":{quoted(attempt.user)},'
        f'"service":"{attempt.service}","allowed":{"true" if attempt.allowed else "false"},"reason":"{attempt.reason}"'
    )
    return keep(mark, 0, made)

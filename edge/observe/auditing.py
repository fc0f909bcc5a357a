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
from edge.observe.audit import AT_ONCE, AuditTrail, body, moment
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
    """Why it cannot be written or signed, "" where it can."""
    log: Logger = field(factory=lambda: Logger(namespace="aigate.audit"), repr=False)
    _waiting: deque[Attempt] = field(factory=deque, init=False, repr=False)
    _pending: list[str] = field(factory=list, init=False, repr=False)
    _guard: threading.Lock = field(factory=threading.Lock, init=False, repr=False)
    _told: int = field(default=0, init=False)
    _signed: float = field(default=0.0, init=False)
    _unsigned: bool = field(default=False, init=False)
    _stuck: bool = field(default=False, init=False)
    """Whether attempts get no line, rather than only no signature."""

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
        return self.refuse_when_full and (self._stuck or len(self._waiting) >= HELD)

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
            self._write()
        except StoreError as error:
            self._tell(str(error), stuck=True)
        else:
            self._tell(self._sign(now), stuck=False)

    def _write(self) -> None:
        pending = self._pending
        while pending:
            part = pending[:AT_ONCE]
            self.trail.append(part)
            # What was written is not written again, whatever becomes of the rest and of the signature.
            del pending[: len(part)]
            self._unsigned = True

    def _sign(self, now: float) -> str:
        """Sign from time to time what was written; why that could not be done the last time."""
        if not self._unsigned:
            return ""
        if not 0 <= now - self._signed < SIGN:
            self._signed = now
            try:
                self.trail.sign()
            except StoreError as error:
                return f"{error}; the audit log goes on without a signature"
            self._unsigned = False
            return ""
        return "" if self._stuck else self.problem

    def _tell(self, problem: str, stuck: bool) -> None:
        if problem and (stuck, True) != (self._stuck, bool(self.problem)):
            self.log.error("{problem}", problem=problem)
        if self.problem and not problem:
            self.log.info("the audit log can be written again")
        self.problem, self._stuck = problem, stuck

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

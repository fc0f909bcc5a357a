"""`log/auth.log`: one line for each bad key, for fail2ban and its like. The line is a promise and never changes.

    2026-11-22T13:04:05Z aigate auth failure from 203.0.113.7: unknown-key (service chat)

The address is that of the true client. This machine itself never appears: whoever is behind a tunnel or a proxy that
is not configured comes from there, and a ban would shut out the tunnel.
"""

import time
from collections.abc import Callable
from typing import Final

from attrs import define, field

from edge.core.attempts import Attempt
from edge.core.networks import address
from edge.core.throttle import Throttle

FAILURES: Final = frozenset({"unknown-key", "disabled-key", "expired-key", "locked-out"})
"""The reasons that tell of a bad key. A request without any key is a visitor, not a burglar."""


def auth_line(attempt: Attempt) -> str:
    """The line of a failed attempt, with a line feed."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(attempt.at))
    return f"{at} aigate auth failure from {attempt.address}: {attempt.reason} (service {attempt.service or '-'})\n"


@define
class AuthLog:
    """Writes failed attempts through `append`, at most so many in a minute as `throttle` allows."""

    append: Callable[[str], None]
    throttle: Throttle = field(factory=Throttle)

    def attempt(self, attempt: Attempt) -> None:
        """Take note of an attempt."""
        if attempt.allowed or attempt.reason not in FAILURES:
            return
        found = address(attempt.address)
        if found is None or found.is_loopback:
            return
        if self.throttle.passes(attempt.address, attempt.reason, attempt.at):
            self.append(auth_line(attempt))

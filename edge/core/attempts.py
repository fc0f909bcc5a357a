"""One try to get in: what the audit log hears of every request that was judged, let in or not."""

from edge.core.value import value


@value
class Attempt:
    """Who tried what from where, and what came of it. Never the key itself."""

    at: float
    """Unix seconds."""
    request: str
    """The request's id, as in `x-request-id`."""
    address: str
    """The true client address, "unix" for a unix socket without one."""
    key: str
    """The key's id, "" where no known key was shown."""
    user: str
    service: str
    """"" for the gate's own resources."""
    allowed: bool
    reason: str = ""
    """The stable reason of a refusal, "" where it was allowed."""

"""What is written down about a request while it goes through, for the Outcome at its end."""

from typing import Any

from attrs import define, field


@define
class Ledger:
    """One request's book. Durations in seconds."""

    reason: str = ""
    ended: str = ""
    """"" for what the request itself tells: complete, or client-gone."""
    first_byte: float | None = None
    queued: float = 0.0
    overhead: float | None = None
    units: dict[str, float] = field(factory=dict)
    job: str = ""
    """What the service began and goes on with after its answer."""
    fields: dict[str, Any] = field(factory=dict)
    """What was judged of the request's body."""

"""What is written down about a request while it goes through, for the Outcome at its end."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import define

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@define
class Ledger:
    """One request's book. Durations in seconds."""

    reason: str = ""
    ended: str = ""
    """"" for what the request itself tells: complete, or client-gone."""
    first_byte: float | None = None
    queued: float = 0.0
    overhead: float | None = None
    units: Mapping[str, float] = _NOTHING
    local: bool = False
    """Whether a service in this process was asked."""
    job: str = ""
    """What the service began and goes on with after its answer."""
    fields: Mapping[str, Any] = _NOTHING
    """What was judged of the request's body."""

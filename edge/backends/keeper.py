"""What a connection needs of the one who keeps it."""

from typing import TYPE_CHECKING, Protocol

from edge.backends.errand import Errand
from edge.backends.reader import Bounds

if TYPE_CHECKING:
    from edge.backends.connection import UpstreamConnection


class Keeper(Protocol):
    """Who makes the connections and keeps them while they are idle."""

    now: float
    """The clock's seconds at the last sweep: exact to a period, and read without a call."""
    period: float
    bounds: Bounds
    """What the head of an answer may cost."""

    def opened(self, connection: "UpstreamConnection") -> None: ...
    def closed(self, connection: "UpstreamConnection") -> None: ...
    def release(self, connection: "UpstreamConnection") -> bool:
        """Takes back a connection that can be used again; False where there is no room for it."""

    def repeat(self, errand: Errand) -> None:
        """Sends an errand once more, over a new connection."""

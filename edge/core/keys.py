"""A key as the gate knows it: who it stands for and what its rules are; never the secret."""

from ipaddress import IPv4Network, IPv6Network

from attrs import field, frozen

from edge.core.hours import Hours
from edge.core.quantities import Limit

ALL = "*"
"""The service name that stands for every service, also those added later."""


@frozen(kw_only=True)
class Key:
    """Rules of one key, as read from the store. Times are Unix seconds."""

    id: str
    user: str
    services: frozenset[str]
    scopes: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    """Glob patterns; none means every model."""
    methods: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()
    """Glob patterns below the service's prefix, `/v1/*`; none means every path that the plugin allows."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    hours: Hours | None = None
    not_before: float | None = None
    expires: float | None = None
    limits: tuple[Limit, ...] = ()
    weight: float = 1.0
    batch: bool = False
    disabled: bool = False
    rotate_every: float | None = None
    """Seconds from a key to its successor: it lasts so long, and may fetch the successor itself in its last days."""
    ruled: bool = field(init=False, eq=False, repr=False)
    """Whether anything but its end and its services keeps it from being used: most keys have no further rule."""

    def __attrs_post_init__(self) -> None:
        ruled = (
            self.disabled or self.not_before is not None or self.networks or self.methods or self.paths or self.hours
        )
        object.__setattr__(self, "ruled", bool(ruled))

    def serves(self, service: str) -> bool:
        """Whether the key names the service, or all of them."""
        return service in self.services or ALL in self.services

"""The client of a service: treq over our agent over the transports that the configuration chose."""

from typing import Any

from edge.backends.agent import UpstreamAgent
from edge.backends.connect import connect_with
from edge.backends.outward import UpstreamClient
from edge.backends.reader import BOUNDS, Bounds
from edge.transport.connect import connect


def upstream_client(
    reactor: Any, fast: bool, creator: Any, idle: float = 4.0, bounds: Bounds = BOUNDS
) -> UpstreamClient:
    """A client whose connections are lean (`fast`) or Twisted's stock ones; `creator` makes the TLS side of each, as
    `UpstreamAgent` says. `idle` is the seconds that a connection is kept for the next request."""
    opened = connect_with(connect, reactor, fast)
    return UpstreamClient(UpstreamAgent(reactor, opened, creator=creator, idle=idle, bounds=bounds))

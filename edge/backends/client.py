"""The client of a service: treq over our agent over the transports that the configuration chose."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory

from edge.backends.agent import UpstreamAgent
from edge.backends.outward import UpstreamClient
from edge.backends.reader import BOUNDS, Bounds
from edge.backends.target import Target
from edge.transport.connect import connect


def upstream_client(
    reactor: Any, fast: bool, creator: Any, idle: float = 4.0, bounds: Bounds = BOUNDS
) -> UpstreamClient:
    """A client whose connections are lean (`fast`) or Twisted's stock ones; `creator` makes the TLS side of each, as
    `UpstreamAgent` says. `idle` is the seconds that a connection is kept for the next request."""

    def opened(target: Target, factory: IProtocolFactory, timeout: float) -> Deferred[IProtocol]:
        host, port = (target.path, None) if target.scheme == "unix" else (target.host, target.port)
        made: Deferred[IProtocol] = connect(reactor, fast, host, port, factory, timeout, target.tls)
        return made

    return UpstreamClient(UpstreamAgent(reactor, opened, creator=creator, idle=idle, bounds=bounds))

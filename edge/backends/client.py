"""The one client of a gate: treq over our agent over the transports that the configuration chose."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory

from edge.backends.agent import UpstreamAgent
from edge.backends.outward import UpstreamClient
from edge.backends.target import Target
from edge.transport.connect import connect


def upstream_client(reactor: Any, fast: bool, creator: Any) -> UpstreamClient:
    """A client whose connections are lean (`fast`) or Twisted's stock ones; `creator` makes the TLS side of each, as `UpstreamAgent` says."""

    def opened(target: Target, factory: IProtocolFactory, timeout: float) -> Deferred[IProtocol]:
        host, port = (target.path, None) if target.scheme == "unix" else (target.host, target.port)
        made: Deferred[IProtocol] = connect(reactor, fast, host, port, factory, timeout, target.tls)
        return made

    return UpstreamClient(UpstreamAgent(reactor, opened, creator=creator))

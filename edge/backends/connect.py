"""Connections by Twisted's own endpoints: for tests, and where the lean transports cannot be used."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory

from edge.backends.agent import Connect
from edge.backends.target import Target


def stock_connect(reactor: Any) -> Connect:
    """A Connect over `reactor`'s endpoints."""

    def connect(target: Target, factory: IProtocolFactory, timeout: float) -> Deferred[IProtocol]:
        endpoint: Any
        if target.scheme == "unix":
            endpoint = UNIXClientEndpoint(reactor, target.path, timeout)
        else:
            endpoint = HostnameEndpoint(reactor, target.host, target.port, timeout)
            if target.tls is not None:
                endpoint = wrapClientTLS(target.tls, endpoint)
        connecting: Deferred[IProtocol] = endpoint.connect(factory)
        return connecting

    return connect

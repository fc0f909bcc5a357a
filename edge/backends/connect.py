"""How an agent's connections are made: the targets of this room, over whatever opens connections below."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory

from edge.backends.agent import Connect
from edge.backends.target import Target


def connect_with(opener: Callable[..., Deferred[Any]], reactor: Any, fast: bool) -> Connect:
    """A Connect over `edge.transport.connect.connect`, with lean transports where `fast`."""

    def connect(target: Target, factory: IProtocolFactory, timeout: float) -> Deferred[IProtocol]:
        if target.scheme == "unix":
            return opener(reactor, fast, target.path, None, factory, timeout, None)
        return opener(reactor, fast, target.host, target.port, factory, timeout, target.tls)

    return connect

"""Opens connections to services, with lean or with stock transports; a name is looked up without blocking."""

from contextlib import suppress
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import (
    IAddress,
    IHostResolution,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
)
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from edge.transport.secure import client_side
from edge.transport.tcp import LeanConnector, LeanUNIXConnector, bound


def connect(
    reactor: Any,
    fast: bool,
    host: str,
    port: int | None,
    factory: IProtocolFactory,
    timeout: float = 10.0,
    tls: IOpenSSLClientConnectionCreator | None = None,
) -> "Deferred[Any]":
    """Connect to `host` (an address or a name) at `port`, or to the UNIX socket `host` where `port` is None.

    Fires with the protocol that `factory` built, once it has its transport; with `tls`, that is before the handshake,
    which has `timeout` seconds more. All addresses of a name are tried in turn, together within `timeout` seconds.
    Fails with ConnectError (refused, unreachable), its TimeoutError, or DNSLookupError. Cancelling it, at any time,
    gives the attempt up: CancelledError or ConnectingCancelledError.
    """
    if tls is None:
        return _connect(reactor, fast, host, port, factory, timeout)
    wrapper = client_side(reactor, fast, tls, factory, timeout)
    done = _connect(reactor, fast, host, port, wrapper, timeout)
    return done.addCallback(lambda protocol: protocol.wrappedProtocol)


def _connect(
    reactor: Any, fast: bool, host: str, port: int | None, factory: IProtocolFactory, timeout: float
) -> "Deferred[Any]":
    if port is None or isIPAddress(host) or isIPv6Address(host):
        return _attempt(reactor, fast, host, port, factory, timeout)
    return Deferred.fromCoroutine(_in_turn(reactor, fast, host, port, factory, timeout))


async def _in_turn(
    reactor: Any, fast: bool, name: str, port: int, factory: IProtocolFactory, timeout: float
) -> IProtocol:
    """Try each address of `name`, giving each an equal share of the time that is left."""
    ends = reactor.seconds() + timeout
    addresses = await _look_up(reactor, name, port, timeout)
    failed: ConnectError = ConnectTimeout()
    for index, address in enumerate(addresses):
        left = ends - reactor.seconds()
        if left <= 0:
            break
        try:
            made: IProtocol = await _attempt(reactor, fast, address, port, factory, left / (len(addresses) - index))
        except ConnectError as this:
            failed = this
        else:
            return made
    raise failed


def _attempt(
    reactor: Any, fast: bool, host: str, port: int | None, factory: IProtocolFactory, timeout: float
) -> "Deferred[Any]":
    """One attempt at one numeric address or path."""
    if fast:
        attempt = _Attempt(factory)
        connector: Any
        if port is None:
            connector = LeanUNIXConnector(host, attempt, timeout, reactor, False)
        else:
            connector = LeanConnector(host, port, attempt, timeout, None, reactor)
        connector.connect()
        return attempt.done
    endpoint: Any
    if port is None:
        endpoint = UNIXClientEndpoint(reactor, host, timeout)
    else:
        endpoint = (TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint)(reactor, host, port, timeout)
    made: Deferred[Any] = endpoint.connect(factory)
    return made if port is None else made.addCallback(_bounded)


def _bounded(protocol: Any) -> Any:
    bound(protocol.transport.getHandle())
    return protocol


class _Attempt(ClientFactory):
    """Turns a connector's story into a Deferred, without a wrapper round every protocol as Twisted's endpoints have."""

    noisy = False

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory: Any = factory
        self._connector: Any = None
        self.done: Deferred[Any] = Deferred(self._give_up)

    def startedConnecting(self, connector: Any) -> None:
        self._connector = connector

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._factory.buildProtocol(addr)

    def connected(self, protocol: IProtocol) -> None:
        """The protocol has its transport."""
        self._over()
        if not self.done.called:
            self.done.callback(protocol)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._over()
        if not self.done.called:
            self.done.errback(reason)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        # The transport refers back as well.
        connector.transport = None

    def _over(self) -> None:
        # The connector refers back: what the factory knows of a request would stay until the garbage collector comes by.
        self._connector = self._factory = None

    def _give_up(self, done: "Deferred[Any]") -> None:
        connector = self._connector
        done.errback(ConnectingCancelledError(connector.getDestination()))
        if connector.state == "connecting":
            connector.stopConnecting()
        elif connector.state == "connected":
            connector.transport.abortConnection()


@implementer(IResolutionReceiver)
class _Found:
    """Collects the addresses of a name; a Deferred at the end, cancelled with the look-up."""

    def __init__(self) -> None:
        self._addresses: dict[str, None] = {}
        self._resolution: IHostResolution | None = None
        self.done: Deferred[list[str]] = Deferred(self._give_up)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._resolution = resolutionInProgress
        self.name = resolutionInProgress.name

    def addressResolved(self, address: Any) -> None:
        self._addresses[address.host] = None

    def resolutionComplete(self) -> None:
        if self.done.called:
            return
        if self._addresses:
            self.done.callback(list(self._addresses))
        else:
            self.done.errback(DNSLookupError(f"no address for {self.name}"))

    def _give_up(self, _: object) -> None:
        if self._resolution is not None:
            # Twisted's own resolver has nothing to call off with; what it finds then is not listened to.
            with suppress(NotImplementedError):
                self._resolution.cancel()


def _look_up(reactor: Any, name: str, port: int, timeout: float) -> "Deferred[list[str]]":
    """The addresses of `name`, in the system's order of preference, within `timeout` seconds."""
    found = _Found()
    reactor.nameResolver.resolveHostName(found, name, port, transportSemantics="TCP")

    def late(_: Any, __: float) -> Any:
        raise ConnectTimeout(string=f"looking up {name}")

    return found.done.addTimeout(timeout, reactor, late)

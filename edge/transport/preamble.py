"""Below TLS and HTTP: reads what a proxy says of a connection's peer before anything else happens on it."""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from edge.core.preamble import preamble

SILENCE: Final = 60.0
"""Seconds between two lines in the log about peers that were refused."""


class Preambled(Protocol):
    """A connection until its proxy has said whose it is; then it stands aside and costs nothing more."""

    transport: Any

    def __init__(self, factory: "PreambleFactory") -> None:
        self._factory = factory
        self._early = b""
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._deadline = self._factory.clock.callLater(self._factory.patience, self._refuse, "no whole header in time")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._settle()

    def dataReceived(self, data: bytes) -> None:
        if self._deadline is None:
            return
        self._early += data
        try:
            said = preamble(self._early)
        except ValueError as error:
            self._refuse(str(error))
            return
        if said is not None:
            rest = self._early[said.length :]
            self._settle()
            self._become(said.source, rest)

    def _become(self, source: tuple[str, int] | None, rest: bytes) -> None:
        transport = self.transport
        if source is not None:
            kind = IPv6Address if ":" in source[0] else IPv4Address
            if not transport.speaks_for(kind("TCP", *source)):
                transport.abortConnection()
                return
        built = self._factory.wrapped.buildProtocol(transport.getPeer())
        if built is None:
            transport.abortConnection()
            return
        # From here on the transport calls the protocol itself, which never meets this one.
        transport.protocol = built
        built.makeConnection(transport)
        if rest:
            built.dataReceived(rest)

    def _refuse(self, why: str) -> None:
        self._settle()
        self._factory.refused(self.transport.getPeer(), why)
        self.transport.abortConnection()

    def _settle(self) -> None:
        self._early = b""
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()


class PreambleFactory(Factory):
    """Builds what `wrapped` builds, once the header of the PROXY protocol is read, which takes `patience` seconds at most.

    Its transport then has the announced peer and, of ours, counts as that one's. `proxies(host)` says whose header is read
    (None: anybody's); others are refused at once. The transports must be those of `edge.transport.ports` over TCP.
    """

    noisy = False
    log = Logger()

    def __init__(self, wrapped: Any, clock: Any, patience: float, proxies: Callable[[str], bool] | None = None) -> None:
        self.wrapped = wrapped
        self.clock = clock
        self.patience = patience
        self._proxies = proxies
        self._silent_until = float("-inf")

    def doStart(self) -> None:
        self.wrapped.doStart()

    def doStop(self) -> None:
        self.wrapped.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if self._proxies is not None and not self._proxies(getattr(addr, "host", "")):
            self.refused(addr, "no trusted proxy, and every connection must come from one")
            return None
        return Preambled(self)

    def refused(self, peer: Any, why: str) -> None:
        """Tells the operator now and then: where all are refused, it is most likely a proxy that was set up otherwise."""
        now = self.clock.seconds()
        if now >= self._silent_until:
            self._silent_until = now + SILENCE
            self.log.warn("a connection from {peer} was refused: {why}", peer=getattr(peer, "host", "?"), why=why)

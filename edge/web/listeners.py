"""The gate's open sockets, from the start to the end of the drain."""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from edge.wire.server import Connection, Server

GOODBYE = 0.3
"""Seconds for the clients that have everything to close their side."""
FAREWELL = 1.0
"""Seconds for the last connections to close once everything was cut."""


def _never(_: Connection) -> bool:
    return False


@define(eq=False)
class Listeners(Service):
    """Bound ports and the server behind them. `stopService` is the drain: its Deferred fires when all is finished."""

    clock: IReactorTime
    servers: Sequence[Server]
    opens: Any
    """`edge.auth.open.Open`: what keys have open is watched while the gate runs."""
    ports: Sequence[tuple[str, IListeningPort]]
    """(what is said of it, the port)."""
    timeout: float = 30.0
    draining: bool = False
    cutting: bool = False
    """Whether connections are ended by the gate now, so that nobody takes them for clients that left."""
    log: Logger = field(factory=Logger)

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for server in self.servers:
            server.start()
        self.opens.start()
        for said, _ in self.ports:
            self.log.info("listens on {said}", said=said)

    def stopService(self) -> "Deferred[Any]":
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        self.draining = True
        for _, port in self.ports:
            try:
                await maybeDeferred(port.stopListening)
            except Exception:
                # One port that cannot be closed must not keep the others, and the drain, from ending.
                self.log.failure("A port could not be closed")
        for server in self.servers:
            server.drain()
        left = sum(len(server.connections) for server in self.servers)
        if left:
            self.log.info("finishes what is open: {left} connection{s}", left=left, s="" if left == 1 else "s")
        # Nobody waits for a client that has everything and does not close its side.
        await self._until(lambda connection: connection.rests(), self.timeout)
        await self._until(_never, GOODBYE)
        self.cut()
        await self._until(_never, FAREWELL)
        for server in self.servers:
            server.stop()
        self.opens.stop()

    async def _until(self, passed: Callable[[Connection], bool], most: float) -> None:
        """Waits until every connection is gone or `passed`, `most` seconds at the longest."""
        end = self.clock.seconds() + most
        while self.clock.seconds() < end:
            if all(passed(one) for server in self.servers for one in server.connections):
                return
            await deferLater(self.clock, 0.05)

    def cut(self) -> None:
        """Ends every connection now."""
        self.cutting = True
        for server in self.servers:
            server.cut()

"""A client and its agent over the gate's own transports, with a clock that only the test moves."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH

from edge.backends.agent import UpstreamAgent
from edge.backends.connect import connect_with
from edge.backends.errand import Timeouts
from edge.backends.outward import UpstreamClient
from edge.backends.target import Target, UpstreamURL, target_of
from edge.transport.connect import connect


@define
class WayOut:
    clock: Clock
    agent: UpstreamAgent
    client: UpstreamClient
    _targets: dict[str, Target] = field(init=False, factory=dict)

    def to(self, url: str, path: bytes = b"/") -> UpstreamURL:
        if url not in self._targets:
            self._targets[url] = target_of(url)
        return UpstreamURL(self._targets[url], path)

    def pass_time(self, seconds: float) -> None:
        """Moves the clock on, sweep by sweep."""
        for _ in range(int(seconds / 0.25)):
            self.clock.advance(0.25)


@contextlib.asynccontextmanager
async def way_out(fast: bool = True, **options: Any) -> AsyncIterator[WayOut]:
    clock = Clock()
    agent = UpstreamAgent(clock, connect_with(connect, reactor, fast), **options)
    try:
        yield WayOut(clock, agent, UpstreamClient(agent))
    finally:
        await agent.close()


class Reader(Protocol):
    """Takes an answer's body and remembers how it ended."""

    def __init__(self, pause_at: int | None = None) -> None:
        self.data = b""
        self.size = 0
        self.pause_at = pause_at
        self.reason: Failure | None = None
        self.ended: Deferred[Failure] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.size += len(data)
        if self.size < 1 << 20:
            self.data += data
        if self.pause_at is not None and self.size >= self.pause_at:
            self.transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.reason is None, "told twice"
        self.reason = reason
        self.ended.callback(reason)


class Slow:
    """An upload that the test feeds."""

    def __init__(self, length: int | str = UNKNOWN_LENGTH) -> None:
        self.length = length
        self.consumer: Any = None
        self.finished: Deferred[None] = Deferred()
        self.paused = self.stopped = False

    def startProducing(self, consumer: Any) -> "Deferred[None]":
        self.consumer = consumer
        return self.finished

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        self.stopped = True


QUICK = Timeouts(connect=2.0, first_byte=3.0, idle=4.0)

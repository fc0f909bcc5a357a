"""The servers behind one service: who is well, how much each has in hand, and who takes the next request.

Whether a server is well is learnt from the requests that it gets. Only one that failed is asked anew, at growing intervals,
so that it is well again soon after it came back; a healthy one that idles, or sleeps, is left in peace.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from edge.core.balance import Load, choose, choose_home

HEALTHY: Final = "healthy"
DOWN: Final = "down"
ASLEEP: Final = "asleep"

SOONEST: Final = 1.0
"""Seconds until a server that failed is asked for the first time; each further silence doubles them."""

Ask = Callable[[str], Awaitable[bool]]
"""From a base address to whether the server there is well; it ends by itself within a few seconds."""


@define(eq=False)
class Upstream:
    """One server."""

    base: str
    """`http://127.0.0.1:11434`."""
    state: str = HEALTHY
    open: int = 0
    """Requests in hand."""
    failures: int = 0
    """Failures since it was last well."""
    _watch: "Deferred[None] | None" = field(default=None, init=False, repr=False)
    _watches: int = field(default=0, init=False, repr=False)
    """Grows with every watch begun or left, so that one whose question outlives it knows that it is over."""


@define(eq=False)
class Upstreams:
    """All servers of one service."""

    service: str
    servers: tuple[Upstream, ...]
    _ask: Ask
    _clock: IReactorTime
    slowest: float = 15.0
    """Seconds between two questions to a server that stays down."""
    log: Logger = field(factory=lambda: Logger(namespace="aigate.upstreams"), repr=False)
    _turn: int = field(default=0, init=False)
    _stopped: bool = field(default=False, init=False)

    @classmethod
    def of(
        cls, service: str, bases: Iterable[str], ask: Ask, clock: IReactorTime, slowest: float = 15.0
    ) -> "Upstreams":
        return cls(service, tuple(map(Upstream, bases)), ask, clock, slowest)

    def __iter__(self) -> Iterator[Upstream]:
        return iter(self.servers)

    def take(self, avoid: frozenset[Upstream] = frozenset(), caller: str = "") -> Upstream | None:
        """The server for the next request, counted as one more in its hand until `give`; None where all are to be avoided.

        Those that are down come last: a request then finds out what a question would. What a `caller` that is named asks
        for goes all to one server while that is well.
        """
        servers: Sequence[Upstream] = self.servers
        if avoid:
            servers = [server for server in servers if server not in avoid]
        elif len(servers) == 1:
            server = servers[0]
            server.open += 1
            return server
        loads = [Load(server.open, server.state == HEALTHY) for server in servers]
        index = choose_home([one.base for one in servers], loads, caller) if caller else choose(loads, self._turn)
        if index is None:
            return None
        self._turn += 1
        servers[index].open += 1
        return servers[index]

    def give(self, server: Upstream) -> None:
        """The end of a request that `take` began, however it ended."""
        server.open -= 1

    def worked(self, server: Upstream) -> None:
        """The server answered a request or a question."""
        if server.state == HEALTHY and not server.failures:
            return
        if server.state == DOWN:
            self.log.info("{service}: {base} is well again", service=self.service, base=server.base)
        server.state, server.failures = HEALTHY, 0
        self._leave(server)

    def failed(self, server: Upstream, why: str) -> None:
        """The server could not be reached, or broke before it answered. `why` is for the log, and holds no secret."""
        if server.state == ASLEEP:
            server.failures += 1
            return
        self._down(server, why)
        self._begin(server, SOONEST)

    def sleeps(self, server: Upstream) -> None:
        """The server was put to sleep on purpose: it is not asked, and counts as neither well nor ill."""
        self._leave(server)
        server.state, server.failures = ASLEEP, 0

    def state(self) -> str:
        """ "healthy" where one server is, "asleep" where one sleeps and none is healthy, else "down"."""
        states = {server.state for server in self.servers}
        return next((state for state in (HEALTHY, ASLEEP) if state in states), DOWN)

    def look(self) -> None:
        """Ask every server that does not sleep once, at the start: those that do not answer are down from then on."""
        for server in self.servers:
            self.doubt(server)

    def doubt(self, server: Upstream) -> None:
        """Ask a server if it is well, unless it sleeps or is being asked: it is down if it does not answer."""
        if server.state != ASLEEP:
            self._begin(server, 0.0)

    def stop(self) -> None:
        """Ask nobody any more."""
        self._stopped = True
        for server in self.servers:
            self._leave(server)

    def _leave(self, server: Upstream) -> None:
        watch, server._watch = server._watch, None
        server._watches += 1
        if watch is not None:
            watch.cancel()

    def _begin(self, server: Upstream, wait: float) -> None:
        if self._stopped or server._watch is not None:
            return
        server._watches += 1
        watch = Deferred.fromCoroutine(self._watch(server, wait, server._watches))
        # A question that was answered at once has ended the watch already.
        if not watch.called:
            server._watch = watch
        watch.addErrback(lambda failure: failure.trap(CancelledError))

    async def _watch(self, server: Upstream, wait: float, number: int) -> None:
        while True:
            if wait:
                await deferLater(self._clock, wait)
            well = await self._well(server)
            if number != server._watches:
                return
            if well:
                server._watch = None
                self.worked(server)
                return
            self._down(server, "it does not answer when asked if it is well")
            wait = min(self.slowest, max(SOONEST, wait * 2))

    async def _well(self, server: Upstream) -> bool:
        try:
            return await self._ask(server.base)
        except Exception as error:
            self.log.warn(
                "{service}: cannot ask {base} if it is well: {error}",
                service=self.service,
                base=server.base,
                error=error,
            )
            return False

    def _down(self, server: Upstream, why: str) -> None:
        server.failures += 1
        if server.state == HEALTHY:
            self.log.warn(
                "{service}: {base} is down: {why}",
                service=self.service,
                base=server.base,
                why=why.removeprefix(f"{server.base}: "),
            )
            server.state = DOWN

"""What limits need to run: the connection to shared counters, and leases that are renewed while their places are held."""

from typing import Protocol

from attrs import define
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall

from edge.limits.slots import Slots


class Link(Protocol):
    """The connection of a shared engine: `edge.stores.redis_link.RedisLink`."""

    def start(self) -> None: ...
    def stop(self) -> "Deferred[None]": ...


@define(eq=False, repr=False)
class LimitService(Service):
    """Runs `slots` and, where counters are shared, the `link` to them."""

    slots: Slots
    link: Link | None = None
    _renewing: LoopingCall | None = None

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        if self.link is None:
            return
        self.link.start()
        self._renewing = LoopingCall(lambda: Deferred.fromCoroutine(self.slots.renew()))
        self._renewing.clock = self.slots.clock
        # Three tries within a lease: one that is lost does not end it.
        self._renewing.start(self.slots.lease / 3, now=False)

    def stopService(self) -> "Deferred[None]":
        super().stopService()  # type: ignore[no-untyped-call]
        self.slots.close()
        if self._renewing is not None and self._renewing.running:
            self._renewing.stop()
        return succeed(None) if self.link is None else self.link.stop()

"""A service of services that end one after the other, the last one first."""

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

log = Logger(namespace="aigate")


class InOrder(MultiService):
    """Twisted's own ends all at once: budgets and records would be closed while the drain still settles into them."""

    def stopService(self) -> "Deferred[None]":
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for service in reversed(list(self)):
            try:
                await maybeDeferred(service.stopService)
            except Exception:
                # The others must end as well, whatever is wrong with this one.
                log.failure("a service did not end as it should")

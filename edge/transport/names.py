"""Looks up names of services in threads of its own, so that a name server that hangs holds up nothing else.

Twisted's own resolver takes the reactor's ten threads, which files are read in as well, cannot be called off, and keeps
the process from ending while a look-up hangs.
"""

import socket
from collections.abc import Sequence
from threading import Thread
from typing import Any, Final

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

MOST: Final = 16
"""Names that are looked up at the same time; a further one has no address while that lasts."""

_Key = tuple[str, int]


@implementer(IHostResolution)
@define(eq=False)
class _Asking:
    """One who waits for a name."""

    name: str
    receiver: IResolutionReceiver | None

    def cancel(self) -> None:
        """It waits no more; the look-up itself goes on for the others."""
        self.receiver = None

    def answer(self, found: Sequence[IAddress]) -> None:
        """Tells the addresses that were found, none where there are none."""
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            for address in found:
                receiver.addressResolved(address)
            receiver.resolutionComplete()


@implementer(IHostnameResolver)
@define(eq=False)
class Names:
    """The reactor's resolver: one thread for a name that is being looked up, however many ask for it."""

    reactor: Any
    _waiting: dict[_Key, list[_Asking]] = field(factory=dict, init=False)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Tells the receiver every address of a name, in the system's order of preference; TCP and any family."""
        asking = _Asking(hostName, resolutionReceiver)
        resolutionReceiver.resolutionBegan(asking)
        key = (hostName, portNumber)
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting[:] = [one for one in waiting if one.receiver is not None]
            waiting.append(asking)
        elif len(self._waiting) >= MOST:
            asking.answer(())
        else:
            self._waiting[key] = [asking]
            # A daemon: the process may end while it hangs.
            Thread(target=self._ask, args=(key,), name=f"look up {hostName}", daemon=True).start()
        return asking

    def _ask(self, key: _Key) -> None:
        found: list[IAddress] = []
        try:
            for family, _, _, _, at in socket.getaddrinfo(*key, type=socket.SOCK_STREAM):
                kind = IPv6Address if family == socket.AF_INET6 else IPv4Address
                found.append(kind("TCP", *at))
        except (OSError, UnicodeError):
            # No such name, or nobody to ask: both are no address.
            found.clear()
        self.reactor.callFromThread(self._answer, key, found)

    def _answer(self, key: _Key, found: list[IAddress]) -> None:
        for asking in self._waiting.pop(key):
            asking.answer(found)

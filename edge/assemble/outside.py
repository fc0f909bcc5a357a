"""What goes on towards the servers of a gate, from its start until its last request has ended."""

from collections.abc import Iterable
from typing import Any

from attrs import define
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList

from edge.backends.outward import UpstreamClient
from edge.backends.upstreams import Upstreams


@define(eq=False)
class Outside(Service):
    """Ends the questions to servers that are down, and the connections that are kept."""

    upstreams: Iterable[Upstreams]
    clients: Iterable[UpstreamClient]

    def stopService(self) -> "Deferred[Any]":
        super().stopService()  # type: ignore[no-untyped-call]
        for servers in self.upstreams:
            servers.stop()
        return DeferredList([client.close() for client in self.clients])

"""Anything that speaks HTTP: every method and path of it is open to whoever holds a key for the service."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from zope.interface import implementer

from edge.core.service import ANY_METHOD, Rule, Traits
from edge.interfaces import IBench, IKnownKind, IService, IServicePlugin


@frozen
class Options:
    """`options` of an http service."""

    websocket: bool = False
    """Whether its WebSockets may be opened."""
    manage: tuple[str, ...] = ()
    """Paths at the service (`/admin/*`; `*` also takes in `/`) that need the scope `manage`."""
    work: tuple[str, ...] = ()
    """Paths whose requests occupy the hardware: `concurrency` and the queue count them. None: all."""


TRAITS = Traits(kind="http", needs_upstreams=True, options=Options)


@implementer(IServicePlugin, IKnownKind)
@frozen
class Http:
    name: str = "http"
    api: int = 1
    traits: Traits = TRAITS

    def configure(self, settings: Mapping[str, Any], bench: IBench) -> IService:
        options: Options = settings["options"]
        managed = tuple(Rule(ANY_METHOD, path, scope="manage") for path in options.manage)
        working = tuple(Rule(ANY_METHOD, path, work=True) for path in options.work or ("*",))
        return bench.proxy(settings["upstreams"], self.traits).with_traits(
            rules=(*managed, *working, Rule(ANY_METHOD, "*")),
            upgrades=frozenset({b"websocket"}) if options.websocket else frozenset(),
        )


http = Http()

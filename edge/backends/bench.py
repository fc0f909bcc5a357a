"""What a plugin is given to work with."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import field, frozen
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.logger import Logger
from twisted.web.iweb import IAgent
from twisted.web.resource import IResource
from zope.interface import implementer

from edge.backends.service import Service
from edge.core.service import SAY_WHERE, Traits
from edge.errors import ConfigError
from edge.interfaces import IBench


@implementer(IBench)
@frozen(kw_only=True)
class Bench:
    """The bench of one service."""

    name: str
    clock: IReactorTime
    folder: Path
    agent: IAgent | None = None
    processes: IReactorProcess | None = None
    kinds: Mapping[str, Traits] = field(factory=dict)
    """The traits of every known kind, by plugin name: `Registry.kinds`."""
    log: Logger = field(factory=lambda: Logger(namespace="aigate.service"))

    def like(self, kind: str, upstreams: Iterable[str] = ()) -> Service:
        traits = self.kinds.get(kind)
        if traits is None:
            raise ConfigError(f"services.{self.name}.plugin", f"no plugin knows a kind of service called {kind!r}")
        return self.proxy(upstreams, traits)

    def openai(self, upstreams: Iterable[str] = ()) -> Service:
        return self.like("openai", upstreams)

    def ollama(self, upstreams: Iterable[str] = ()) -> Service:
        return self.like("ollama", upstreams)

    def http(self, upstreams: Iterable[str] = ()) -> Service:
        return self.like("http", upstreams)

    def proxy(self, upstreams: Iterable[str], traits: Traits) -> Service:
        if isinstance(upstreams, str):
            upstreams = (upstreams,)
        given = tuple(upstreams) or tuple(f"http://127.0.0.1:{port}" for port, _ in traits.probes[:1])
        if not given:
            raise ConfigError(f"services.{self.name}.upstreams", SAY_WHERE)
        return Service(name=self.name, traits=traits, upstreams=given)

    def local(self, resource: IResource, traits: Traits) -> Service:
        return Service(name=self.name, traits=traits, resource=resource)

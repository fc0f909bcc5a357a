"""Every configured service: its plugin's knowledge, its servers, and the guard before it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.web.resource import IResource

from edge.assemble.limits import Limiting
from edge.auth.context import identity
from edge.backends.bench import Bench
from edge.backends.errand import Timeouts
from edge.backends.health import told, well
from edge.backends.outward import UpstreamClient
from edge.backends.queued import Queued
from edge.backends.service import Service
from edge.backends.target import Target, UpstreamURL, target_of
from edge.backends.upstreams import Upstreams
from edge.backends.way import Way
from edge.config.routes import check_routes
from edge.config.schema import Config, ServiceConfig
from edge.config.services import Settled
from edge.core.exchange import Arrival, Route
from edge.core.jobs import ANSWER
from edge.core.models import filter_models
from edge.core.routing import route_to
from edge.errors import ConfigError, ConfigErrors, PluginError
from edge.limits.held import HeldJobs
from edge.limits.waiting import Place
from edge.registry import Registry
from edge.tls.upstream import upstream_creator
from edge.web.forward import Forward, Outward
from edge.web.guard import Door, Guard, Turn
from edge.web.inspection import Inspection
from edge.web.passing import Passing
from edge.web.places import Places
from edge.web.rates import Rates


@define(eq=False)
class Services:
    """All services of a gate, by name."""

    services: dict[str, Service] = field(factory=dict)
    upstreams: dict[str, Upstreams] = field(factory=dict)
    clients: dict[str, UpstreamClient] = field(factory=dict)
    guards: dict[str, IResource] = field(factory=dict)
    routes: list[Route] = field(factory=list)

    def state(self, name: str) -> str:
        """healthy, asleep or down."""
        return self.upstreams[name].state() if name in self.upstreams else "healthy"

    @property
    def degraded(self) -> bool:
        """Whether one of them is down; a sleeping one is not."""
        return any(each.state() == "down" for each in self.upstreams.values())

    def loads(self) -> list[tuple[str, str, str, int]]:
        """(service, base address, state, requests in hand) of every server."""
        return [
            (name, each.base, each.state, each.open) for name, those in self.upstreams.items() for each in those.servers
        ]


def configure(
    registry: Registry, settled: Mapping[str, Settled], name: str, config: ServiceConfig, bench: Bench
) -> Service:
    """A service as its plugin makes it. Raises PluginError with the plugin's own line, ConfigError or ConfigErrors."""
    settings = {
        "name": name,
        "upstreams": tuple(map(str, config.upstreams)),
        "route": config.route,
        "options": settled[name].options,
    }
    found = registry.require(config.plugin)
    made = found.configure(settings, bench)
    if not isinstance(made, Service):
        raise PluginError(
            found.source, f"configure() made a {type(made).__name__} of its own; begin with one of the bench"
        )
    return made


def routes_of(services: Mapping[str, Service], settled: Mapping[str, Settled]) -> list[Route]:
    """Where each service lives, by its name. Raises ConfigErrors: what only `configure` tells is judged here first."""
    routes = {name: settled[name].route or service.route for name, service in services.items()}
    if problems := check_routes(routes):
        raise ConfigErrors(tuple(ConfigError(".".join(map(str, place)), say) for place, say in problems))
    return [route_to(name, route) for name, route in routes.items()]


def all_services(
    reactor: Any,
    config: Config,
    settled: Mapping[str, Settled],
    registry: Registry,
    data: Path,
    outward: Callable[[float], UpstreamClient],
    door: Door,
    limiting: Limiting,
    now: Callable[[], float],
    trace: Callable[[Arrival], bytes] | None = None,
) -> Services:
    """Makes them; nothing is asked of any server yet. `outward` makes a client that keeps connections for so many seconds;
    `trace` says what `traceparent` tells them. Raises PluginError, ConfigError or ConfigErrors."""
    made = Services()
    for name, one in config.services.items():
        client = made.clients[name] = outward(one.timeouts.keepalive)
        bench = Bench(
            name=name, clock=reactor, folder=data / "plugins" / name, agent=client._agent, processes=reactor,
            kinds=registry.kinds,
        )  # fmt: skip
        service = made.services[name] = configure(registry, settled, name, one, bench)
        resource = service.resource
        if resource is None:
            resource = _forward(reactor, config, name, service, client, made, trace)
        holding = _holding(reactor, one, service, client, made.upstreams.get(name))
        turns = _turns(reactor, name, one, service, limiting, now, holding)
        made.guards[name] = Guard(resource, door, service.traits, turns=turns)
    made.routes += routes_of(made.services, settled)
    return made


def _forward(
    reactor: Any,
    config: Config,
    name: str,
    service: Service,
    client: UpstreamClient,
    made: Services,
    trace: Callable[[Arrival], bytes] | None,
) -> Forward:
    one = config.services[name]
    traits = service.traits
    timeouts = Timeouts(one.timeouts.connect, one.timeouts.first_byte, one.timeouts.idle)
    targets = {base: target_of(base, one.ca_file, upstream_creator) for base in service.upstreams}
    path = (one.health.path or traits.health.path).encode("ascii")
    ask = partial(_well, client, reactor, targets, path, one.health.timeout)
    made.upstreams[name] = Upstreams.of(name, service.upstreams, ask, reactor, one.health.interval)
    ways: dict[str, Outward] = {base: Way.to(base, target, client, timeouts) for base, target in targets.items()}
    return Forward(
        name, made.upstreams[name], ways, reactor,
        Passing(name, service.fields, one.host == "keep", identity if one.identify else None, trace),
        traits.upgrades, filter_models, one.connections, one.timeouts.total, config.edge.tunnel_idle,
        bool(traits.jobs),
    )  # fmt: skip


def _turns(
    reactor: Any,
    name: str,
    one: ServiceConfig,
    service: Service,
    limiting: Limiting,
    now: Callable[[], float],
    hold: Callable[[str, str, Any], None] | None,
) -> tuple[Turn, ...]:
    """What an admitted request goes through, in order: rates on its head, the look at its body, a place."""
    traits = service.traits
    limiter = limiting.limiter
    size = one.concurrency if one.concurrency is not None else traits.concurrency
    length = 1_000_000 if one.queue.length is None else one.queue.length
    place = Place(name, size, length, one.queue.wait)
    return (
        Rates(limiter, now, traits.dialect).turn,
        Inspection(limiter, now, one.inspect, traits.dialect, traits.upgrades).turn,
        Places(
            limiter, limiting.slots, place, reactor, traits.dialect, not any(rule.work for rule in traits.rules),
            one.queue.keepalive, one.inspect, one.queue.json_space, hold,
        ).turn,
    )  # fmt: skip


def _holding(
    reactor: Any, one: ServiceConfig, service: Service, client: UpstreamClient, servers: Upstreams | None
) -> Callable[[str, str, Any], None] | None:
    """What keeps the places of jobs that go on after their answer; None for kinds whose answer is the end."""
    path = service.traits.jobs.encode("ascii")
    if not path or servers is None:
        return None
    held = {}
    for server in servers:
        url = UpstreamURL(target_of(server.base, one.ca_file, upstream_creator), path)
        ask = partial(told, client._agent, reactor, url, one.health.timeout, ANSWER, service.fields)
        held[server.base] = HeldJobs(reactor, Queued(servers, server, ask))
    return lambda base, job, ticket: held[base].hold(job, ticket)


async def _well(
    client: UpstreamClient, clock: Any, targets: Mapping[str, Target], path: bytes, timeout: float, base: str
) -> bool:
    return await well(client._agent, clock, UpstreamURL(targets[base], path), timeout)

"""The composition root: a configuration, a data folder and a reactor become the services of a running gate."""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.web.resource import IResource

from edge.admin.ops import ops_router
from edge.auth.admission import Admission
from edge.auth.open import Open
from edge.auth.requires import required, requires
from edge.auth.tickets import Tickets
from edge.backends.bench import Bench
from edge.backends.client import upstream_client
from edge.backends.errand import Timeouts
from edge.backends.health import well
from edge.backends.outward import UpstreamClient
from edge.backends.service import Service
from edge.backends.target import Target, UpstreamURL, target_of
from edge.backends.upstreams import Upstreams
from edge.backends.way import Way
from edge.config.kinds import Address
from edge.config.read import Reading
from edge.config.schema import Config, EdgeConfig, ServiceConfig
from edge.config.services import Settled, settle
from edge.core.exchange import Route
from edge.core.lockouts import Lockouts
from edge.core.models import filter_models
from edge.core.routing import Routes
from edge.core.service import ANY_METHOD
from edge.errors import ConfigError, ConfigErrors, PluginError
from edge.observed import observed
from edge.registry import Registry, where
from edge.signals import Signals
from edge.stores.exported import ExportedKeyStore
from edge.tls.service import certificates
from edge.tls.upstream import upstream_creator
from edge.transport.crowd import Crowd
from edge.transport.listen import Listening, listen
from edge.transport.watch import Watch
from edge.web.forward import Forward, Outward
from edge.web.guard import Door, Guard
from edge.web.inspection import ModelRule
from edge.web.listeners import Listeners
from edge.web.own import OwnPage, health_page, status_page, ticket_page
from edge.web.redirect import RedirectSite
from edge.web.router import Own, Router
from edge.web.site import Site
from edge.wire.limits import WireLimits
from edge.wire.negotiate import HttpFactory
from edge.wire.server import Server

log = Logger(namespace="aigate")

PROTOCOLS = (b"h2", b"http/1.1", b"http/1.0")
"""What ALPN may settle on; the last is what `curl --http1.0` offers, and nothing else."""


@frozen
class Gate:
    """A gate that is bound and not yet started."""

    service: MultiService
    listeners: Listeners
    routes: tuple[Route, ...]
    https_port: int
    """The port of the first HTTPS listener, 0 where there is none."""


def wire_limits(edge: EdgeConfig, body: int) -> WireLimits:
    """The bounds of client connections, as configured."""
    return WireLimits(
        head=edge.head,
        header_count=edge.header_count,
        head_timeout=edge.head_timeout,
        idle=edge.keepalive,
        body_grace=edge.body_grace,
        body_rate=edge.body_rate,
        write_stall=edge.write_stall,
        buffer=edge.buffer,
        requests=edge.keepalive_requests,
        linger=edge.refused_body,
        body=body,
        h2_streams=edge.h2_streams,
        h2_window=edge.h2_window,
        h2_resets=edge.h2_resets,
        h2_controls=edge.h2_control_frames,
    )


def configured(registry: Registry, name: str, config: ServiceConfig, settled: Settled, bench: Bench) -> Service:
    """A service as its plugin makes it. Raises PluginError with the plugin's own line, or ConfigErrors."""
    found = registry.require(config.plugin)
    settings = {
        "name": name,
        "upstreams": tuple(map(str, config.upstreams)),
        "route": config.route,
        "options": settled.options,
    }
    try:
        made: Service = found.plugin.configure(settings, bench)
    except (ConfigError, ConfigErrors, PluginError):
        raise
    except Exception as error:
        raise PluginError(where(error, found.source), f"{type(error).__name__}: {error}") from None
    return made


def route_of(service: Service, settled: Settled) -> Route:
    """`/chat/api` or `comfy.example.org/` as a Route."""
    written = settled.route or service.route
    host, slash, path = written.partition("/")
    prefix = ("/" + path).rstrip("/").encode("ascii") if slash else b""
    return Route(service.name, prefix, ANY_METHOD, host.lower() or None)


def shown(address: Address) -> str:
    """An address as `listen` takes it."""
    if address.path:
        return f"unix:{address.path}"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}" if host else str(address.port)


def assemble(
    reactor: Any,
    reading: Reading,
    data: Path,
    registry: Registry,
    environ: Mapping[str, str] = os.environ,
    console: int | None = None,
) -> Gate:
    """Everything made and every port bound; nothing served before `service.startService`.

    `console` is the descriptor on which requests are shown, None for none.
    Raises an AigateError, whose text is for the operator, where anything is wrong.
    """
    config: Config = reading.config
    fast = config.transport.fast
    now: Callable[[], float] = time.time
    settled = settle(reading, {found.name: found.traits for found in registry})
    root = MultiService()

    def in_thread(function: Callable[..., Any], *args: Any) -> "Deferred[Any]":
        return deferToThreadPool(reactor, reactor.getThreadPool(), function, *args)

    certs = certificates(
        reactor,
        data,
        certificate="files" if config.tls.certificate == "files" else "local",
        names=config.tls.names,
        certs_dir=config.tls.certs_dir,
        protocols=PROTOCOLS if config.edge.http2 else PROTOCOLS[1:],
        minimum=config.tls.minimum,
    )
    store = ExportedKeyStore(reactor, data, environ, in_thread)
    tickets = Tickets(reactor)
    watching = observed(reactor, config, data, console, now)
    admission = Admission(store, Lockouts(config.lockout.failures, config.lockout.within), watching.attempts, tickets)
    opens = Open(reactor, store, tickets, now)
    door = Door(admission, opens, now, config.cors.origins, config.cors.max_age, config.limits.body)
    client = upstream_client(reactor, fast, upstream_creator)

    services: dict[str, Service] = {}
    upstreams: dict[str, Upstreams] = {}
    guards: dict[str, IResource] = {}
    routes: list[Route] = []
    for name, one in config.services.items():
        bench = Bench(
            name=name, clock=reactor, folder=data / "plugins" / name, agent=client._agent, processes=reactor,
            kinds=registry.kinds,
        )  # fmt: skip
        service = services[name] = configured(registry, name, one, settled[name], bench)
        traits = service.traits
        resource = service.resource
        if resource is None:
            timeouts = Timeouts(one.timeouts.connect, one.timeouts.first_byte, one.timeouts.idle)
            targets = {base: target_of(base, one.ca_file, upstream_creator) for base in service.upstreams}
            path = (one.health.path or traits.health.path).encode("ascii")
            ask = partial(_well, client, reactor, targets, path, one.health.timeout)
            upstreams[name] = Upstreams.of(name, service.upstreams, ask, reactor, one.health.interval)
            ways: dict[str, Outward] = {
                base: Way.to(base, target, client, timeouts) for base, target in targets.items()
            }
            resource = Forward(
                name, upstreams[name], ways, reactor, service.fields, traits.upgrades, one.host == "keep",
                one.identify, traits.dialect, filter_models,
            )  # fmt: skip
        guards[name] = Guard(resource, door, traits, turns=(ModelRule(one.inspect).turn,))
        routes.append(route_of(service, settled[name]))

    listeners: Listeners

    def state() -> str:
        if listeners.draining:
            return "draining"
        return "degraded" if any(each.state() == "down" for each in upstreams.values()) else "ok"

    def status_of(name: str) -> Callable[[], str]:
        return lambda: upstreams[name].state() if name in upstreams else "healthy"

    def guarded(page: OwnPage) -> Guard:
        return Guard(page, door, rule=required(requires()(page)).rule)

    statuses = {name: status_of(name) for name in services}
    read_only = frozenset({"GET", "HEAD", "OPTIONS"})
    own = {
        b"/health": Own(health_page(state), read_only),
        b"/status": Own(guarded(status_page(statuses, lambda key: {})), read_only),
        b"/ticket": Own(guarded(ticket_page(tickets, services)), frozenset({"POST", "OPTIONS"})),
    }
    router = Router(Routes(tuple(routes)), guards, own)
    site = Site(
        router,
        reactor,
        now,
        watching.sinks,
        config.proxies.trusted,
        config.proxies.header.encode("ascii"),
    )
    limits = wire_limits(config.edge, config.limits.body)
    watch = Watch(reactor)
    server = Server(site, reactor, watch, limits, config.edge.http2)
    crowd = Crowd(config.edge.connections, config.edge.connections_per_address)
    ports: list[tuple[str, Listening]] = []

    def open_ports(listener: str, addresses: tuple[Address, ...], server: Server, contexts: Any = None) -> None:
        for address in addresses:
            factory = HttpFactory(server, listener, contexts is not None)
            port = listen(
                reactor, fast, shown(address), factory, contexts, crowd=crowd, handshake=config.edge.handshake_timeout
            )
            ports.append((f"{listener} {' '.join(map(_place, port.hosts()))}", port))

    open_ports("https", config.listen.https, server, certs.contexts)
    open_ports("plain", config.listen.plain, server)
    https = next((getattr(port.getHost(), "port", 0) for said, port in ports if said.startswith("https")), 0)
    report: dict[str, Callable[[], object]] = {"listeners": lambda: [said for said, _ in ports]}
    ops = Server(
        Site(ops_router(Door(admission, opens, now), watching.pages(state, report)), reactor, now, watching.access),
        reactor, watch, limits, http2=False,
    )  # fmt: skip
    open_ports("ops", config.listen.ops, ops)
    redirects = Server(RedirectSite(https), reactor, watch, limits, http2=False)
    open_ports("http", config.listen.http, redirects)
    gauges = watching.gauges
    gauges.in_flight = lambda: site.in_flight
    gauges.connections = lambda: len(server.connections) + len(redirects.connections)
    gauges.draining = lambda: listeners.draining
    gauges.upstreams = lambda: [
        (name, each.base, each.state, each.open) for name, those in upstreams.items() for each in those.servers
    ]
    gauges.certificates = lambda: [(each.name, each.not_after) for each in certs.status()]
    gauges.keys = store.status
    listeners = Listeners(reactor, (server, ops, redirects), opens, ports, config.drain.timeout)
    for child in (watching.service, store, certs, listeners, Signals(reactor, listeners.cut, watching.service.reopen)):
        child.setServiceParent(root)  # type: ignore[no-untyped-call]
    return Gate(root, listeners, tuple(routes), https)


async def _well(
    client: UpstreamClient, clock: Any, targets: Mapping[str, Target], path: bytes, timeout: float, base: str
) -> bool:
    return await well(client._agent, clock, UpstreamURL(targets[base], path), timeout)


def _place(host: Any) -> str:
    name = getattr(host, "name", None)
    if name is not None:
        return f"unix:{os.fsdecode(name)}"
    return f"[{host.host}]:{host.port}" if ":" in host.host else f"{host.host}:{host.port}"

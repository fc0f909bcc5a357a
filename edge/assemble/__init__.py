"""The composition root: a configuration, a data folder and a reactor become the services of a running gate."""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from attrs import frozen
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from edge.admin.ops import ops_router
from edge.assemble.in_order import InOrder
from edge.assemble.limits import limiting
from edge.assemble.listening import Ports, wire_limits
from edge.assemble.outside import Outside
from edge.assemble.services import all_services
from edge.assemble.usage import usage_page
from edge.assemble.watching import observed
from edge.auth.admission import Admission
from edge.auth.open import Open
from edge.auth.requires import required, requires
from edge.auth.tickets import Tickets
from edge.backends.client import upstream_client
from edge.backends.reader import Bounds
from edge.config.read import Reading
from edge.config.schema import Config
from edge.config.services import settle
from edge.core.exchange import Route
from edge.core.lockouts import Lockouts
from edge.core.routing import OWN, Routes
from edge.errors import ConfigError, ConfigErrors
from edge.observe.keychanges import key_changes
from edge.registry import Registry
from edge.signals import Signals
from edge.stores.exported import ExportedKeyStore
from edge.stores.successor import Successors
from edge.tls.service import certificates
from edge.tls.upstream import upstream_creator
from edge.transport.names import Names
from edge.transport.watch import Watch
from edge.web.cut import cut
from edge.web.guard import Door, Guard
from edge.web.listeners import Listeners
from edge.web.own import OwnPage, Public, health_page, status_page, ticket_page
from edge.web.redirect import RedirectSite
from edge.web.rotate import rotate_page
from edge.web.router import Own, Router
from edge.web.site import Site, strict_transport
from edge.wire.server import Server

PROTOCOLS = (b"h2", b"http/1.1", b"http/1.0")
"""What ALPN may settle on; the last is what `curl --http1.0` offers, and nothing else."""


@frozen
class Gate:
    """A gate that is bound and not yet started."""

    service: MultiService
    listeners: Listeners
    routes: tuple[Route, ...]
    https: str
    """`HOST:PORT` at which this machine reaches the first HTTPS port, "" where there is none."""


def assemble(
    reactor: Any,
    reading: Reading,
    data: Path,
    registry: Registry,
    environ: Mapping[str, str] = os.environ,
    console: int | None = None,
    command: str = "aigate run",
) -> Gate:
    """Everything made and every port bound; nothing served before `service.startService`.

    `console` is the descriptor on which requests are shown, None for none. `command` is what the operator typed.
    Raises an AigateError, whose text is for the operator, where anything is wrong.
    """
    config: Config = reading.config
    fast = config.transport.fast
    now: Callable[[], float] = time.time
    reactor.installNameResolver(Names(reactor))
    settled = settle(reading, {found.name: found.traits for found in registry})

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
    audit = key_changes(data, config.log.audit_max)
    store = ExportedKeyStore(reactor, data, environ, in_thread, now, audit)
    tickets = Tickets(reactor)
    watching = observed(reactor, config, data, console, now, reading.file)
    lockout = config.lockout
    lockouts = Lockouts(lockout.failures, lockout.within, lockout.longest, lockout.addresses)
    admission = Admission(store, lockouts, watching.attempts, tickets, watching.refuses)
    opens = Open(reactor, store, tickets, now, partial(cut, ended="revoked"))
    door = Door(admission, opens, config.cors.origins, config.cors.max_age, config.limits.body)
    bounds = Bounds(config.edge.answer_head, config.edge.answer_header_count, config.edge.informational)
    outward = partial(upstream_client, reactor, fast, upstream_creator, bounds=bounds)
    try:
        counting = limiting(reactor, config, data, in_thread, now)
        services = all_services(reactor, config, settled, registry, data, outward, door, counting, now, watching.trace)
    except (ConfigError, ConfigErrors) as errors:
        raise reading.place(errors) from None

    listeners: Listeners

    def state() -> str:
        if listeners.draining:
            return "draining"
        return "degraded" if services.degraded else "ok"

    def guarded(page: OwnPage) -> Guard:
        return Guard(page, door, rule=required(requires()(page)).rule)

    pages_of_own = {
        "/health": Public(health_page(state), door),
        "/status": guarded(status_page(services.services, services.state, counting, now)),
        "/rotate": guarded(rotate_page(Successors(data, environ, in_thread, now, audit).fetch)),
        "/ticket": guarded(ticket_page(tickets, services.services)),
    }
    own = {path.encode("ascii"): Own(page, OWN[path]) for path, page in pages_of_own.items()}
    router = Router(Routes(tuple(services.routes)), services.guards, own)
    site = Site(
        router, reactor, now, watching.sinks, config.proxies.trusted, config.proxies.header.encode("ascii"), door.origin,
        lambda: listeners.cutting, strict_transport(config.tls.hsts),
    )  # fmt: skip
    limits = wire_limits(config.edge, config.limits.body)
    watch = Watch(reactor)
    server = Server(site, reactor, watch, limits, config.edge.http2, wall=now)
    ports = Ports(reactor, config, environ, command)
    ports.open("https", config.listen.https, server, certs.contexts)
    ports.open("plain", config.listen.plain, server)
    report: dict[str, Callable[[], object]] = {"listeners": lambda: [said for said, _ in ports.bound]}
    pages = watching.pages(state, report, usage_page(config, data, in_thread, now))
    ops = Server(
        Site(ops_router(Door(admission, opens), pages), reactor, now, watching.access),
        reactor, watch, limits, http2=False, wall=now,
    )  # fmt: skip
    ports.open("ops", config.listen.ops, ops)
    redirects = Server(
        RedirectSite(ports.port_of("https") or 443, site.new_id), reactor, watch, limits, http2=False, wall=now
    )
    ports.open("http", config.listen.http, redirects)
    listeners = Listeners(reactor, (server, ops, redirects), opens, ports.bound, config.drain.timeout)
    gauges = watching.gauges
    gauges.in_flight = lambda: site.in_flight
    gauges.connections = lambda: len(server.connections) + len(redirects.connections)
    gauges.draining = lambda: listeners.draining
    gauges.upstreams = services.loads
    gauges.certificates = lambda: [(each.name, each.not_after) for each in certs.status()]
    gauges.keys = store.status
    gauges.handshakes = ports.handshakes
    gauges.reloads = lambda: {
        ("keys", "ok"): cast("int", store.status()["reads"]),
        ("keys", "failed"): cast("int", store.status()["failures"]),
        ("certificates", "ok"): certs.reloads,
        ("certificates", "failed"): certs.failures,
    }
    gauges.redis = counting.redis
    gauges.queued = lambda: {name: counting.slots.load(name)[1] for name in services.services}
    root = InOrder()  # type: ignore[no-untyped-call]
    for child in (
        watching.service, store, certs, *counting.services, Outside(services.upstreams.values(), services.clients.values()),
        listeners,
        Signals(reactor, listeners.cut, watching.service.reopen),
    ):  # fmt: skip
        child.setServiceParent(root)
    return Gate(root, listeners, tuple(services.routes), ports.from_here("https"))

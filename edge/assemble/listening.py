"""Listeners, as configured."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.address import UNIXAddress

from edge.config.kinds import Address
from edge.config.schema import Config, EdgeConfig
from edge.core.networks import within
from edge.errors import ListenError
from edge.transport.crowd import Crowd
from edge.transport.listen import Listening, listen
from edge.transport.preamble import PreambleFactory
from edge.wayout import way_out
from edge.wire.limits import WireLimits
from edge.wire.negotiate import HttpFactory
from edge.wire.server import Server


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


@define(eq=False)
class Ports:
    """The ports that are bound so far, each with what is said of it."""

    reactor: Any
    config: Config
    environ: Mapping[str, str] = field(factory=dict)
    command: str = "aigate run"
    """What the operator typed, for the advice where a port is taken."""
    crowd: Crowd = field(init=False)
    bound: list[tuple[str, Listening]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        edge = self.config.edge
        self.crowd = Crowd(edge.connections, edge.connections_per_address, self._is_proxy)

    def open(self, listener: str, addresses: tuple[Address, ...], server: Server, contexts: Any = None) -> None:
        """Binds a listener's addresses. Raises ListenError."""
        for address in addresses:
            try:
                port = listen(
                    self.reactor,
                    self.config.transport.fast,
                    _written(address),
                    HttpFactory(server, listener, contexts is not None),
                    contexts,
                    crowd=self.crowd,
                    handshake=self.config.edge.handshake_timeout,
                    below=self._with_proxy_protocol
                    if self.config.proxies.proxy_protocol and not address.path
                    else None,
                )
            except ListenError as error:
                other = way_out(error, listener, address.host, address.port, self.environ, self.command)
                raise other from error.__cause__
            self.bound.append((f"{listener} {' '.join(map(_place, port.hosts()))}", port))

    def handshakes(self) -> dict[str, float]:
        """TLS handshakes so far, by result."""
        secured = [port.secured for _, port in self.bound if port.secured is not None]
        return {"ok": sum(one.handshakes for one in secured), "failed": sum(one.failures for one in secured)}

    def port_of(self, listener: str) -> int:
        """The first port of a listener, 0 where it has none."""
        return next((host.port for host in self._ported(listener)), 0)

    def from_here(self, listener: str) -> str:
        """`HOST:PORT` at which this machine finds the first port of a listener, "" where it has none.

        By name where it listens everywhere or on loopback.
        """
        for host in self._ported(listener):
            named = host.host in ("0.0.0.0", "::", "::1") or host.host.startswith("127.")  # noqa: S104 - asked, not bound
            return f"localhost:{host.port}" if named else _place(host)
        return ""

    def _is_proxy(self, host: str) -> bool:
        return within(host, self.config.proxies.trusted)

    def _with_proxy_protocol(self, factory: Any) -> PreambleFactory:
        proxies = self._is_proxy if self.config.proxies.trusted else None
        return PreambleFactory(factory, self.reactor, self.config.edge.head_timeout, proxies)

    def _ported(self, listener: str) -> Iterator[Any]:
        """The addresses of a listener, without its unix sockets."""
        for said, port in self.bound:
            if said.startswith(f"{listener} ") and not isinstance(port.getHost(), UNIXAddress):
                yield port.getHost()


def _written(address: Address) -> str:
    """An address as `listen` takes it."""
    if address.path:
        return f"unix:{address.path}"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}" if host else str(address.port)


def _place(host: Any) -> str:
    name = getattr(host, "name", None)
    if name is not None:
        return f"unix:{os.fsdecode(name)}"
    return f"[{host.host}]:{host.port}" if ":" in host.host else f"{host.host}:{host.port}"

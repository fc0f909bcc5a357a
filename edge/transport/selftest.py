"""Tries a TLS protocol class out, in memory: a handshake, bytes of awkward sizes both ways, and the farewell."""

import datetime
from collections.abc import Callable
from typing import Any

from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

_SIZES = (1, 16 * 1024, 16 * 1024 + 1, 200_000)


def echo(protocol: Callable[..., Any]) -> None:
    """Run a client and a server of `protocol` against each other.

    Raises whatever goes wrong, AssertionError when bytes or the farewell do not arrive.
    """
    server, client = _End(Echo()), _End(Catch())
    server.peer, client.peer = client, server
    server.begin(protocol, _server_context(), SSL.Connection.set_accept_state, False)
    client.begin(protocol, SSL.Context(SSL.TLS_METHOD), SSL.Connection.set_connect_state, True)
    sent = b"".join(bytes([size % 251]) * size for size in _SIZES)
    at = 0
    for size in _SIZES:
        client.tls.write(sent[at : at + size])
        at += size
        _pump(server, client)
    if bytes(client.app.received) != sent:
        raise AssertionError(f"{len(client.app.received)} of {len(sent)} bytes came back, or others")
    client.tls.loseConnection()
    _pump(server, client)
    if server.app.ended is None or not server.app.ended.check(ConnectionDone):
        raise AssertionError("the farewell did not arrive")


def _pump(*ends: "_End") -> None:
    for _ in range(100):
        carried = [end.carry() for end in ends]
        if not any(carried):
            return
    raise AssertionError("two ends that never fall silent")


class Catch(Protocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason


class Echo(Catch):
    """Sends back what comes."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


@define(eq=False)
class _End:
    """A transport to the other end: as much as TLS asks of one."""

    app: Catch
    peer: "_End" = field(init=False)
    tls: Any = field(init=False)
    queue: list[bytes] = field(factory=list)
    closed: bool = False

    def begin(
        self,
        protocol: Callable[..., Any],
        context: SSL.Context,
        turn: Callable[[SSL.Connection], None],
        is_client: bool,
    ) -> None:
        self.tls = protocol(_Factory(context, turn, is_client), self.app)
        self.tls.makeConnection(self)

    def write(self, data: bytes) -> None:
        self.queue.append(data)

    def loseConnection(self) -> None:
        self.closed = True

    abortConnection = loseConnection

    def carry(self) -> bool:
        """Take what is queued to the other end; True if there was anything."""
        queue, self.queue = self.queue, []
        for data in queue:
            self.peer.tls.dataReceived(data)
        if self.closed and not queue and self.tls.connected:
            self.tls.connectionLost(connectionDone)
        return bool(queue)


class _Factory(Factory):
    def __init__(self, context: SSL.Context, turn: Callable[[SSL.Connection], None], is_client: bool) -> None:
        self.context = context
        self.turn = turn
        self.is_client = is_client
        self.protocols: set[Any] = set()

    def connection_for(self, protocol: Any) -> SSL.Connection:
        made = SSL.Connection(self.context, None)
        self.turn(made)
        return made

    def shaken(self, protocol: Any) -> None:
        """The handshake is done, which the echo shows as well."""

    def said_farewell(self, protocol: Any) -> None:
        """Nobody waits here for the answer longer than the pump turns."""

    def registerProtocol(self, protocol: Any) -> None:
        self.protocols.add(protocol)

    def unregisterProtocol(self, protocol: Any) -> None:
        self.protocols.discard(protocol)


def _server_context() -> SSL.Context:
    """A context with a certificate that lives as long as the try-out does."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "try-out")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    context = SSL.Context(SSL.TLS_METHOD)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    return context

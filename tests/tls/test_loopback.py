"""Python's ssl, openssl s_client and our own client side against Twisted's TLS over these contexts, on loopback."""

import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import define
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory

from edge.errors import TLSError
from edge.tls.service import certificates
from edge.tls.upstream import upstream_creator
from tests.tls.helpers import make_pair, python_client, reused

reactor: Any = the_reactor
HOST = (("server", "box.fritz.box", "localhost"), (ip_address("127.0.0.1"), ip_address("::1")))


class Hello(Protocol):
    """Greets once the handshake is done, and closes on the first byte that comes."""

    def connectionMade(self) -> None:
        self.transport.write(b"hello")  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.transport.loseConnection()  # type: ignore[union-attr]


@define
class Door:
    port: int
    root: Path
    contexts: Any


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    chain, key = make_pair("files.example.org")
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "files.pem").write_bytes(chain + key)
    service = certificates(
        Clock(), tmp_path, host=lambda: HOST, certificate="files", certs_dir=tmp_path / "certs", now=time.time
    )
    factory = TLSMemoryBIOFactory(service.contexts, False, Factory.forProtocol(Hello), reactor)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    root = tmp_path / "root.pem"
    root.write_bytes(service.authority.pem)
    yield Door(port.getHost().port, root, service.contexts)
    pytest_twisted.blockon(Deferred.fromCoroutine(stop(port)))


async def stop(port: Any) -> None:
    await port.stopListening()


def greet(
    door: Door, context: ssl.SSLContext, name: str | None, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool | None]:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=name, session=session) as sock:
            assert sock.recv(5) == b"hello"
            sock.send(b"!")
            assert sock.recv(1) == b""
            return sock.session, sock.session_reused


@pytest.mark.parametrize("name", ["box.fritz.box", "server", "localhost", "127.0.0.1", "::1"])
@pytest_twisted.ensureDeferred
async def test_python_trusts_every_name_and_address_with_the_ca_as_its_only_root(door: Door, name: str) -> None:
    client = python_client(door.root.read_bytes())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    await deferToThread(greet, door, client, name)


@pytest_twisted.ensureDeferred
async def test_python_refuses_another_name(door: Door) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await deferToThread(greet, door, python_client(door.root.read_bytes()), "other.lan")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["localhost", "files.example.org"])
@pytest_twisted.ensureDeferred
async def test_all_later_connections_resume(door: Door, tmp_path: Path, version: ssl.TLSVersion, name: str) -> None:
    client = python_client(door.root.read_bytes() + (tmp_path / "certs" / "files.pem").read_bytes())
    client.minimum_version = client.maximum_version = version
    session, resumed = await deferToThread(greet, door, client, name)
    assert not resumed
    outcomes = []
    for _ in range(30):
        session, resumed = await deferToThread(greet, door, client, name, session)
        outcomes.append(resumed)
    assert outcomes == [True] * 30


@pytest_twisted.ensureDeferred
async def test_openssls_own_client_reconnects_with_its_ticket(door: Door) -> None:
    done = await deferToThread(
        subprocess.run,
        [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{door.port}",
            "-tls1_2",
            "-reconnect",
            "-CAfile",
            str(door.root),
        ],
        capture_output=True,
        text=True,
        input="",
        timeout=30,
        check=False,
    )
    assert len(re.findall(r"^Reused, TLSv1\.2", done.stdout, re.MULTILINE)) == 5, done.stdout[-2000:]
    assert "Verify return code: 0 (ok)" in done.stdout
    assert "Compression: NONE" in done.stdout
    assert "Secure Renegotiation IS supported" in done.stdout


@pytest_twisted.ensureDeferred
async def test_the_standard_alert_answers_unknown_protocols(door: Door) -> None:
    client = python_client(door.root.read_bytes())
    client.set_alpn_protocols(["spdy/3"])
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        await deferToThread(greet, door, client, "localhost")


class Ear(Protocol):
    """Fires `heard` with the session's reuse at the greeting, or with the failure at the end."""

    def __init__(self) -> None:
        self.heard: Deferred[bool] = Deferred()
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        connection = self.transport.getHandle()  # type: ignore[union-attr]
        self.protocol = connection.get_alpn_proto_negotiated()
        self.heard.callback(reused(connection))
        self.transport.write(b"!")  # type: ignore[union-attr]

    def connectionLost(self, reason: Any = None) -> None:
        if not self.heard.called:
            self.heard.errback(reason)
        self.ended.callback(None)


async def upstream(door: Door, creator: Any) -> tuple[bool, bytes]:
    ear = Ear()
    endpoint = wrapClientTLS(creator, TCP4ClientEndpoint(reactor, "127.0.0.1", door.port, timeout=10))
    factory = Factory()
    factory.buildProtocol = lambda _address: ear  # type: ignore[method-assign,assignment]
    await endpoint.connect(factory)
    try:
        return await ear.heard, ear.protocol
    finally:
        await ear.ended


@pytest.mark.parametrize("name", ["box.fritz.box", "127.0.0.1", "::1"])
@pytest_twisted.ensureDeferred
async def test_an_upstream_is_verified_by_name_or_address_and_its_session_resumed(door: Door, name: str) -> None:
    creator = upstream_creator(name, door.root)
    assert [await upstream(door, creator) for _ in range(3)] == [
        (False, b"http/1.1"),
        (True, b"http/1.1"),
        (True, b"http/1.1"),
    ]


@pytest.mark.parametrize("name", ["other.fritz.box", "10.0.0.1"])
@pytest_twisted.ensureDeferred
async def test_an_upstream_with_another_name_is_refused_every_time(door: Door, name: str) -> None:
    creator = upstream_creator(name, door.root)
    for _ in range(3):
        with pytest.raises((VerificationError, SSL.Error)):
            await upstream(door, creator)
        creator._harvest()
        assert creator._session is None, "a session of whoever was refused must never be resumed"


@pytest_twisted.ensureDeferred
async def test_an_upstream_of_an_unknown_ca_is_refused(door: Door, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(make_pair("localhost")[0])
    for creator in (upstream_creator("localhost"), upstream_creator("localhost", tmp_path / "other.pem")):
        for _ in range(2):
            with pytest.raises(SSL.Error, match="certificate verify failed"):
                await upstream(door, creator)


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, "cannot be read"), (b"words", "no certificate"), (b"-----BEGIN CERTIFICATE-----\nAA", "cannot be read")],
)
def test_a_useless_ca_file_is_said(tmp_path: Path, text: bytes | None, why: str) -> None:
    if text is not None:
        (tmp_path / "ca.pem").write_bytes(text)
    with pytest.raises(TLSError, match=why):
        upstream_creator("localhost", tmp_path / "ca.pem")

"""The PROXY protocol over real sockets: whose the connection is, on every transport, with TLS above or nothing."""

import socket
import ssl

import pytest
import pytest_twisted
from twisted.internet import threads
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher

from edge.transport.crowd import Crowd
from edge.transport.listen import listen
from edge.transport.preamble import SILENCE, PreambleFactory
from edge.transport.tcp import LeanServer

together = pytest_twisted.ensureDeferred
LINE = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n"


@pytest.fixture
def announced(reactor, fast, protocols, kinds, closing):
    """`announced(tls=None, crowd=None, proxies=None)`: a port with echoes behind proxies, of a patience of a minute."""

    def make(tls=None, crowd=None, proxies=None, patience=60):
        make.echoes = protocols(kinds["echoes"])
        port = listen(
            reactor, fast, "127.0.0.1:0", make.echoes, tls, crowd=crowd,
            below=lambda factory: PreambleFactory(factory, reactor, patience, proxies),
        )  # fmt: skip
        closing.append(port)
        return ("127.0.0.1", port.getHost().port)

    return make


@pytest.fixture
def told():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield lambda: [event["log_format"].format(**event) for event in events if "was refused" in event["log_format"]]
    globalLogPublisher.removeObserver(events.append)


def ends(line: socket.socket) -> bool:
    """Whether the other end hangs up."""
    line.settimeout(5)
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


@together
async def test_the_announced_address_is_the_peer_and_the_rest_of_the_bytes_reach_the_protocol(announced, fast):
    where = announced()
    came = announced.echoes.next()
    with socket.create_connection(where) as line:
        line.sendall(LINE + b"hello")
        protocol = await came
        assert await protocol.heard(5) == b"hello"
        peer = protocol.transport.getPeer()
        assert (type(peer), peer.host, peer.port) == (IPv4Address, "192.0.2.7", 4711)
        assert protocol.transport.getHost().port == where[1]
        assert isinstance(protocol.transport, LeanServer) is fast
        assert protocol.transport.protocol is protocol
        assert await threads.deferToThread(line.recv, 5) == b"hello"
    await protocol.ended


@together
async def test_a_header_may_come_byte_by_byte_and_nothing_begins_before_its_end(announced):
    where = announced()
    came = announced.echoes.next()

    def talk():
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in LINE[:-1]:
            line.sendall(bytes((byte,)))

    with socket.create_connection(where) as line:
        await threads.deferToThread(talk)
        assert not announced.echoes.made
        line.sendall(LINE[-1:])
        protocol = await came
        assert protocol.transport.getPeer().host == "192.0.2.7" and not protocol.received
    await protocol.ended


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"], ids=["unknown", "local"])
@together
async def test_a_proxy_that_speaks_for_itself_is_the_peer(announced, header):
    where = announced()
    came = announced.echoes.next()
    with socket.create_connection(where) as line:
        line.sendall(header)
        assert (await came).transport.getPeer().host == "127.0.0.1"
    await announced.echoes.made[0].ended


@together
async def test_tls_begins_behind_the_header_in_the_same_segment_or_later(announced, contexts):
    where = announced(tls=contexts())

    def talk():
        with socket.create_connection(where, timeout=5) as plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
            secure = context.wrap_bio(into, out)
            first = LINE
            while True:
                try:
                    secure.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    plain.sendall(first + out.read())
                    first = b""
                    into.write(plain.recv(65536))
            secure.write(b"x")
            plain.sendall(out.read())
            while True:
                try:
                    return secure.read(1)
                except ssl.SSLWantReadError:
                    into.write(plain.recv(65536))

    came = announced.echoes.next()
    talking = threads.deferToThread(talk)
    protocol = await came
    await protocol.heard(1)
    assert protocol.transport.getPeer().host == "192.0.2.7"
    assert await talking == b"x"
    await protocol.ended


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b'PROXY TCP4 x","client_ip":"\x1b[31m 1.1.1.1 1 2\r\n', b"PROXY TCP4 " + b"1" * 107],
)
@together
async def test_what_is_no_header_ends_the_connection_and_none_of_it_is_logged(announced, told, data):
    where = announced()
    with socket.create_connection(where) as line:
        line.sendall(data)
        assert await threads.deferToThread(ends, line)
    assert not announced.echoes.made
    assert len(told()) == 1 and told()[0].startswith("a connection from 127.0.0.1 was refused: ")
    assert "client_ip" not in told()[0] and "GET" not in told()[0]


@together
async def test_who_does_not_announce_anybody_in_time_is_let_go(announced, told):
    where = announced(patience=0.05)
    with socket.create_connection(where) as line:
        line.sendall(LINE[:9])
        assert await threads.deferToThread(ends, line)
    assert told() == ["a connection from 127.0.0.1 was refused: no whole header in time"]


@together
async def test_the_time_for_the_header_ends_with_it(announced, reactor):
    from twisted.internet import task

    where = announced(patience=0.05)
    came = announced.echoes.next()
    with socket.create_connection(where) as line:
        line.sendall(LINE)
        protocol = await came
        await task.deferLater(reactor, 0.15)
        line.sendall(b"x")
        assert await protocol.heard(1) == b"x"
    await protocol.ended


@together
async def test_who_is_no_trusted_proxy_announces_nobody(announced, told):
    where = announced(proxies=lambda host: host != "127.0.0.1")
    for _ in range(2):
        with socket.create_connection(where) as line:
            try:
                line.sendall(LINE + b"hello")
            except OSError:
                continue
            assert await threads.deferToThread(ends, line)
    assert not announced.echoes.made
    assert len(told()) == 1 and "no trusted proxy" in told()[0]


@together
async def test_the_clients_of_one_proxy_are_counted_one_by_one(announced, soon):
    crowd = Crowd(per_peer=2, exempt=lambda host: host == "127.0.0.1")
    where = announced(crowd=crowd)
    lines = []
    for number in range(5):
        lines.append(socket.create_connection(where))
        lines[-1].sendall(b"PROXY TCP4 203.0.113.%d 192.0.2.1 1 2\r\n" % number)
        assert await soon(lambda: len(announced.echoes.made) == len(lines))
    for _ in range(2):
        lines.append(socket.create_connection(where))
        lines[-1].sendall(b"PROXY TCP4 203.0.113.0 192.0.2.1 1 2\r\n")
    assert await threads.deferToThread(ends, lines[-1])
    assert crowd.of("203.0.113.0") == 2 and crowd.of("203.0.113.1") == 1 and crowd.of("127.0.0.1") == 0
    assert crowd.refused == 1
    for line in lines:
        line.close()
    assert await soon(lambda: crowd.here == 0)
    assert not crowd._peers


def test_refusals_are_told_now_and_then_only(told):
    clock = Clock()
    factory = PreambleFactory(None, clock, 10)

    def refused():
        transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.9", 1))
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(b"GET")
        assert transport.disconnected
        protocol.dataReceived(b"PROXY UNKNOWN\r\n")

    for _ in range(5):
        refused()
    assert len(told()) == 1
    clock.advance(SILENCE)
    refused()
    assert len(told()) == 2
    assert not clock.getDelayedCalls()

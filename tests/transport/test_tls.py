"""TLS, lean and stock: farewells, cuts, bad beginnings, ALPN, names, resumption; and the way back to stock."""

import random
import re
import socket
import ssl
import threading
from pathlib import Path

import pytest
import pytest_twisted
from OpenSSL import SSL
from twisted.internet import task, threads
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ITCPTransport

from edge.tls.contexts import PARTIAL_WRITE
from edge.transport import selftest, tls
from edge.transport.listen import listen
from edge.transport.misled import ANSWER
from edge.transport.secure import FAREWELL, TLSFactory

together = pytest_twisted.ensureDeferred
TLS12, TLS13 = SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION


def trusting(alpn=()):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def python_client(port, talk, alpn=()):
    """Run `talk(socket)` in a thread, with the standard library's TLS round the socket."""

    def run():
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            with trusting(alpn).wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as secure:
                return talk(secure)

    return threads.deferToThread(run)


@pytest.fixture
def server(reactor, fast, contexts, protocols, kinds, closing):
    """`server(kind, tls, handshake)`: a listening port's number and the factory behind it."""

    def make(kind="echoes", tls=None, handshake=10.0):
        factory = protocols(kinds[kind])
        port = listen(reactor, fast, "127.0.0.1:0", factory, tls or contexts(), handshake=handshake)
        closing.append(port)
        return port.getHost().port, factory

    return make


@together
async def test_the_farewell_is_answered_and_the_end_is_a_clean_one(server):
    port, factory = server()
    came = factory.next()

    def talk(secure):
        secure.sendall(b"hello")
        assert secure.recv(100) == b"hello"
        secure.unwrap().close()  # raises unless the server's close_notify came

    await python_client(port, talk)
    assert isinstance(await (await came).ended, ConnectionDone)


@together
async def test_our_farewell_reaches_the_client(server):
    port, factory = server("remembers")
    came = factory.next()
    talking = python_client(port, lambda secure: secure.sendall(b"x") or (secure.recv(100), secure.recv(100)))
    protocol = await came
    await protocol.heard(1)
    protocol.transport.write(b"bye")
    protocol.transport.loseConnection()
    assert await talking == (b"bye", b"")
    await protocol.ended


@together
async def test_an_end_without_a_farewell_is_a_loss(server):
    port, factory = server()
    came = factory.next()

    def talk(secure):
        secure.sendall(b"hello")
        secure.recv(100)
        socket.socket(fileno=secure.detach()).close()

    await python_client(port, talk)
    protocol = await came
    assert isinstance(await protocol.ended, ConnectionLost)
    assert bytes(protocol.received) == b"hello"


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", bytes(300), b"\x16\x03\x01\xff\xff" + b"x" * 70_000])
@together
async def test_garbage_for_a_handshake_ends_the_connection(server, garbage):
    port, factory = server()
    came = factory.next()

    def talk():
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            try:
                plain.sendall(garbage)
                while plain.recv(1000):
                    pass
            except ConnectionError:
                pass

    await threads.deferToThread(talk)
    protocol = await came
    assert not isinstance(await protocol.ended, ConnectionDone)
    assert not protocol.received


@together
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
async def test_who_speaks_plain_http_is_told_to_come_by_https(server, method):
    port, factory = server()
    came = factory.next()

    def talk():
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.sendall(f"{method} /a HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            return b"".join(iter(lambda: plain.recv(1000), b""))

    assert await threads.deferToThread(talk) == ANSWER
    await (await came).ended


@together
async def test_a_client_that_dawdles_in_the_handshake_is_cut_off(server, reactor):
    port, factory = server(handshake=0.3)
    came = factory.next()
    began = reactor.seconds()
    with socket.create_connection(("127.0.0.1", port)) as silent:
        protocol = await came
        silent.sendall(b"\x16\x03\x01")
        await protocol.ended
    assert 0.25 < reactor.seconds() - began < 1.0


@together
async def test_a_finished_handshake_has_no_deadline(server, reactor):
    port, _ = server(handshake=0.2)

    def talk(secure):
        secure.sendall(b"a")
        secure.recv(1)
        threading.Event().wait(0.6)
        secure.sendall(b"b")
        return secure.recv(1)

    assert await python_client(port, talk) == b"b"


@together
async def test_a_peer_that_never_answers_the_farewell_is_let_go(reactor, fast, contexts, protocols, kinds, closing):
    factory = protocols(kinds["remembers"])
    port = listen(reactor, fast, "127.0.0.1:0", factory, contexts())
    closing.append(port)
    wrapper = port.ports[0].factory
    assert isinstance(wrapper, TLSFactory)
    wrapper._farewell, wrapper._handshake = 0.2, 0.5
    came = factory.next()
    done = threading.Event()

    def talk(secure):
        secure.sendall(b"x")
        done.wait(5)

    talking = python_client(port.getHost().port, talk)
    protocol = await came
    await protocol.heard(1)
    began = reactor.seconds()
    protocol.transport.loseConnection()
    await protocol.ended
    assert reactor.seconds() - began < 1.5
    done.set()
    await talking
    assert not wrapper.protocols and not wrapper._shaking and not wrapper._leaving


def test_a_peer_that_reads_slowly_has_its_time_once_it_has_got_the_last_byte(monkeypatch, protocols, kinds):
    clock, waiting, ended = task.Clock(), [100], []
    monkeypatch.setattr("edge.transport.secure.unsent", lambda transport: waiting[0])
    factory = TLSFactory(clock, True, None, protocols(kinds["echoes"]), False)

    class Leaving:
        class transport:
            loseConnection = staticmethod(lambda: ended.append(clock.seconds()))

    factory.protocols.add(Leaving)
    factory.said_farewell(Leaving)
    clock.pump([0.5] * 50)
    assert not ended
    waiting[0] = 0
    got = clock.seconds()
    clock.pump([0.5] * 50)
    assert ended and FAREWELL <= ended[0] - got <= 2 * FAREWELL + 2
    factory.unregisterProtocol(Leaving)
    assert not factory._leaving and not factory._slow


@together
async def test_alpn_is_negotiated_and_told(server):
    port, factory = server()
    came = factory.next()

    def talk(secure):
        secure.sendall(b"x")
        secure.recv(1)
        return secure.selected_alpn_protocol()

    assert await python_client(port, talk, ["http/1.1", "h2"]) == "h2"
    protocol = await came
    await protocol.ended


@pytest.mark.parametrize("offered", [(), ("h2", "http/1.1"), ("something",)])
@together
async def test_a_context_without_alpn_serves_those_who_offer_it(server, contexts, offered):
    port, _ = server(tls=contexts(alpn=None))

    def talk(secure):
        secure.sendall(b"x")
        return secure.recv(1), secure.selected_alpn_protocol()

    assert await python_client(port, talk, offered) == (b"x", None)


@together
async def test_the_protocol_learns_alpn_and_the_name_asked_for(pair, kinds, contexts, asking):
    theirs = contexts()
    creator = asking(alpn=(b"http/1.1",), name=b"home.example")
    here, there = await pair("tls", kinds["remembers"], tls=theirs, creator=creator)
    assert here.transport.negotiatedProtocol is None
    there.transport.write(b"x")
    await here.heard(1)
    assert here.transport.negotiatedProtocol == there.transport.negotiatedProtocol == b"http/1.1"
    assert theirs.asked == [b"home.example"]
    assert ITCPTransport.providedBy(here.transport)
    assert here.transport.getPeer().host == "127.0.0.1"


@pytest.mark.parametrize("version", [TLS12, TLS13])
@together
async def test_every_client_that_offers_a_ticket_resumes(pair, kinds, contexts, asking, version):
    theirs = contexts(version=version)
    creator = asking()
    resumed = []
    for _ in range(6):
        _, there = await pair("tls", kinds["echoes"], tls=theirs, creator=creator)
        there.transport.write(b"x")
        await there.heard(1)
        resumed.append(session_reused(there.transport.getHandle()))
        creator.session = there.transport.getHandle().get_session()
        there.transport.loseConnection()
        await there.ended
    assert resumed == [False] + [True] * 5


def session_reused(connection):
    return bool(SSL._lib.SSL_session_reused(connection._ssl))


@together
async def test_a_client_that_asks_to_renegotiate_does_no_harm(pair, kinds, contexts, asking, reactor):
    here, there = await pair("tls", kinds["echoes"], tls=contexts(version=TLS12), creator=asking())
    there.transport.write(b"x" * 20_000)
    await there.heard(20_000)
    handle = there.transport.getHandle()
    handle.renegotiate()
    with pytest.raises(SSL.WantReadError):
        handle.do_handshake()
    there.transport.transport.write(handle.bio_read(65_536))
    await task.deferLater(reactor, 0.1)
    if here.reason is None and there.reason is None:
        there.transport.write(b"y" * 20_000)
        assert (await there.heard(40_000)).endswith(b"y")


@together
async def test_two_connections_that_read_in_turn_do_not_mix(pair, kinds, kind):
    one, one_client = await pair("tls", kinds["remembers"])
    two, two_client = await pair("tls", kinds["remembers"])
    for _ in range(50):
        one_client.transport.write(b"1" * 30_000)
        two_client.transport.write(b"2" * 30_000)
    assert set(await one.heard(1_500_000)) == {ord("1")}
    assert set(await two.heard(1_500_000)) == {ord("2")}


@together
async def test_pausing_tls_pauses_the_socket_below(pair, kinds, reactor, soon):
    server, client = await pair("tls", kinds["remembers"])
    client.transport.write(b"x")
    await server.heard(1)
    server.transport.pauseProducing()
    assert server.transport.transport not in reactor.getReaders()
    client.transport.write(bytes(20_000_000))
    await task.deferLater(reactor, 0.1)
    assert len(server.received) == 1
    server.transport.resumeProducing()
    await server.heard(20_000_001)


@together
async def test_what_arrives_is_at_most_one_read_at_a_time(pair, kinds, fast):
    server, client = await pair("tls", kinds["remembers"])
    client.transport.write(bytes(5_000_000))
    await server.heard(5_000_000)
    assert server.most <= (128 if fast else 96) * 1024


@pytest.fixture
def ends(contexts):
    """A lean server and a lean client in memory, not yet shaken hands."""
    return joined(contexts())


def joined(contexts):
    server, client = selftest._End(selftest.Catch()), selftest._End(selftest.Catch())
    server.peer, client.peer = client, server
    server.begin(tls.LeanTLS, contexts.context, SSL.Connection.set_accept_state, False)
    client.begin(tls.LeanTLS, SSL.Context(SSL.TLS_METHOD), SSL.Connection.set_connect_state, True)
    return server, client


SMALL, MIXED, LARGE = [1, 2, 4, 5, 6], [1, 3, 5, 100, 5_000, 16_405, 70_000], [16_384, 65_536, 200_000, 262_144]


@pytest.mark.parametrize("cuts", [SMALL, MIXED, LARGE], ids=["small", "mixed", "large"])
@pytest.mark.parametrize("seed", range(4))
def test_lean_tls_delivers_every_record_with_its_last_byte(ends, cuts, seed):
    """Wherever the stream is cut, in headers too, nothing complete is held back until more arrives."""
    server, client = ends
    selftest._pump(server, client)
    chance = random.Random(seed)
    wire, complete = b"", []
    sizes = [chance.choice([1, 2, 300, 9_000, 16_384]) for _ in range(20 if cuts is SMALL else 200)]
    for number, size in enumerate(sizes):
        client.tls.write(bytes([number % 251]) * size)
        wire += b"".join(client.queue)
        client.queue.clear()
        complete.append((len(wire), sum(sizes[: number + 1])))
    at = 0
    while at < len(wire):
        cut = min(at + chance.choice(cuts), len(wire))
        server.tls.dataReceived(wire[at:cut])
        at = cut
        assert len(server.app.received) == max((plain for end, plain in complete if end <= at), default=0)
    assert bytes(server.app.received) == b"".join(bytes([n % 251]) * size for n, size in enumerate(sizes))


@pytest.mark.parametrize("size", [1, 40_000, 300_000])
def test_data_that_comes_along_with_the_end_of_the_handshake_is_delivered(ends, size):
    server, client = ends
    client.tls.write(b"y" * size)
    client.carry()
    server.carry()
    server.tls.dataReceived(b"".join(client.queue))
    client.queue.clear()
    assert bytes(server.app.received) == b"y" * size


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_tickets_wait_for_the_first_answer_where_it_is_asked_for_at_once(contexts, version, asks):
    server, client = joined(contexts(version=version))
    if asks:
        client.tls.write(b"?")
    while not server.tls.shaken:
        client.carry()
        server.carry()
    waits = asks and version == TLS13
    while client.carry() or (not waits and server.carry()):
        pass
    assert bytes(server.app.received) == b"?" * asks
    assert not server.queue
    server.tls.write(b"!" * 100)
    sent = b"".join(server.queue)
    assert (len(sent) > 400) == waits
    server.carry()
    assert bytes(client.app.received) == b"!" * 100


@pytest.mark.parametrize("partial", [True, False], ids=["record by record", "at once"])
@pytest.mark.parametrize("size", [16_384, 16_385, 65_536, 65_537, 262_144, 1_000_003])
def test_a_large_write_is_whole_however_much_openssl_takes_at_once(ends, partial, size):
    server, client = ends
    selftest._pump(server, client)
    if not partial:
        tls._lib.SSL_clear_mode(server.tls._ssl, PARTIAL_WRITE)
    sent = random.Random(size).randbytes(size)
    server.tls.write(sent)
    assert max(map(len, server.queue)) <= tls._CIPHER_SIZE
    selftest._pump(server, client)
    assert bytes(client.app.received) == sent


def test_an_error_of_one_connection_is_not_met_by_the_next(ends, contexts):
    server, client = ends
    selftest._pump(server, client)
    broken = selftest._End(selftest.Catch())
    broken.begin(tls.LeanTLS, contexts().context, SSL.Connection.set_accept_state, False)
    broken.tls.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
    assert broken.closed
    unfinished = selftest._End(selftest.Catch())
    unfinished.begin(tls.LeanTLS, contexts().context, SSL.Connection.set_accept_state, False)
    unfinished.tls._shutdownTLS()
    assert not tls._lib.ERR_peek_error()
    client.tls.write(b"x")
    selftest._pump(server, client)
    assert bytes(server.app.received) == b"x"
    assert not server.closed


def test_a_forged_record_ends_the_connection_after_what_came_before_it(ends):
    server, client = ends
    selftest._pump(server, client)
    client.tls.write(b"good")
    good = b"".join(client.queue)
    client.queue.clear()
    server.tls.dataReceived(good + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert bytes(server.app.received) == b"good"
    assert server.closed
    server.tls.connectionLost()
    assert isinstance(server.app.ended.value, SSL.Error)
    assert not tls._lib.ERR_peek_error()


def test_what_is_written_before_the_handshake_is_done_goes_out_after_it_in_order(ends):
    server, client = ends
    for part in (b"one", b"two" * 10_000, b"three"):
        server.tls.write(part)
    selftest._pump(server, client)
    assert bytes(client.app.received) == b"one" + b"two" * 10_000 + b"three"


def test_nothing_is_delivered_after_an_abort(ends):
    server, client = ends
    selftest._pump(server, client)
    client.tls.write(b"x")
    server.tls.abortConnection()
    client.carry()
    assert not server.app.received


def test_only_one_file_touches_the_private_names_of_pyopenssl():
    edge = Path(tls.__file__).parents[1]
    private = re.compile(r"SSL\._|\._(ssl|lib|ffi|into_ssl|from_ssl)\b")
    assert [path.name for path in edge.rglob("*.py") if private.search(path.read_text())] == ["tls.py"]


@pytest.mark.parametrize("name", ["SSL_read", "BIO_write", "_ffi", "WANT_READ"])
def test_a_private_name_that_is_missing_is_said(monkeypatch, name):
    monkeypatch.setattr(tls, name, None)
    assert "has no" in tls._try()


def test_a_method_that_is_missing_is_said(monkeypatch):
    monkeypatch.delattr(SSL.Connection, "_raise_ssl_error")
    assert "Connection._raise_ssl_error" in tls._try()


def test_a_private_name_that_means_something_else_is_found_out(monkeypatch):
    monkeypatch.setattr(tls, "BIO_read", lambda *arguments: 0)
    assert "try-out failed" in tls._try()


def test_nothing_is_missing_here():
    assert tls._try() is None


def test_what_is_missing_brings_the_stock_protocol_and_one_line_in_the_log(monkeypatch, reactor, contexts, protocols):
    from twisted.logger import globalLogPublisher
    from twisted.protocols.tls import BufferingTLSTransport

    from edge.transport.secure import server_side

    lines = []
    monkeypatch.setattr(tls, "BIO_read", None)
    globalLogPublisher.addObserver(lines.append)
    tls.trouble.cache_clear()
    try:
        for _ in range(2):
            made = server_side(reactor, True, contexts(), protocols(None))
    finally:
        globalLogPublisher.removeObserver(lines.append)
        tls.trouble.cache_clear()
    assert issubclass(made.protocol, BufferingTLSTransport)
    said = [line for line in lines if "BIO_read" in line.get("said", "")]
    assert len(said) == 1


class Paused:
    """A source that notes that it is to wait."""

    def __init__(self):
        self.waits = Deferred()

    def pauseProducing(self):
        waits, self.waits = self.waits, None
        if waits is not None:
            waits.callback(None)

    def resumeProducing(self):
        pass

    def stopProducing(self):
        pass


@together
async def test_a_farewell_ends_it_though_what_is_written_waits_for_more(pair, kinds):
    here, there = await pair("tls", kinds["remembers"])
    there.transport.write(b"x")
    await here.heard(1)
    there.transport.transport.pauseProducing()
    source = Paused()
    waits = source.waits
    here.transport.registerProducer(source, True)
    here.transport.write(bytes(20_000_000))
    await waits
    there.transport.loseConnection()
    there.transport.transport.resumeProducing()
    await here.ended

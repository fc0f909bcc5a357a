"""What every transport promises, lean or stock, over TCP, UNIX and TLS."""

import fcntl
import os
import random
import socket
import ssl
import struct
import termios

import pytest
import pytest_twisted
from twisted.internet import task, threads
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import implementer

from edge.transport.listen import listen
from edge.transport.unsent import socket_transport, unsent

together = pytest_twisted.ensureDeferred


def trusting():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("size", [1, 16_384, 16_385, 1_000_003])
@together
async def test_bytes_come_back_as_they_went(pair, kind, size):
    _, client = await pair(kind)
    sent = os.urandom(size)
    client.transport.write(sent)
    assert await client.heard(size) == sent


@together
async def test_twenty_megabytes_in_random_pieces_come_back(pair, kind, reactor):
    _, client = await pair(kind)
    chance = random.Random(7)
    sent = chance.randbytes(20_000_000)
    at = 0
    while at < len(sent):
        size = chance.choice([1, 100, 5_000, 16_384, 70_000, 400_000, 3_000_000])
        client.transport.write(sent[at : at + size])
        at += size
        if chance.random() < 0.2:
            await task.deferLater(reactor, 0)
    assert await client.heard(len(sent)) == sent


@together
async def test_everything_written_before_the_close_arrives(pair, kind, kinds):
    server, client = await pair(kind, kinds["remembers"])
    sent = os.urandom(3_000_000)
    server.transport.write(sent)
    server.transport.loseConnection()
    reason = await client.ended
    assert bytes(client.received) == sent
    assert isinstance(reason, ConnectionDone)
    assert (await server.ended) is not None


@together
async def test_an_abort_ends_both_sides_and_drops_what_was_queued(pair, kind, kinds):
    server, client = await pair(kind, kinds["remembers"])
    client.transport.pauseProducing()
    server.transport.write(bytes(30_000_000))
    server.transport.abortConnection()
    assert not isinstance(await server.ended, ConnectionDone)
    client.transport.resumeProducing()
    reason = await client.ended
    assert len(client.received) < 30_000_000
    assert kind == "unix" or isinstance(reason, ConnectionLost)


@together
async def test_a_transport_that_was_paused_hears_the_rest_once_resumed(pair, kind, kinds, reactor):
    server, client = await pair(kind, kinds["remembers"])
    server.transport.pauseProducing()
    client.transport.write(b"x" * 100_000)
    await task.deferLater(reactor, 0.05)
    assert not server.received
    server.transport.resumeProducing()
    assert await server.heard(100_000)
    client.transport.write(b"y")
    assert (await server.heard(100_001))[-1:] == b"y"


def in_kernel(transport):
    taken = fcntl.ioctl(socket_transport(transport).fileno(), termios.TIOCOUTQ, bytes(4))
    return struct.unpack("i", taken)[0]


class Pushes:
    """A producer that writes until it is paused."""

    def __init__(self, transport, reactor, total):
        self.transport, self.left = transport, total
        self.paused = 0
        self.running = False
        self.reactor = reactor
        self.most = 0

    def start(self):
        self.running = True
        while self.running and self.left:
            piece = min(self.left, 32_768)
            self.left -= piece
            self.transport.write(bytes(piece))
            self.most += piece
        if not self.left:
            self.transport.unregisterProducer()

    def pauseProducing(self):
        self.paused += 1
        self.running = False

    def resumeProducing(self):
        self.reactor.callLater(0, self.start)

    def stopProducing(self):
        self.running = False


@together
async def test_a_slow_reader_pauses_the_producer_and_bounds_what_is_held(pair, kind, kinds, reactor):
    server, client = await pair(kind, kinds["remembers"])
    client.transport.pauseProducing()
    total = 40_000_000
    producer = Pushes(server.transport, reactor, total)
    server.transport.registerProducer(producer, True)
    producer.start()
    for _ in range(10):
        await task.deferLater(reactor, 0.02)
    assert producer.paused
    assert producer.left, "the producer was never held"
    assert unsent(server.transport) - in_kernel(server.transport) <= 64 * 1024 + 2 * 32_768
    client.transport.resumeProducing()
    assert len(await client.heard(total)) == total


class Pulls:
    """A producer that writes once each time it is asked."""

    def __init__(self, transport, pieces):
        self.transport, self.pieces = transport, pieces

    def resumeProducing(self):
        if self.pieces:
            self.transport.write(self.pieces.pop(0))
        if not self.pieces:
            self.transport.unregisterProducer()

    def stopProducing(self):
        self.pieces = []


@together
async def test_a_pull_producer_is_asked_until_it_is_done(pair, kind, kinds):
    server, client = await pair(kind, kinds["remembers"])
    server.transport.registerProducer(Pulls(server.transport, [b"a"] * 20), False)
    assert await client.heard(20) == b"a" * 20


@together
async def test_a_close_waits_for_the_producer_and_then_closes(pair, kind, kinds, reactor):
    server, client = await pair(kind, kinds["remembers"])

    class Idle:
        def pauseProducing(self): ...
        def resumeProducing(self): ...
        def stopProducing(self): ...

    server.transport.registerProducer(Idle(), True)
    server.transport.write(b"last words")
    server.transport.loseConnection()
    server.transport.unregisterProducer()
    assert isinstance(await client.ended, ConnectionDone)
    assert bytes(client.received) == b"last words"
    await server.ended


@together
async def test_writing_after_the_end_is_harmless(pair, kind, kinds):
    server, client = await pair(kind, kinds["remembers"])
    transport = server.transport
    client.transport.abortConnection()
    await server.ended
    transport.write(b"too late")
    transport.writeSequence([b"much", b"too late"])
    transport.loseConnection()


@pytest.mark.parametrize("kind", ["tcp", "tls"])
@together
async def test_a_reset_that_a_write_meets_first_is_still_a_loss(
    reactor, fast, protocols, kinds, contexts, closing, kind
):
    """The kernel tells of a reset once; when a write hears it, the read that follows looks like an orderly end."""
    factory = protocols(kinds["remembers"])
    port = listen(reactor, fast, "127.0.0.1:0", factory, contexts() if kind == "tls" else None)
    closing.append(port)
    came = factory.next()
    plain = socket.create_connection(("127.0.0.1", port.getHost().port))
    server = await came
    if kind == "tls":
        plain = await threads.deferToThread(trusting().wrap_socket, plain)
    await threads.deferToThread(plain.sendall, b"hello")
    await server.heard(5)
    await task.deferLater(reactor, 0.02)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()
    server.transport.write(b"into the void")
    assert server.reason is None
    assert isinstance(await server.ended, ConnectionLost)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@together
async def test_half_a_close_leaves_the_other_half(pair, kind, kinds):
    ended = []

    @implementer(IHalfCloseableProtocol)
    class Half(kinds["remembers"]):
        def readConnectionLost(self):
            ended.append("read")
            self.transport.write(b"answer")
            self.transport.loseConnection()

        def writeConnectionLost(self):
            ended.append("write")

    server, client = await pair(kind, Half, Half)
    client.transport.write(b"question")
    client.transport.loseWriteConnection()
    assert await client.heard(6) == b"answer"
    assert bytes(server.received) == b"question"
    assert ended[:2] == ["write", "read"]
    await server.ended


@together
async def test_a_peer_that_broke_off_is_never_told_from_inside_write(pair, kind, kinds, reactor):
    server, client = await pair(kind, kinds["remembers"])
    client.transport.write(b"hello")
    await server.heard(5)
    server.transport.pauseProducing()
    client.transport.abortConnection()
    await client.ended
    for _ in range(5):
        server.transport.write(b"x" * 1000)
        assert server.reason is None, "connectionLost ran inside write"
    assert isinstance(await server.ended, ConnectionLost)

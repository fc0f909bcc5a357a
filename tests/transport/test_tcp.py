"""Lean sockets: buffers that many share, and closing from inside a read."""

import pytest
import pytest_twisted
from twisted.internet import task
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol

from edge.transport.connect import connect
from edge.transport.listen import listen
from edge.transport.tcp import Lean

together = pytest_twisted.ensureDeferred
lean = pytest.mark.parametrize("fast", [True], indirect=True, ids=["fast"])


@lean
@together
async def test_what_the_kernel_does_not_take_of_a_shared_buffer_is_copied(pair, kinds):
    server, client = await pair("tcp", kinds["remembers"])
    client.transport.pauseProducing()
    shared = bytearray(b"a" * 30_000_000)
    server.transport.push(memoryview(shared))
    shared[:] = bytes(len(shared))
    client.transport.resumeProducing()
    assert await client.heard(len(shared)) == b"a" * len(shared)


@together
async def test_bytes_like_things_are_refused_as_twisted_refuses_them(pair, kinds):
    server, _ = await pair("tcp", kinds["remembers"])
    with pytest.raises(TypeError):
        server.transport.write("text")


class Answers(Protocol):
    """Says something and closes as soon as it hears something; notes whether it was told of the end meanwhile."""

    answer = b"bye"
    after = b""

    def connectionMade(self):
        self.factory.made.append(self)
        self.told = False
        self.within = None

    def dataReceived(self, data):
        self.transport.write(self.answer)
        self.transport.loseConnection()
        self.transport.write(self.after)
        self.within = self.told

    def connectionLost(self, reason):
        self.told = True
        self.reason = reason.value


@pytest.fixture
def answering(reactor, fast, protocols, closing, contexts):
    def make(tls=False, **words):
        kind = type("Answering", (Answers,), words)
        factory = protocols(kind)
        port = listen(reactor, fast, "127.0.0.1:0", factory, contexts() if tls else None)
        closing.append(port)
        return port, factory

    return make


@pytest.mark.parametrize("size", [3, 20_000_000])
@together
async def test_closing_from_inside_a_read_sends_everything_and_tells_the_end_afterwards(
    answering, reactor, fast, protocols, kinds, size, soon
):
    port, factory = answering(answer=b"b" * size)
    theirs = protocols(kinds["remembers"])
    client = await connect(reactor, fast, "127.0.0.1", port.getHost().port, theirs)
    client.transport.write(b"x")
    assert isinstance(await client.ended, ConnectionDone)
    assert client.received == b"b" * size
    (server,) = factory.made
    assert await soon(lambda: server.told)
    assert server.within is False
    assert isinstance(server.reason, ConnectionDone)


@lean
@together
async def test_a_close_that_nothing_holds_back_needs_no_further_turn(pair, kinds):
    server, client = await pair("tcp", kinds["remembers"])
    below = server.transport
    assert isinstance(below, Lean)
    began = below.startWriting
    asked = []
    below.startWriting = lambda: asked.append(1) or began()
    server.dataReceived = lambda data: below.loseConnection()
    client.transport.write(b"x")
    assert isinstance(await server.ended, ConnectionDone)
    assert not asked
    await client.ended


@together
async def test_a_close_from_a_read_still_waits_for_a_producer(pair, kinds, reactor):
    server, client = await pair("tcp", kinds["remembers"])

    class Source:
        def resumeProducing(self):
            pass

        pauseProducing = stopProducing = resumeProducing

    # Paused by what is queued, so that even a stock transport has to wait for it.
    client.transport.pauseProducing()
    server.transport.registerProducer(Source(), True)
    server.dataReceived = lambda data: server.transport.loseConnection()
    client.transport.write(b"x")
    server.transport.write(bytes(20_000_000))
    await task.deferLater(reactor, 0.05)
    assert server.reason is None
    server.transport.unregisterProducer()
    client.transport.resumeProducing()
    await client.ended
    assert len(client.received) == 20_000_000

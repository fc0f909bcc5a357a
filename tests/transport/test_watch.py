"""A peer that leaves while reading is paused is noticed at once, over every kind of transport."""

import os
import socket

import pytest_twisted
from twisted.internet import defer, task

from edge.transport.watch import Watch

together = pytest_twisted.ensureDeferred


async def paused(pair, kind, kinds, reactor):
    """A pair whose server side has stopped reading, after a first exchange."""
    server, client = await pair(kind, kinds["remembers"])
    client.transport.write(b"hello")
    await server.heard(5)
    server.transport.pauseProducing()
    await task.deferLater(reactor, 0.02)  # what TLS still had to say is said, so the reactor does not look either
    return server, client


@together
async def test_a_client_that_closes_while_paused_is_noticed(pair, kind, kinds, reactor):
    server, client = await paused(pair, kind, kinds, reactor)
    watch, gone = Watch(reactor), defer.Deferred()
    watch.add(server.transport, lambda: gone.callback(reactor.seconds()))
    await task.deferLater(reactor, 0.05)
    assert not gone.called
    left = reactor.seconds()
    client.transport.loseConnection()
    if kind == "tls":
        client.transport.transport.loseConnection()  # TLS waits for our farewell, a process that dies does not
    assert await gone - left < 0.25
    assert len(watch) == 0
    watch.close()


@together
async def test_a_client_that_breaks_off_is_noticed_once(pair, kind, kinds, reactor):
    server, client = await paused(pair, kind, kinds, reactor)
    watch, told = Watch(reactor), []
    watch.add(server.transport, lambda: told.append(1))
    client.transport.abortConnection()
    await task.deferLater(reactor, 0.1)
    assert told == [1]
    watch.close()


@together
async def test_data_that_arrives_is_no_leaving(pair, kinds, reactor):
    server, client = await paused(pair, "tcp", kinds, reactor)
    watch, told = Watch(reactor), []
    watch.add(server.transport, lambda: told.append(1))
    client.transport.write(b"x" * 1000)
    await task.deferLater(reactor, 0.1)
    assert not told
    watch.close()


@together
async def test_a_discarded_transport_is_not_told_of(pair, kinds, reactor):
    server, client = await paused(pair, "tcp", kinds, reactor)
    watch, told = Watch(reactor), []
    watch.add(server.transport, lambda: told.append(1))
    watch.discard(server.transport)
    watch.discard(server.transport)
    client.transport.abortConnection()
    await task.deferLater(reactor, 0.1)
    assert not told
    watch.close()


class Holds:
    """A transport as far as a watch looks into one."""

    def __init__(self, fileno):
        self.socket = socket.socket(fileno=fileno)


@together
async def test_a_descriptor_used_again_belongs_to_its_new_owner(reactor):
    (a, _a), (b, b_peer) = socket.socketpair(), socket.socketpair()
    number = a.detach()
    old = Holds(number)
    watch, told = Watch(reactor), []
    watch.add(old, lambda: told.append("old"))
    old.socket.close()
    os.dup2(b.fileno(), number)
    b.close()
    new = Holds(number)
    watch.add(new, lambda: told.append("new"))
    watch.discard(old)
    assert len(watch) == 1
    b_peer.close()
    await task.deferLater(reactor, 0.05)
    assert told == ["new"]
    watch.close()
    new.socket.close()
    _a.close()


@together
async def test_a_socket_that_went_without_a_word_is_not_mistaken_for_the_next_with_its_number(reactor):
    (a, _a), (b, b_peer) = socket.socketpair(), socket.socketpair()
    number = a.detach()
    old = Holds(number)
    watch, told = Watch(reactor), []
    watch.add(old, lambda: told.append("old"))
    old.socket.close()
    os.dup2(b.fileno(), number)
    b.close()
    b_peer.close()
    watch.discard(old)
    await task.deferLater(reactor, 0.05)
    assert not told and not len(watch)
    watch.close()
    os.close(number)
    _a.close()


@together
async def test_one_who_is_told_may_discard_another_that_left_with_it(pair, kinds, reactor):
    one, one_client = await paused(pair, "tcp", kinds, reactor)
    two, two_client = await paused(pair, "tcp", kinds, reactor)
    watch, told = Watch(reactor), []
    watch.add(one.transport, lambda: (told.append("one"), watch.discard(two.transport)))
    watch.add(two.transport, lambda: (told.append("two"), watch.discard(one.transport)))
    one_client.transport.abortConnection()
    two_client.transport.abortConnection()
    await task.deferLater(reactor, 0.1)
    assert len(told) == 1
    watch.close()


@together
async def test_a_callback_that_fails_does_not_hide_the_next(pair, kinds, reactor):
    one, one_client = await paused(pair, "tcp", kinds, reactor)
    two, two_client = await paused(pair, "tcp", kinds, reactor)
    watch, told = Watch(reactor), []
    for each in (one, two):
        watch.add(each.transport, lambda: (told.append(1), 1 / 0))
    one_client.transport.abortConnection()
    two_client.transport.abortConnection()
    await task.deferLater(reactor, 0.1)
    assert told == [1, 1]
    watch.close()


@together
async def test_a_closed_transport_is_not_watched(pair, kinds, reactor):
    server, _ = await paused(pair, "tcp", kinds, reactor)
    transport = server.transport
    transport.abortConnection()
    await server.ended
    watch = Watch(reactor)
    watch.add(transport, lambda: None)
    assert len(watch) == 0
    watch.close()

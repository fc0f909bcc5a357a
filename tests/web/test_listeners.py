from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from edge.web.listeners import Listeners
from edge.wire.http1 import Http1
from edge.wire.limits import WireLimits
from edge.wire.server import Server
from tests.wire.memory import ORIGIN, NoWatch, Told, Wire


class Port:
    def __init__(self, told, result=None):
        self.told, self.result = told, result

    def stopListening(self):
        self.told.append("port closed")
        return self.result or succeed(None)


class Hall:
    def __init__(self, result=None, timeout=30.0):
        self.clock, self.told, self.hand = Clock(), [], Told()
        self.server = Server(self.hand, self.clock, NoWatch(), WireLimits())
        opens = SimpleNamespace(start=lambda: self.told.append("watched"), stop=lambda: self.told.append("unwatched"))
        ports = [("https 127.0.0.1:8443", Port(self.told, result)), ("ops 127.0.0.1:8444", Port(self.told))]
        self.listeners = Listeners(self.clock, (self.server,), opens, ports, timeout)
        self.listeners.startService()

    def connect(self, *parts):
        connection, wire = Http1(self.server, ORIGIN), Wire()
        connection.makeConnection(wire)
        for part in parts:
            connection.dataReceived(part)
        return connection, wire

    def stop(self):
        self.ended = []
        self.listeners.stopService().addBoth(self.ended.append)
        return self.ended

    def wait(self, seconds):
        for _ in range(int(seconds * 20)):
            self.clock.advance(0.05)


ASK = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def test_an_idle_gate_ends_at_once():
    hall = Hall()
    ended = hall.stop()
    hall.wait(1)
    assert ended == [None] and hall.told == ["watched", "port closed", "port closed", "unwatched"]
    assert not hall.clock.getDelayedCalls()


def test_ports_are_closed_before_anything_else():
    first = Deferred()
    hall = Hall(first)
    _, wire = hall.connect(ASK)
    hall.stop()
    assert hall.told == ["watched", "port closed"] and hall.listeners.draining and not hall.server.draining
    first.callback(None)
    assert hall.told.count("port closed") == 2 and hall.server.draining and not wire.disconnecting


def test_what_is_open_is_finished_and_idle_connections_are_closed():
    hall = Hall()
    _, wire = hall.connect(ASK)
    _, idle = hall.connect()
    ended = hall.stop()
    assert idle.disconnecting
    hall.wait(10)
    assert not ended and not wire.disconnecting
    hall.hand.requests[-1].reply(200, [], b"hi")
    assert b"Connection: close" in wire.value() and wire.disconnecting and not wire.aborted
    for each in tuple(hall.server.connections):
        each.connectionLost()
    hall.wait(3)
    assert (ended == [None] and not hall.listeners.cutting) or hall.listeners.cutting
    assert not wire.aborted


@pytest.mark.parametrize("timeout", [0.0, 5.0])
def test_the_deadline_cuts_what_is_still_open(timeout):
    hall = Hall(timeout=timeout)
    _, wire = hall.connect(ASK)
    ended = hall.stop()
    hall.wait(timeout - 1)
    assert not wire.aborted
    hall.wait(4)
    assert wire.aborted and hall.listeners.cutting and ended == [None]


def test_a_second_signal_cuts_at_once():
    hall = Hall()
    connection, wire = hall.connect(ASK)
    ended = hall.stop()
    hall.listeners.cut()
    assert wire.aborted and hall.listeners.cutting
    connection.connectionLost()
    hall.wait(3)
    assert ended == [None]


def test_a_port_that_cannot_be_closed_does_not_keep_the_others_open():
    hall = Hall(fail(OSError("odd")))
    ended = hall.stop()
    hall.wait(1)
    assert ended == [None] and hall.told.count("port closed") == 2

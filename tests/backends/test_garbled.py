"""Answers garbled at random, cut anywhere: whoever asked is told exactly once, and never a wrong whole."""

import random

import pytest
from twisted.internet.defer import succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone

from edge.backends.agent import UpstreamAgent
from edge.backends.target import UpstreamURL, target_of
from tests.backends.way_out import Reader, Slow

WHOLE = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX: y\r\n\r\nabcdef",
    b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\nConnection: close\r\n\r\nabcdef",
]
NOISE = [
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b"\r\n",
    b"0",
    b"f",
    b":",
    b"HTTP/1.1 200 OK\r\n",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"Content-Length: 3\r\n",
]


class Pipe:
    """A transport in memory."""

    def __init__(self):
        self.protocol = None
        self.written = b""
        self.open = True
        self.producer = None

    def setTcpNoDelay(self, on): ...

    def write(self, data):
        self.written += data

    def registerProducer(self, producer, streaming):
        self.producer = producer

    def unregisterProducer(self):
        self.producer = None

    def pauseProducing(self): ...

    def resumeProducing(self): ...

    def loseConnection(self):
        self.open = False

    abortConnection = loseConnection


@pytest.mark.parametrize("seed", range(400))
def test_garbled_answers_end_once_and_a_connection_that_saw_one_is_not_used_again(seed):
    dice = random.Random(seed)
    pipes = []

    def connect(target, factory, timeout):
        pipe = Pipe()
        pipes.append(pipe)
        pipe.protocol = factory.buildProtocol(None)
        pipe.protocol.makeConnection(pipe)
        return succeed(pipe.protocol)

    agent = UpstreamAgent(Clock(), connect)
    url = UpstreamURL(target_of("http://127.0.0.1:1"), b"/")
    upload = Slow(10) if dice.random() < 0.3 else None
    asked = agent.send(b"POST" if upload else b"GET", url, (), upload)
    told = []
    asked.addBoth(told.append)
    data = dice.choice(WHOLE)
    garbled = dice.random() < 0.8
    if garbled:
        at = dice.randrange(len(data))
        data = data[:at] + dice.choice(NOISE) + data[at + dice.randrange(3) :]
    reader = None
    pipe = pipes[0]
    while data and pipe.open:
        cut = dice.randrange(1, len(data) + 1)
        piece, data = data[:cut], data[cut:]
        pipe.protocol.dataReceived(piece)
        if reader is None and told and not isinstance(told[0], Failure) and dice.random() < 0.7:
            reader = Reader()
            told[0].deliverBody(reader)
    idle = agent.idle
    pipe.protocol.connectionLost(Failure(dice.choice([ConnectionDone, ConnectionLost])()))
    assert len(told) == 1
    if isinstance(told[0], Failure):
        assert not idle
        return
    if reader is None:
        reader = Reader()
        told[0].deliverBody(reader)
    assert reader.reason is not None
    if not garbled and not data:
        assert reader.reason.check(ResponseDone)
        assert reader.data == b"abcdef"
    if idle:
        assert reader.reason.check(ResponseDone)
        assert upload is None
    assert not agent.open
    assert not agent.idle
    if upload is not None:
        assert upload.stopped

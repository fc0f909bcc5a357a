"""Frames by chance, good ones among bad: whatever comes, nothing raises, and the books balance."""

import random

import pytest

from edge.wire.h2_frames import END_HEADERS, PREFACE, SETTINGS
from tests.wire.h2_client import CONNECT, GET, POST, Raw, Sink, Source, data, frame, reset, window


class End:
    def dataReceived(self, data): ...
    def connectionLost(self, reason): ...


def _disturb(chance, request):
    what = chance.randrange(5)
    if what == 0:
        request.send(b"s" * chance.choice([1, 1000, 70_000]))
    elif what == 1:
        request.end()
    elif what == 2:
        request.abort()
    elif what == 3:
        request.unregisterProducer()
    elif request.body.wanted:
        request.body.stopProducing()


@pytest.mark.parametrize("seed", range(60))
def test_noise(seed):
    chance = random.Random(seed)
    answering = []

    def handle(request):
        what = chance.randrange(7)
        if what == 0:
            request.reply(chance.choice([200, 204, 401]), [(b"x", b"y")], b"z" * chance.choice([0, 5, 100_000]))
        elif what == 1:
            Sink().drink(request)
            answering.append(request)
        elif what == 2 and request.upgrade:
            tunnel = request.channel.switch([], End())
            chance.choice(
                [tunnel.loseConnection, tunnel.abortConnection, tunnel.pauseProducing, lambda: tunnel.write(b"x")]
            )()
        elif what == 3:
            request.abort()
        else:
            request.respond(200, [], None)
            if what == 4:
                request.registerProducer(Source())
            answering.append(request)

    raw = Raw(handle, room=chance.choice([None, 2000]), greet=False, settings=(), h2_streams=chance.choice([3, 128]))
    raw.send(PREFACE + frame(SETTINGS, 0, 0, b"\0\4" + chance.choice([0, 10, 65_535, 2**20]).to_bytes(4, "big")))
    raw.send(raw.headers(1))
    new = 1
    for _ in range(400):
        if raw.http2.closed:
            break
        old = chance.randrange(1, new + 1, 2)
        what = chance.randrange(16)
        if what < 4:
            new += 2
            piece = raw.headers(new, chance.choice([GET, POST, CONNECT]), end=chance.random() < 0.5)
        elif what < 6:
            piece = data(old, b"d" * chance.choice([0, 1, 1000, 16_384]), end=chance.random() < 0.2)
        elif what == 6:
            piece = reset(old)
        elif what < 9:
            piece = window(chance.choice([0, old]), chance.choice([1, 1000, 2**20]))
        elif what == 9:
            piece = frame(SETTINGS, 0, 0, b"\0\4" + chance.choice([0, 1, 1000, 2**20]).to_bytes(4, "big"))
        elif what == 10 and chance.random() < 0.2:
            piece = frame(
                chance.randrange(12),
                chance.randrange(256),
                chance.choice([0, old, new + 2]),
                chance.randbytes(chance.randrange(20)),
            )
        elif what == 11 and chance.random() < 0.2:
            piece = raw.headers(new, [("x", "y")], flags=END_HEADERS)
        elif what == 12:
            raw.frames()
            piece = b""
        elif what == 13:
            raw.wait(1, reads=chance.random() < 0.8)
            piece = b""
        elif answering and what == 14:
            _disturb(chance, chance.choice(answering))
            piece = b""
        else:
            piece = b""
        raw.send(piece)
        sender = raw.http2.sender
        streams = raw.http2.streams.values()
        assert sender.queued == sum(stream.queued for stream in streams) >= 0
        assert all(stream.queued == sum(map(len, stream.queue)) - stream.offset for stream in streams)
        inbound = raw.http2.inbound
        assert inbound._held == sum(stream._uncredited for stream in streams) >= 0
        if not raw.http2.closed:
            assert inbound.left + inbound._owed == inbound.size
    raw.frames()
    raw.leave()
    assert raw.http2.sender.queued == 0 and raw.http2.inbound._held == 0
    assert all(request.finished or request.upgrade for request in raw.hand.requests)

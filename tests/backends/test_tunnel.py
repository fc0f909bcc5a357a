"""Upgrades: a tunnel only after a valid 101, then bytes both ways until either side ends."""

import hashlib

import pytest
import pytest_twisted
import treq
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone

from edge.backends.answer import Answer
from edge.backends.failures import UpstreamBroken, UpstreamTimeout
from edge.backends.rawheaders import RawHeaders
from edge.backends.tunnel import Switched, websocket_accept
from edge.wire.h1_answer import Http1Tunnel
from edge.wire.h2_tunnel import Http2Tunnel
from tests.backends.rogue import Rogue, eventually
from tests.backends.way_out import QUICK, Slow, way_out

# The example of RFC 6455 1.3.
KEY, ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
ASKED = RawHeaders([(b"Sec-WebSocket-Key", KEY), (b"Sec-WebSocket-Version", b"13")])
YES = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)


class End:
    def __init__(self):
        self.data = b""
        self.size = 0
        self.reason = None

    def dataReceived(self, data):
        self.size += len(data)
        if self.size < 1 << 20:
            self.data += data

    def connectionLost(self, reason):
        self.reason = reason


def test_the_accept_is_that_of_the_rfc():
    assert websocket_accept(KEY) == ACCEPT


def echoing(peer):
    peer.head()
    peer.send(YES % ACCEPT + b"first")
    while data := peer.some():
        peer.send(data.upper())


@pytest_twisted.ensureDeferred
async def test_a_valid_101_gives_a_tunnel_with_what_came_along():
    with Rogue(echoing) as rogue:
        async with way_out() as out:
            switched = await out.client.open_upgrade(out.to(rogue.url, b"/ws?x=1"), b"websocket", headers=ASKED)
            assert isinstance(switched, Switched)
            assert (b"Sec-WebSocket-Accept", ACCEPT) in switched.pairs
            tunnel, end = switched.tunnel, End()
            tunnel.attach(end)
            assert end.data == b"first"
            tunnel.write(b"hello")
            await eventually(lambda: end.data == b"firstHELLO")
            # An idle tunnel may stay as long as both sides like.
            out.pass_time(3600)
            tunnel.write(b"!")
            await eventually(lambda: end.data == b"firstHELLO!")
            tunnel.loseConnection()
            await eventually(lambda: rogue.peers[0].gone.is_set() and not out.agent.open)
        head = rogue.peers[0].requests[0]
        assert head.startswith(b"GET /ws?x=1 HTTP/1.1\r\nHost: 127.0.0.1")
        assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket" in head
        assert b"Content-Length" not in head


@pytest_twisted.ensureDeferred
async def test_the_upstreams_end_of_a_tunnel_is_told():
    with Rogue(lambda peer: (peer.head(), peer.send(YES % ACCEPT + b"bye"))) as rogue:
        async with way_out() as out:
            switched = await out.client.open_upgrade(out.to(rogue.url), b"websocket", headers=ASKED)
            end = End()
            switched.tunnel.attach(end)
            await eventually(lambda: end.reason)
            assert end.data == b"bye"
            assert end.reason.check(ConnectionDone)


@pytest_twisted.ensureDeferred
async def test_a_reset_of_a_tunnel_is_no_end_in_good_order():
    with Rogue(lambda peer: (peer.head(), peer.send(YES % ACCEPT), peer.gone.wait(0.05), peer.reset())) as rogue:
        async with way_out() as out:
            switched = await out.client.open_upgrade(out.to(rogue.url), b"websocket", headers=ASKED)
            end = End()
            switched.tunnel.attach(end)
            await eventually(lambda: end.reason)
            assert not end.reason.check(ConnectionDone)


@pytest_twisted.ensureDeferred
async def test_a_websocket_without_a_key_gets_one_and_its_accept_is_checked():
    def answers(peer):
        head = peer.head()
        key = next(line[19:] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: "))
        peer.send(YES % websocket_accept(key))
        peer.hold()

    with Rogue(answers) as rogue:
        async with way_out() as out:
            switched = await out.client.open_upgrade(out.to(rogue.url), b"websocket", headers=RawHeaders())
            assert isinstance(switched, Switched)
            switched.tunnel.abortConnection()
            await eventually(lambda: rogue.peers[0].gone.is_set() and not out.agent.open)


@pytest.mark.parametrize(
    "said",
    [
        YES % websocket_accept(b"another key"),
        YES.replace(b"Sec-WebSocket-Accept: %b\r\n", b""),
        YES % ACCEPT.lower(),
        (YES % ACCEPT).replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        (YES % ACCEPT).replace(b"Upgrade: websocket\r\n", b""),
        (YES % ACCEPT).replace(b"Connection: Upgrade\r\n", b""),
        (YES % ACCEPT).replace(b"Connection: Upgrade", b"Connection: close"),
        (YES % ACCEPT).replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"),
        (YES % ACCEPT).replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Accept: x\r\n\r\n"),
        (YES % ACCEPT).replace(b"HTTP/1.1 101", b"HTTP/1.0 101"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_101_that_does_not_answer_the_question_is_no_tunnel(said):
    with Rogue(lambda peer: (peer.head(), peer.send(said), peer.hold())) as rogue:
        async with way_out() as out:
            with pytest.raises(UpstreamBroken):
                await out.client.open_upgrade(out.to(rogue.url), b"websocket", headers=ASKED)
            await eventually(lambda: rogue.peers[0].gone.is_set() and not out.agent.open)


@pytest_twisted.ensureDeferred
async def test_an_upstream_that_declines_answers_as_usual_and_its_connection_is_not_kept():
    def declines(peer):
        peer.head()
        peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nabc")
        peer.wait()
        peer.send(b"def")
        peer.hold()

    with Rogue(declines) as rogue:
        async with way_out() as out:
            answer = await out.client.open_upgrade(out.to(rogue.url), b"websocket", headers=ASKED)
            assert isinstance(answer, Answer)
            assert answer.code == 403
            rogue.peers[0].go.set()
            assert await treq.content(answer) == b"abcdef"
            await eventually(lambda: not out.agent.open)


@pytest_twisted.ensureDeferred
async def test_other_protocols_need_no_key():
    said = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: My-Protocol\r\n\r\n"
    with Rogue(lambda peer: (peer.head(), peer.send(said), peer.hold())) as rogue:
        async with way_out() as out:
            switched = await out.client.open_upgrade(out.to(rogue.url), b"my-protocol", headers=RawHeaders())
            assert isinstance(switched, Switched)
        assert b"WebSocket" not in rogue.peers[0].received


@pytest_twisted.ensureDeferred
async def test_an_upgrade_can_be_called_off_and_can_take_too_long():
    with Rogue(lambda peer: (peer.head(), peer.hold())) as rogue:
        async with way_out() as out:
            asked = out.client.open_upgrade(out.to(rogue.url), b"websocket", headers=ASKED)
            await eventually(lambda: rogue.requests)
            asked.cancel()
            with pytest.raises(CancelledError):
                await asked
            late = out.client.open_upgrade(out.to(rogue.url), b"websocket", headers=ASKED, timeouts=QUICK)
            await eventually(lambda: len(rogue.requests) == 2)
            out.pass_time(4)
            with pytest.raises(UpstreamTimeout):
                await late
            await eventually(lambda: not out.agent.open)


@pytest_twisted.ensureDeferred
async def test_a_tunnel_that_is_not_attached_yet_does_not_read_ahead_without_bound():
    sent = 0

    def floods(peer):
        nonlocal sent
        peer.head()
        peer.send(YES % ACCEPT)
        peer.wait()
        while sent < 64 << 20:
            peer.send(bytes(65536))
            sent += 65536

    with Rogue(floods) as rogue:
        async with way_out() as out:
            switched = await out.client.open_upgrade(out.to(rogue.url), b"websocket", headers=ASKED)
            rogue.peers[0].go.set()
            rogue.peers[0].gone.wait(0.3)
            assert sent < 32 << 20
            end = End()
            switched.tunnel.attach(end)
            await eventually(lambda: end.reason)
            assert end.size == 64 << 20


@pytest_twisted.ensureDeferred
async def test_backpressure_of_a_tunnel_goes_both_ways():
    def slow(peer):
        peer.head()
        peer.send(YES % ACCEPT)
        peer.wait()
        peer.hold()

    with Rogue(slow, receive=65536) as rogue:
        async with way_out() as out:
            switched = await out.client.open_upgrade(out.to(rogue.url), b"websocket", headers=ASKED)
            tunnel, source = switched.tunnel, Slow()
            tunnel.attach(End())
            tunnel.registerProducer(source, True)
            written = 0
            while not source.paused and written < 64 << 20:
                tunnel.write(bytes(65536))
                written += 65536
            assert written < 16 << 20
            rogue.peers[0].go.set()
            await eventually(lambda: not source.paused)
            tunnel.loseConnection()
            await eventually(lambda: rogue.peers[0].gone.is_set())
        # What was written before the end has all arrived.
        head = rogue.peers[0].received.index(b"\r\n\r\n") + 4
        assert hashlib.sha1(rogue.peers[0].received[head:]).digest() == hashlib.sha1(bytes(written)).digest()


@pytest.mark.parametrize("client", [Http1Tunnel, Http2Tunnel])
@pytest_twisted.ensureDeferred
async def test_the_upstreams_end_is_told_whoever_the_client_is(client):
    with Rogue(lambda peer: (peer.head(), peer.send(YES % ACCEPT + b"bye"))) as rogue:
        async with way_out() as out:
            switched = await out.client.open_upgrade(out.to(rogue.url), b"websocket", headers=ASKED)
            end = End()
            switched.tunnel.registerProducer(client(None), True)
            switched.tunnel.attach(end)
            await eventually(lambda: end.reason is not None and not out.agent.open)
            assert end.data == b"bye"

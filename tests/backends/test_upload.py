"""Bodies on their way up: framing, pace, early answers, and clients that leave."""

import pytest
import pytest_twisted
import treq
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from edge.backends.failures import UpstreamBroken
from edge.backends.upload import UploadError
from edge.wire.body import Body
from edge.wire.head import CHUNKED
from tests.backends.rogue import Rogue, eventually
from tests.backends.way_out import Slow, way_out


def taking(size):
    def script(peer):
        while peer.head():
            peer.answer(peer.body(size))

    return script


class Wire:
    """The wire side of a Body, remembering what it is asked."""

    def __init__(self):
        self.paused = self.dropped = False

    def want_body(self): ...

    def pause_body(self):
        self.paused = True

    def resume_body(self):
        self.paused = False

    def drop_body(self):
        self.dropped = True


@pytest_twisted.ensureDeferred
async def test_a_body_that_is_there_goes_out_with_its_head_in_one_write():
    body = Body(5, Wire())
    body.feed(b"hello")
    body.end()
    with Rogue(taking(5)) as rogue:
        async with way_out() as out:
            await out.client.post(out.to(rogue.url), data=b"12345")
            (connection,) = out.agent._open
            writes = []
            write = connection.transport.write
            connection.transport.write = lambda data: (writes.append(data), write(data))
            answer = await out.client.post(out.to(rogue.url, b"/up"), data=body)
            assert answer.whole == b"hello"
            assert len(writes) == 1
            assert writes[0].endswith(b"\r\nContent-Length: 5\r\n\r\nhello")
            assert out.agent.idle == 1


@pytest_twisted.ensureDeferred
async def test_a_body_of_unknown_length_goes_up_chunked_as_it_arrives():
    body = Body(CHUNKED, Wire())
    with Rogue(taking(len(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))) as rogue:
        async with way_out() as out:
            asked = out.client.post(out.to(rogue.url), data=body)
            body.feed(b"abc")
            await eventually(lambda: rogue.peers and rogue.peers[0].received.endswith(b"chunked\r\n\r\n3\r\nabc\r\n"))
            body.feed(b"de")
            body.end()
            assert (await asked).whole == b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            assert out.agent.idle == 1


@pytest.mark.parametrize("length", [4, "unknown"])
@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_takes_its_request_along(length):
    body = Body(4 if length == 4 else CHUNKED, Wire())
    with Rogue(lambda peer: (peer.head(), peer.hold())) as rogue:
        async with way_out() as out:
            asked = out.client.post(out.to(rogue.url), data=body)
            body.feed(b"ab")
            await eventually(lambda: rogue.requests)
            body.fail(Failure(CancelledError()))
            with pytest.raises(CancelledError):
                await asked
            await eventually(lambda: rogue.peers[0].gone.is_set() and not out.agent.open)
        assert not rogue.peers[0].received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(("written", "word"), [(b"abc", "shorter"), (b"abcde", "longer")])
@pytest_twisted.ensureDeferred
async def test_a_body_of_another_length_than_announced_is_not_sent_as_if_it_were_whole(written, word):
    upload = Slow(4)
    with Rogue(lambda peer: (peer.head(), peer.hold())) as rogue:
        async with way_out() as out:
            asked = out.client.post(out.to(rogue.url), data=upload)
            await eventually(lambda: rogue.requests)
            upload.consumer.write(written)
            upload.finished.callback(None)
            with pytest.raises(UploadError, match=word):
                await asked
        assert not rogue.peers[0].received.endswith(b"abcd")


@pytest_twisted.ensureDeferred
async def test_an_upstream_that_does_not_read_pauses_the_client_and_memory_stays_flat():
    body = Body(1 << 30, wire := Wire())
    with Rogue(lambda peer: (peer.head(), peer.wait(), peer.hold()), receive=65536) as rogue:
        async with way_out() as out:
            out.client.post(out.to(rogue.url), data=body).addErrback(lambda _: None)
            await eventually(lambda: rogue.requests)
            fed = 0
            idle = 0
            while idle < 20 and fed < 64 << 20:
                if wire.paused:
                    idle += 1
                else:
                    idle = 0
                    body.feed(bytes(65536))
                    fed += 65536
                await deferLater(reactor, 0.001, lambda: None)
            assert wire.paused
            assert fed < 16 << 20
            rogue.peers[0].go.set()
            await eventually(lambda: not wire.paused)


@pytest_twisted.ensureDeferred
async def test_an_early_refusal_is_delivered_at_once_and_ends_the_upload():
    def refuses(peer):
        peer.head()
        peer.answer(b"too large", status=b"413 Content Too Large")
        peer.hold()

    body = Body(1 << 30, wire := Wire())
    with Rogue(refuses) as rogue:
        async with way_out() as out:
            asked = out.client.post(out.to(rogue.url), data=body)
            body.feed(bytes(1000))
            answer = await asked
            assert (answer.code, answer.whole) == (413, b"too large")
            assert wire.dropped
            assert out.agent.idle == 0
            await eventually(lambda: not out.agent.open and rogue.peers[0].gone.is_set())


@pytest_twisted.ensureDeferred
async def test_an_early_refusal_is_read_to_its_end_though_the_upload_stops_at_its_head():
    def refuses(peer):
        peer.head()
        peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nabc")
        peer.wait()
        peer.send(b"def")
        peer.hold()

    body = Body(1 << 30, wire := Wire())
    with Rogue(refuses) as rogue:
        async with way_out() as out:
            answer = await out.client.post(out.to(rogue.url), data=body)
            assert wire.dropped
            rogue.peers[0].go.set()
            assert await treq.content(answer) == b"abcdef"
            await eventually(lambda: not out.agent.open)


@pytest_twisted.ensureDeferred
async def test_an_answer_that_is_no_refusal_may_stream_while_the_upload_goes_on():
    def echoes(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for _ in range(2):
            peer.send(peer.body(3))
        peer.hold()

    body = Body(6, wire := Wire())
    with Rogue(echoes) as rogue:
        async with way_out() as out:
            answer = await out.client.post(out.to(rogue.url), data=body)
            body.feed(b"abc")
            await eventually(lambda: answer._early == [b"abc"])
            body.feed(b"def")
            body.end()
            assert await treq.content(answer) == b"abcdef"
            assert not wire.dropped
            assert out.agent.idle == 1


@pytest.mark.parametrize("fast", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_refusal_is_read_though_the_upstream_resets_the_upload(fast):
    """What a server does that answers and closes with the upload unread: its answer, then a reset."""

    def slams(peer):
        peer.head()
        peer.answer(b"no", status=b"413 Content Too Large", more=b"Connection: close\r\n")
        peer.socket.close()

    for _ in range(10):
        upload = Slow(1 << 30)
        with Rogue(slams) as rogue:
            async with way_out(fast) as out:
                asked = out.client.post(out.to(rogue.url), data=upload)
                await eventually(lambda rogue=rogue: rogue.requests)
                rogue.peers[0].gone.wait(0.02)
                for _ in range(4):
                    upload.consumer.write(bytes(65536))
                answer = await asked
                assert (answer.code, answer.whole) == (413, b"no")
                assert upload.stopped


@pytest_twisted.ensureDeferred
async def test_an_upload_that_loses_its_upstream_is_broken_and_stopped():
    body = Body(1 << 30, wire := Wire())
    with Rogue(lambda peer: (peer.head(), peer.reset())) as rogue:
        async with way_out() as out:
            with pytest.raises(UpstreamBroken):
                await out.client.put(out.to(rogue.url), data=body)
            assert wire.dropped


@pytest.mark.parametrize(
    ("method", "says"), [("POST", True), ("PUT", True), ("PATCH", True), ("GET", False), ("DELETE", False)]
)
@pytest_twisted.ensureDeferred
async def test_a_request_without_a_body_says_so_where_one_is_expected(method, says):
    for data in (None, b"", Body(0, Wire())):
        with Rogue(taking(0)) as rogue:
            async with way_out() as out:
                await out.client.request(method, out.to(rogue.url), data=data)
            assert (b"Content-Length: 0" in rogue.peers[0].received) is says
            assert b"Transfer-Encoding" not in rogue.peers[0].received

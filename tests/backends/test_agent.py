"""Kept connections, what is sent again, what takes too long, and what is called off."""

import socket

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError

from edge.backends.errand import Timeouts
from edge.backends.failures import UpstreamBroken, UpstreamRefused, UpstreamTimeout, cause_of
from edge.backends.rawheaders import RawHeaders
from tests.backends.rogue import Rogue, eventually, serving
from tests.backends.way_out import QUICK, Reader, Slow, way_out


@pytest.mark.parametrize("fast", [True, False])
@pytest_twisted.ensureDeferred
async def test_one_connection_serves_one_request_after_the_other(fast):
    with Rogue(serving) as rogue:
        async with way_out(fast) as out:
            for number in range(5):
                answer = await out.client.get(out.to(rogue.url, b"/%d" % number))
                assert answer.whole == b"GET /%d HTTP/1.1" % number
            assert (out.agent.connects, out.agent.reuses, out.agent.open, out.agent.idle) == (1, 4, 1, 1)
        assert len(rogue.peers) == 1


@pytest_twisted.ensureDeferred
async def test_the_connection_used_last_is_used_first():
    with Rogue(serving) as rogue:
        async with way_out() as out:
            both = [out.client.get(out.to(rogue.url, b"/both")) for _ in range(2)]
            for one in both:
                await one
            assert out.agent.idle == 2
            for _ in range(3):
                await out.client.get(out.to(rogue.url, b"/more"))
            assert sorted(len(peer.requests) for peer in rogue.peers) == [1, 4]


@pytest_twisted.ensureDeferred
async def test_an_idle_connection_is_closed_before_four_seconds_are_over():
    with Rogue(serving) as rogue:
        async with way_out() as out:
            await out.client.get(out.to(rogue.url))
            out.pass_time(3.25)
            assert out.agent.idle == 1
            out.pass_time(0.75)
            assert out.agent.idle == 0
            await eventually(lambda: rogue.peers[0].gone.is_set() and not out.agent.open)
        assert not out.clock.getDelayedCalls()


@pytest_twisted.ensureDeferred
async def test_idle_connections_are_bounded_for_each_target_and_in_all():
    with Rogue(serving) as one, Rogue(serving) as other:
        async with way_out(most_idle=3, most_idle_per_target=2) as out:
            asked = [out.client.get(out.to(rogue.url)) for rogue in (one, other) for _ in range(4)]
            for answer in asked:
                await answer
            assert out.agent.idle == 3
            await eventually(lambda: out.agent.open == 3)


@pytest_twisted.ensureDeferred
async def test_a_connection_that_ended_while_idle_is_not_used_even_before_the_reactor_noticed():
    def once(peer):
        peer.head()
        peer.answer(b"first")
        peer.wait()
        peer.cut()
        peer.gone.set()

    with Rogue(once, serving) as rogue:
        async with way_out() as out:
            await out.client.get(out.to(rogue.url))
            rogue.peers[0].go.set()
            # The reactor does not run between the end of the connection and the next request.
            assert rogue.peers[0].gone.wait(5)
            answer = await out.client.post(out.to(rogue.url, b"/again"), data=b"not twice")
            assert answer.whole == b"POST /again HTTP/1.1"
            assert (out.agent.stale, out.agent.repeats) == (1, 0)


@pytest_twisted.ensureDeferred
async def test_bytes_that_nobody_asked_for_are_never_an_answer():
    def talkative(peer):
        peer.head()
        peer.answer(b"first")
        peer.wait()
        peer.answer(b"for somebody else")
        peer.gone.set()
        peer.hold()

    with Rogue(talkative, serving) as rogue:
        async with way_out() as out:
            await out.client.get(out.to(rogue.url))
            rogue.peers[0].go.set()
            assert rogue.peers[0].gone.wait(5)
            answer = await out.client.get(out.to(rogue.url, b"/mine"))
            assert answer.whole == b"GET /mine HTTP/1.1"


@pytest_twisted.ensureDeferred
async def test_an_idle_connection_that_says_something_is_closed_by_itself():
    def talkative(peer):
        peer.head()
        peer.answer(b"first")
        peer.wait()
        peer.answer(b"for nobody")
        peer.hold()

    with Rogue(talkative) as rogue:
        async with way_out() as out:
            await out.client.get(out.to(rogue.url))
            rogue.peers[0].go.set()
            await eventually(lambda: out.agent.open == 0)
            assert out.agent.idle == 0


def dies_under_the_second(peer):
    peer.head()
    peer.answer(b"first")
    peer.head()
    peer.reset()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest_twisted.ensureDeferred
async def test_a_question_is_asked_again_when_a_kept_connection_dies_under_it(method):
    with Rogue(dies_under_the_second, serving) as rogue:
        async with way_out() as out:
            await out.client.get(out.to(rogue.url))
            answer = await out.client.request(method, out.to(rogue.url, b"/again"))
            assert answer.code == 200
            assert out.agent.repeats == 1
        assert rogue.requests.count(method.encode() + b" /again HTTP/1.1") == 2


@pytest.mark.parametrize(
    ("method", "data"), [("POST", b"x"), ("POST", None), ("PUT", b"x"), ("DELETE", None), ("GET", b"with a body")]
)
@pytest_twisted.ensureDeferred
async def test_what_may_have_an_effect_is_never_sent_twice(method, data):
    with Rogue(dies_under_the_second, serving) as rogue:
        async with way_out() as out:
            await out.client.get(out.to(rogue.url))
            with pytest.raises(UpstreamBroken):
                await out.client.request(method, out.to(rogue.url, b"/again"), data=data)
        assert rogue.requests.count(method.encode() + b" /again HTTP/1.1") == 1


@pytest_twisted.ensureDeferred
async def test_nothing_is_asked_again_on_a_new_connection_or_once_an_answer_began():
    def begins(peer):
        peer.head()
        peer.answer(b"first")
        peer.head()
        peer.send(b"HTTP/1.1 2")
        peer.reset()

    with Rogue(lambda peer: (peer.head(), peer.reset())) as rogue:
        async with way_out() as out:
            with pytest.raises(UpstreamBroken):
                await out.client.get(out.to(rogue.url))
        assert len(rogue.requests) == 1
    with Rogue(begins, serving) as rogue:
        async with way_out() as out:
            await out.client.get(out.to(rogue.url))
            with pytest.raises(UpstreamBroken):
                await out.client.get(out.to(rogue.url))
        assert len(rogue.peers) == 1


@pytest_twisted.ensureDeferred
async def test_a_port_where_nobody_listens_is_refused(closed):
    async with way_out() as out:
        with pytest.raises(UpstreamRefused, match=f"http://127.0.0.1:{closed}: .*refused"):
            await out.client.get(out.to(f"http://127.0.0.1:{closed}"))
        assert not out.agent.open


@pytest_twisted.ensureDeferred
async def test_a_name_that_is_unknown_is_refused():
    async with way_out() as out:
        with pytest.raises(UpstreamRefused):
            await out.client.get(out.to("http://no-such-host.invalid:80"))


@pytest_twisted.ensureDeferred
async def test_silence_is_a_timeout_of_the_first_byte():
    with Rogue(lambda peer: (peer.head(), peer.hold())) as rogue:
        async with way_out() as out:
            asked = out.client.get(out.to(rogue.url), timeouts=QUICK)
            await eventually(lambda: rogue.requests)
            out.pass_time(3.0)
            assert not asked.called
            out.pass_time(0.75)
            with pytest.raises(UpstreamTimeout) as caught:
                await asked
            assert (caught.value.which, caught.value.seconds) == ("first_byte", 3.0)
            await eventually(lambda: rogue.peers[0].gone.is_set())


@pytest_twisted.ensureDeferred
async def test_a_head_that_drips_feeds_no_timeout():
    def drip(peer):
        peer.head()
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: ":
            peer.send(bytes([byte]))
        peer.gone.set()
        peer.wait()

    with Rogue(drip) as rogue:
        async with way_out() as out:
            asked = out.client.get(out.to(rogue.url), timeouts=QUICK)
            await eventually(lambda: rogue.peers and rogue.peers[0].gone.is_set())
            out.pass_time(1.5)
            rogue.peers[0].send(b"more")
            await eventually(lambda: True)
            out.pass_time(2.25)
            with pytest.raises(UpstreamTimeout):
                await asked


@pytest_twisted.ensureDeferred
async def test_a_body_that_stops_is_an_idle_timeout_and_each_byte_begins_the_wait_anew():
    def stops(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        peer.wait()
        peer.send(b"6")
        peer.hold()

    with Rogue(stops) as rogue:
        async with way_out() as out:
            answer = await out.client.get(out.to(rogue.url), timeouts=QUICK)
            reader = Reader()
            answer.deliverBody(reader)
            await eventually(lambda: reader.data == b"12345")
            out.pass_time(4.0)
            rogue.peers[0].go.set()
            await eventually(lambda: reader.data == b"123456")
            out.pass_time(4.0)
            assert reader.reason is None
            out.pass_time(0.75)
            failure = cause_of(reader.reason)
            assert isinstance(failure, UpstreamTimeout)
            assert failure.which == "idle"
            await eventually(lambda: rogue.peers[0].gone.is_set())


@pytest_twisted.ensureDeferred
async def test_a_reader_that_pauses_is_not_the_upstreams_fault():
    def sends(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        peer.wait()
        peer.send(b"67890")
        peer.hold()

    with Rogue(sends) as rogue:
        async with way_out() as out:
            answer = await out.client.get(out.to(rogue.url), timeouts=QUICK)
            reader = Reader(pause_at=5)
            answer.deliverBody(reader)
            await eventually(lambda: reader.size == 5)
            out.pass_time(60)
            assert reader.reason is None
            reader.pause_at = None
            reader.transport.resumeProducing()
            rogue.peers[0].go.set()
            await eventually(lambda: reader.reason)
            assert reader.data == b"1234567890"
            assert out.agent.idle == 1


@pytest_twisted.ensureDeferred
async def test_an_answer_that_nobody_reads_does_not_stay_for_ever():
    def sends(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        peer.hold()

    with Rogue(sends) as rogue:
        async with way_out() as out:
            await out.client.get(out.to(rogue.url), timeouts=QUICK)
            out.pass_time(5)
            await eventually(lambda: not out.agent.open and rogue.peers[0].gone.is_set())


@pytest_twisted.ensureDeferred
async def test_cancelling_while_the_answer_is_awaited_closes_the_connection_at_once():
    with Rogue(lambda peer: (peer.head(), peer.hold())) as rogue:
        async with way_out() as out:
            asked = out.client.get(out.to(rogue.url))
            await eventually(lambda: rogue.requests)
            asked.cancel()
            with pytest.raises(CancelledError):
                await asked
            await eventually(lambda: not out.agent.open and rogue.peers[0].gone.is_set(), 0.25)


@pytest.fixture
def crowded():
    """A URL that takes connections no more, and does not say so: the queue of its listener is full."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    for _ in range(3):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(listener.getsockname())
        waiting.append(one)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    for one in (*waiting, listener):
        one.close()


@pytest_twisted.ensureDeferred
async def test_a_connection_that_is_not_made_in_time_is_a_timeout(crowded):
    async with way_out() as out:
        with pytest.raises(UpstreamTimeout) as caught:
            await out.client.get(out.to(crowded), timeouts=Timeouts(connect=0.05))
        assert caught.value.which == "connect"


@pytest_twisted.ensureDeferred
async def test_cancelling_while_connecting_calls_the_connection_off(crowded):
    async with way_out() as out:
        asked = out.client.get(out.to(crowded))
        assert out.agent.connects == 1
        asked.cancel()
        with pytest.raises(CancelledError):
            await asked
        await eventually(lambda: not out.agent.open and not out.agent._making, 0.25)


@pytest_twisted.ensureDeferred
async def test_stopping_a_body_closes_its_connection_at_once():
    def streams(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        peer.hold()

    for stop in ("stopProducing", "abortConnection", "loseConnection"):
        with Rogue(streams) as rogue:
            async with way_out() as out:
                answer = await out.client.get(out.to(rogue.url))
                reader = Reader()
                answer.deliverBody(reader)
                await eventually(lambda reader=reader: reader.data == b"abc")
                getattr(reader.transport, stop)()
                await eventually(lambda out=out, rogue=rogue: not out.agent.open and rogue.peers[0].gone.is_set(), 0.25)
                assert reader.reason is not None


@pytest_twisted.ensureDeferred
async def test_closing_ends_what_is_open_and_sends_nothing_more(crowded):
    with Rogue(lambda peer: (peer.head(), peer.hold())) as rogue:
        async with way_out() as out:
            waiting = out.client.get(out.to(rogue.url))
            connecting = out.client.get(out.to(crowded))
            await eventually(lambda: rogue.requests)
            await out.agent.close()
            for asked in (waiting, connecting, out.client.get(out.to(rogue.url))):
                with pytest.raises((UpstreamBroken, UpstreamRefused)):
                    await asked
            assert not out.clock.getDelayedCalls()


@pytest.mark.parametrize("name", [b"Content-Length", b"transfer-encoding", b"Connection", b"Upgrade"])
@pytest_twisted.ensureDeferred
async def test_framing_is_not_the_callers(name):
    async with way_out() as out:
        with pytest.raises(ValueError, match="framing"):
            out.client.get(out.to("http://127.0.0.1:1"), headers=RawHeaders([(name, b"1")]))


@pytest.mark.parametrize("value", [b"a\r\nX-Injected: b", b"a\nb", b"a\rb"])
@pytest_twisted.ensureDeferred
async def test_no_field_can_bring_a_line_of_its_own(value):
    async with way_out() as out:
        with pytest.raises(ValueError, match="line break"):
            out.client.get(out.to("http://127.0.0.1:1"), headers=RawHeaders([(b"X", value)]))


@pytest.mark.parametrize("path", [b"x", b"/a b", b"/a\r\n", b"/\xff", b""])
@pytest_twisted.ensureDeferred
async def test_a_path_that_is_no_path_is_not_sent(path):
    async with way_out() as out:
        with pytest.raises(ValueError, match="cannot be sent"):
            out.client.get(out.to("http://127.0.0.1:1", path))


@pytest_twisted.ensureDeferred
async def test_the_first_byte_is_not_awaited_while_the_client_still_sends():
    with Rogue(lambda peer: (peer.head(), peer.hold())) as rogue:
        async with way_out() as out:
            upload = Slow(4)
            asked = out.client.post(out.to(rogue.url), data=upload, timeouts=QUICK)
            await eventually(lambda: rogue.requests)
            out.pass_time(60)
            assert not asked.called
            upload.consumer.write(b"1234")
            upload.finished.callback(None)
            out.pass_time(3.0)
            assert not asked.called
            out.pass_time(0.75)
            with pytest.raises(UpstreamTimeout):
                await asked

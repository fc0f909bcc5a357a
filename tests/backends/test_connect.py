"""Where requests can go: TLS that is verified, unix sockets, names."""

import datetime
import ssl

import pytest
import pytest_twisted
import treq
from twisted.internet import reactor
from twisted.web.client import ResponseFailed
from twisted.web.http import PotentialDataLoss

from edge.backends.errand import Timeouts
from edge.backends.failures import UpstreamRefused, UpstreamTimeout, cause_of
from edge.backends.rawheaders import RawHeaders
from edge.backends.target import UpstreamURL, stock_creator, target_of
from edge.tls.upstream import upstream_creator
from tests.backends.rogue import Rogue, eventually, serving
from tests.backends.way_out import QUICK, Reader, Slow, way_out
from tests.tls.helpers import make_pair


@pytest.fixture
def pair(tmp_path):
    """(context of a server with a certificate for the names, file of the CA that vouches for it)."""

    def make(*names, **how):
        chain, key = make_pair(*names, **how)
        (tmp_path / "chain.pem").write_bytes(chain)
        (tmp_path / "key.pem").write_bytes(key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
        return context, tmp_path / "chain.pem"

    return make


def to(rogue, ca_file, creator=upstream_creator, host="127.0.0.1"):
    return UpstreamURL(target_of(f"https://{host}:{rogue.port}", ca_file, creator), b"/")


@pytest.mark.parametrize("creator", [upstream_creator, stock_creator])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("fast", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_certificate_that_fits_is_trusted_by_its_own_ca_file(pair, host, fast, creator):
    context, ca_file = pair("127.0.0.1", "localhost")
    with Rogue(serving, tls=context) as rogue:
        async with way_out(fast) as out:
            url = to(rogue, ca_file, creator, host)
            for _ in range(3):
                answer = await out.client.get(url)
                assert answer.whole == b"GET / HTTP/1.1"
            assert out.agent.connects == 1


@pytest.mark.parametrize("fast", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_certificate_of_an_unknown_ca_is_refused_before_anything_is_sent(pair, fast):
    context, _ = pair("127.0.0.1")
    with Rogue(serving, tls=context) as rogue:
        async with way_out(fast) as out:
            with pytest.raises(UpstreamRefused, match="certificate verify failed"):
                await out.client.post(to(rogue, None), data=b"secret")
        assert not rogue.requests


@pytest.mark.parametrize("fast", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_certificate_for_another_name_is_refused_before_anything_is_sent(pair, fast):
    context, ca_file = pair("other.home.arpa")
    with Rogue(serving, tls=context) as rogue:
        async with way_out(fast) as out:
            with pytest.raises(UpstreamRefused):
                await out.client.post(to(rogue, ca_file), data=b"secret")
        assert not rogue.requests


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_has_ended_is_refused(pair):
    ended = datetime.datetime.now(datetime.UTC).timestamp() - 10 * 86400
    context, ca_file = pair("127.0.0.1", start=ended, days=2)
    with Rogue(serving, tls=context) as rogue:
        async with way_out() as out:
            with pytest.raises(UpstreamRefused):
                await out.client.get(to(rogue, ca_file))
        assert not rogue.requests


@pytest_twisted.ensureDeferred
async def test_a_server_without_tls_is_refused(pair):
    _, ca_file = pair("127.0.0.1")
    with Rogue(lambda peer: (peer.body(5), peer.answer())) as rogue:
        async with way_out() as out:
            with pytest.raises(UpstreamRefused):
                await out.client.get(to(rogue, ca_file))


@pytest_twisted.ensureDeferred
async def test_a_handshake_that_dawdles_counts_as_connecting(pair):
    _, ca_file = pair("127.0.0.1")
    with Rogue(lambda peer: peer.hold()) as rogue:
        async with way_out() as out:
            asked = out.client.get(to(rogue, ca_file), timeouts=QUICK)
            await eventually(lambda: rogue.peers and rogue.peers[0].received)
            out.pass_time(2.5)
            with pytest.raises(UpstreamTimeout) as caught:
                await asked
            assert caught.value.which == "connect"


@pytest.mark.parametrize("fast", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_handshake_that_its_own_deadline_ends_is_late_and_not_refused(pair, fast):
    _, ca_file = pair("127.0.0.1")
    with Rogue(lambda peer: peer.hold()) as rogue:
        async with way_out(fast) as out:  # whose clock stands still, so that only TLS's deadline can come
            with pytest.raises(UpstreamTimeout) as caught:
                await out.client.get(to(rogue, ca_file), timeouts=Timeouts(connect=0.5))
    assert caught.value.which == "connect"


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("end", "kind"), [("farewell", PotentialDataLoss), ("cut", ResponseFailed)])
@pytest_twisted.ensureDeferred
async def test_under_tls_only_a_farewell_ends_an_answer_without_length(pair, end, kind, fast):
    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        peer.gone.wait(0.05)
        getattr(peer, end)()

    context, ca_file = pair("127.0.0.1")
    with Rogue(script, tls=context) as rogue:
        async with way_out(fast) as out:
            answer = await out.client.get(to(rogue, ca_file))
            reader = Reader()
            answer.deliverBody(reader)
            await eventually(lambda: reader.reason)
            assert reader.data == b"abc"
            assert reader.reason.check(kind)
            assert (cause_of(reader.reason) is None) is (end == "farewell")


@pytest_twisted.ensureDeferred
async def test_a_kept_tls_connection_that_ended_is_not_used(pair):
    def once(peer):
        peer.head()
        peer.answer(b"first")
        peer.wait()
        peer.farewell()
        peer.gone.set()

    context, ca_file = pair("127.0.0.1")
    with Rogue(once, serving, tls=context) as rogue:
        async with way_out() as out:
            url = to(rogue, ca_file)
            await out.client.get(url)
            rogue.peers[0].go.set()
            rogue.peers[0].gone.wait(0.2)
            answer = await out.client.post(url, data=b"x")
            assert answer.whole == b"POST / HTTP/1.1"


@pytest.mark.parametrize("fast", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_unix_socket_is_an_upstream_like_any_other(tmp_path, fast):
    with Rogue(serving, path=tmp_path / "up.sock") as rogue:
        async with way_out(fast) as out:
            for _ in range(2):
                answer = await out.client.get(out.to(rogue.url, b"/x"))
                assert await treq.content(answer) == b"GET /x HTTP/1.1"
            assert out.agent.connects == 1
        assert b"\r\nHost: localhost" in rogue.peers[0].received


@pytest_twisted.ensureDeferred
async def test_a_unix_socket_that_is_not_there_is_refused(tmp_path):
    async with way_out() as out:
        with pytest.raises(UpstreamRefused):
            await out.client.get(out.to(f"unix:{tmp_path}/none.sock"))


@pytest_twisted.ensureDeferred
async def test_a_name_is_looked_up():
    with Rogue(serving) as rogue:
        async with way_out() as out:
            answer = await out.client.get(out.to(f"http://localhost:{rogue.port}"))
            assert answer.code == 200
        assert b"\r\nHost: localhost:" in rogue.peers[0].received


@pytest.mark.parametrize("fast", [True, False])
@pytest_twisted.ensureDeferred
async def test_much_goes_both_ways_over_tls_through_pauses(pair, fast):
    size = 8 << 20

    def swallow_and_spit(peer):
        peer.head()
        peer.wait()
        got = peer.body(size)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(got))
        peer.send(got)
        peer.hold()

    data = bytes(range(256)) * (size // 256)
    context, ca_file = pair("127.0.0.1")
    with Rogue(swallow_and_spit, tls=context) as rogue:
        async with way_out(fast) as out:
            upload = Slow(size)
            asked = out.client.post(to(rogue, ca_file), data=upload)
            await eventually(lambda: rogue.requests)
            sent = 0
            while not upload.paused:
                upload.consumer.write(data[sent : sent + 65536])
                sent += 65536
            # The upstream does not read, so most of it waits here.
            assert sent < size
            rogue.peers[0].go.set()
            while sent < size:
                await eventually(lambda: not upload.paused)
                upload.consumer.write(data[sent : sent + 65536])
                sent += 65536
            upload.finished.callback(None)
            answer = await asked
            pieces = []

            class Pausing(Reader):
                def dataReceived(self, piece):
                    pieces.append(piece)
                    self.transport.pauseProducing()
                    reactor.callLater(0, self.transport.resumeProducing)

            reader = Pausing()
            answer.deliverBody(reader)
            await eventually(lambda: reader.reason, 60)
            assert b"".join(pieces) == data
            assert out.agent.idle == 1


@pytest.mark.parametrize("fast", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_tunnel_under_tls_ends_though_a_producer_is_registered(pair, fast):
    def switches(peer):
        peer.head()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
        peer.hold()

    context, ca_file = pair("127.0.0.1")
    with Rogue(switches, tls=context) as rogue:
        async with way_out(fast) as out:
            switched = await out.client.open_upgrade(to(rogue, ca_file), b"other", headers=RawHeaders())
            switched.tunnel.registerProducer(Slow(), True)
            switched.tunnel.loseConnection()
            await eventually(lambda: rogue.peers[0].gone.is_set() and not out.agent.open, 2)

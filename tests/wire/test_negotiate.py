"""Which protocol a connection gets, over real sockets and with real clients."""

import shutil
import ssl
import subprocess

import httpx
import pytest
import pytest_twisted
from twisted.internet import reactor as the_reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from edge.tls.contexts import contexts, shown
from edge.transport.listen import listen
from edge.wire.h2_frames import PREFACE, SETTINGS
from edge.wire.limits import WireLimits
from edge.wire.negotiate import HttpFactory, peer_of
from edge.wire.server import Server
from tests.tls.helpers import make_identity
from tests.wire.h2_client import HERE, THERE, Hand, Sink, Watch, Wire, frame, frames_in

curl = pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing: apt install curl")


class Any(Hand):
    def refuse(self, refusal, origin, protocol):
        self.refusals.append(refusal)
        return [(b"x-aigate-reason", refusal.reason.encode())], refusal.message.encode()


def answer(request):
    if request.path == b"/deny":
        request.reply(401, [], b"no key")
    elif request.path == b"/big":
        request.reply(200, [], b"z" * 3_000_000)
    elif request.path == b"/stream":
        request.respond(200, [], None)
        for _ in range(3):
            request.send(b"event\n")
        request.end()
    elif request.path == b"/cut":
        request.respond(200, [], 100)
        request.send(b"half")
        request.abort()
    elif request.path == b"/silent":
        pass
    else:
        sink = Sink()
        request.body.startProducing(sink).addCallback(
            lambda _: request.reply(200, [(b"x-protocol", request.protocol.encode())], b"%d" % len(sink.data))
        )


@pytest.fixture(params=[True, False], ids=["fast", "stock"])
def gate(request):
    """(server, port of plain, port of TLS), listening on both kinds of transports."""
    server = Server(Any(answer), the_reactor, Watch())
    server.start()
    identity = make_identity("localhost", "127.0.0.1")
    plain = listen(the_reactor, request.param, "127.0.0.1:0", HttpFactory(server, "plain", False))
    secure = listen(
        the_reactor, request.param, "127.0.0.1:0", HttpFactory(server, "https", True), contexts(shown(identity))
    )
    yield server, plain.getHost().port, secure.getHost().port
    server.stop()
    server.cut()
    for one in (plain, secure):
        pytest_twisted.blockon(one.stopListening())


def trusting(*alpn):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@pytest.mark.parametrize("http2", [True, False])
@pytest_twisted.ensureDeferred
async def test_httpx_over_tls(gate, http2):
    server, _, port = gate

    def client():
        with httpx.Client(http2=http2, verify=trusting(), base_url=f"https://127.0.0.1:{port}") as http:
            got = [http.get("/"), http.post("/", content=b"x" * 300_000), http.get("/big"), http.get("/stream")]
            denied = http.post("/deny", content=(b"x" * 65_536 for _ in range(80)))
            with pytest.raises(httpx.RemoteProtocolError):
                http.get("/cut")
            return got, denied, http.get("/")

    got, denied, after = await deferToThread(client)
    version = "HTTP/2" if http2 else "HTTP/1.1"
    assert {answer.http_version for answer in got} == {version}
    assert [answer.text for answer in got[:2]] == ["0", "300000"]
    assert got[0].headers["x-protocol"] == ("HTTP/2.0" if http2 else "HTTP/1.1")
    assert len(got[2].content) == 3_000_000 and got[3].text == "event\n" * 3
    assert (denied.status_code, denied.text) == (401, "no key") and after.status_code == 200
    assert {request.channel.origin.listener for request in server.handler.requests} == {"https"}
    assert {request.channel.origin.peer for request in server.handler.requests} == {"127.0.0.1"}


@curl
@pytest.mark.parametrize("how, version", [("--http2-prior-knowledge", "2"), ("--http1.1", "1.1"), ("--http1.0", "1.0")])
@pytest_twisted.ensureDeferred
async def test_curl_outside_of_tls(gate, how, version, tmp_path):
    _, port, _ = gate
    big = tmp_path / "big"
    big.write_bytes(b"x" * 5_000_000)
    out = ["-w", " %{http_version} %{http_code}", "-s", how]

    def run(*more):
        return subprocess.run(["curl", *out, *more], capture_output=True, timeout=30)

    base = f"http://127.0.0.1:{port}"
    if version != "1.0":
        said = await deferToThread(run, "--data-binary", f"@{big}", f"{base}/")
        assert said.stdout.decode() == f"5000000 {version} 200"
        said = await deferToThread(run, "--data-binary", f"@{big}", f"{base}/deny")
        assert said.stdout.decode() == f"no key {version} 401"
    said = await deferToThread(run, f"{base}/stream")
    assert said.stdout.decode() == "event\n" * 3 + f" {'1.1' if version == '1.0' else version} 200"
    said = await deferToThread(run, f"{base}/cut")
    assert said.returncode in (18, 52, 56, 92)


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)], ids=["no ALPN", "http/1.1"])
@pytest_twisted.ensureDeferred
async def test_without_h2_in_alpn_it_is_http_1(gate, alpn):
    _, _, port = gate

    def client():
        import socket

        with trusting(*alpn).wrap_socket(
            socket.create_connection(("127.0.0.1", port)), server_hostname="localhost"
        ) as tls:
            tls.sendall(b"GET /deny HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: tls.recv(65536), b""))

    assert (await deferToThread(client)).startswith(b"HTTP/1.1 401 ")


@curl
@pytest.mark.parametrize("how", ["--http2", "--http1.1"])
@pytest_twisted.ensureDeferred
async def test_an_open_stream_survives_a_drain_over_real_sockets(gate, how):
    server, _, port = gate
    seen = Deferred()
    server.handler.do = seen.callback

    def client():
        return subprocess.run(["curl", "-sk", how, f"https://127.0.0.1:{port}/"], capture_output=True, timeout=30)

    fetched = deferToThread(client)
    request = await seen
    request.respond(200, [], None)
    request.send(b"before, ")
    server.drain()
    request.send(b"after")
    request.end()
    said = await fetched
    assert (said.returncode, said.stdout) == (0, b"before, after")


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_is_noticed_at_once(gate):
    server, _, port = gate
    seen, gone = Deferred(), Deferred()

    def keep(request):
        request.gone = lambda reason: gone.callback(reason.value)
        seen.callback(request)

    server.handler.do = keep

    def client():
        with httpx.Client(http2=True, verify=trusting()) as http:
            with pytest.raises(httpx.ReadTimeout):
                http.get(f"https://127.0.0.1:{port}/", timeout=0.2)

    fetched = deferToThread(client)
    await seen
    await gone
    await fetched


# In memory


def entrance(secure=False, http2=True, alpn=None, limits=None):
    server = Server(Any(answer), Clock(), Watch(), limits or WireLimits(), http2=http2)
    server.clock.advance(1000)
    wire = Wire()
    wire.getPeer, wire.getHost, wire.negotiatedProtocol = lambda: THERE, lambda: HERE, alpn
    made = HttpFactory(server, "https", secure).buildProtocol(THERE)
    made.makeConnection(wire)
    return server, wire, made


HTTP1 = b"GET /deny HTTP/1.1\r\nHost: a\r\n\r\n"
HTTP2 = PREFACE + frame(SETTINGS, 0, 0)


@pytest.mark.parametrize("ahead", [1, 3, 24, 100])
def test_the_preface_decides_however_it_comes(ahead):
    _, wire, made = entrance()
    for at in range(0, len(HTTP2), ahead):
        made.dataReceived(HTTP2[at : at + ahead])
    assert [kind for kind, *_ in frames_in(wire.take())][:1] == [SETTINGS]


@pytest.mark.parametrize("first", [HTTP1, b"P" + HTTP1[1:], b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n"])
@pytest.mark.parametrize("ahead", [1, 100])
def test_anything_else_is_http_1(first, ahead):
    _, wire, made = entrance()
    for at in range(0, len(first), ahead):
        made.dataReceived(first[at : at + ahead])
    assert wire.take().startswith(b"HTTP/1.1 ")


def test_http2_can_be_off():
    _, wire, made = entrance(http2=False)
    made.dataReceived(HTTP2)
    assert wire.take().startswith(b"HTTP/1.1 400 ")


def test_inside_tls_the_preface_does_not_decide():
    _, wire, made = entrance(secure=True)
    made.dataReceived(HTTP2)
    assert wire.take().startswith(b"HTTP/1.1 400 ")


def test_alpn_decides_when_the_handshake_is_done():
    _, wire, made = entrance(secure=True, alpn=b"h2")
    made.handshakeCompleted()
    assert frames_in(wire.take())[0][0] == SETTINGS
    made.dataReceived(HTTP2)
    assert wire.take()


@pytest.mark.parametrize("early", [b"", b"PRI"])
def test_a_connection_that_says_nothing_is_ended(early):
    server, wire, made = entrance()
    if early:
        made.dataReceived(early)
    server.clock.advance(14)
    server.check()
    assert not wire.aborted
    server.clock.advance(2)
    server.check()
    assert wire.aborted


def test_a_drain_and_a_loss_before_the_first_byte():
    server, wire, made = entrance()
    server.drain()
    assert wire.closing
    made.connectionLost()
    assert not server.connections


def test_the_peer_is_written_plainly():
    assert peer_of(IPv4Address("TCP", "192.0.2.1", 5)) == "192.0.2.1"
    assert peer_of(IPv6Address("TCP", "::ffff:192.0.2.1", 5)) == "192.0.2.1"
    assert peer_of(IPv6Address("TCP", "2001:db8::1", 5)) == "2001:db8::1"
    assert peer_of(IPv6Address("TCP", "fe80::1%eth0", 5)) == "fe80::1"
    assert peer_of(UNIXAddress("/run/x")) == "unix"

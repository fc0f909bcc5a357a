"""Both ways of the switch, certificates made here, and protocols that remember."""

import datetime
import ipaddress
from types import MethodType

import pytest
from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet import defer, task
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from edge.transport.connect import connect
from edge.transport.listen import listen
from edge.transport.reactor import LeanEPollReactor


@pytest.fixture(scope="session")
def reactor():
    from twisted.internet import reactor

    return reactor


@pytest.fixture(params=[True, False], ids=["fast", "stock"])
def fast(request, reactor, monkeypatch):
    """The switch. When on, the loop is the lean one too."""
    if request.param:
        poll = MethodType(LeanEPollReactor.doPoll, reactor)
        monkeypatch.setattr(reactor, "doPoll", poll)
        monkeypatch.setattr(reactor, "doIteration", poll)
    return request.param


@pytest.fixture(scope="session")
def identity():
    """A self-made certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


@define(eq=False)
class Contexts:
    """What `listen` is given for TLS: a context, and the names that clients asked for."""

    context: SSL.Context
    asked: list = field(factory=list)

    def server_connection(self, tls_protocol):
        return SSL.Connection(self.context, None)


@pytest.fixture
def contexts(identity):
    """Makes a server's side; `alpn` is what it speaks, None for a context that never heard of ALPN."""

    def make(alpn=(b"h2", b"http/1.1"), version=None, release=True):
        certificate, key = identity
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.set_session_id(b"test")
        if release:
            context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        if version is not None:
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
        made = Contexts(context)
        if alpn is not None:

            def choose(connection, offered):
                return next((one for one in alpn if one in offered), SSL.NO_OVERLAPPING_PROTOCOLS)

            context.set_alpn_select_callback(choose)
        context.set_tlsext_servername_callback(lambda connection: made.asked.append(connection.get_servername()))
        return made

    return make


@implementer(IOpenSSLClientConnectionCreator)
@define(eq=False)
class Asking:
    """A client's side that trusts anybody; `session` is offered for resumption."""

    context: SSL.Context = field(factory=lambda: SSL.Context(SSL.TLS_CLIENT_METHOD))
    alpn: tuple = ()
    name: bytes | None = None
    session: object = None

    def clientConnectionForTLS(self, tlsProtocol):
        made = SSL.Connection(self.context, None)
        if self.alpn:
            made.set_alpn_protos(list(self.alpn))
        if self.name:
            made.set_tlsext_host_name(self.name)
        if self.session is not None:
            made.set_session(self.session)
        return made


@pytest.fixture
def asking():
    return Asking


class Remembers(Protocol):
    """Keeps what it hears. `ended` fires with the exception of the end, `heard(n)` when n bytes are there."""

    def __init__(self):
        self.received = bytearray()
        self.reason = None
        self.ended = defer.Deferred()
        self.most = 0
        self._waits = []

    def connectionMade(self):
        self.factory.made.append(self)
        waits, self.factory.waits = self.factory.waits, []
        for wait in waits:
            wait.callback(self)

    def dataReceived(self, data):
        self.most = max(self.most, len(data))
        self.received += data
        for wait in [wait for wait in self._waits if len(self.received) >= wait[0]]:
            self._waits.remove(wait)
            wait[1].callback(bytes(self.received))

    def connectionLost(self, reason):
        self.reason = reason
        self.ended.callback(reason.value)  # a Failure would be an errback

    def heard(self, count):
        if len(self.received) >= count:
            return defer.succeed(bytes(self.received))
        done = defer.Deferred()
        self._waits.append((count, done))
        return done


class Echoes(Remembers):
    def dataReceived(self, data):
        super().dataReceived(data)
        self.transport.write(data)


@pytest.fixture
def protocols():
    """A factory of remembering protocols: `protocols(Echoes)`; `await factory.next()` for the next connection."""

    class Made(Factory):
        noisy = False

        def __init__(self, kind):
            self.protocol = kind
            self.made = []
            self.waits = []

        def next(self):
            done = defer.Deferred()
            self.waits.append(done)
            return done

    return Made


@pytest.fixture
def kinds():
    return {"remembers": Remembers, "echoes": Echoes}


@pytest.fixture(params=["tcp", "tcp6", "unix", "tls"])
def kind(request):
    return request.param


@pytest.fixture
def pair(reactor, fast, contexts, protocols, tmp_path):
    """`await pair(kind, server protocol, client protocol)`: two connected protocols over real sockets."""
    open_ = []

    async def make(kind="tcp", server=Echoes, client=Remembers, tls=None, creator=None):
        mine, theirs = protocols(server), protocols(client)
        if kind == "tls" and tls is None:
            tls = contexts()
        address = {"unix": f"unix:{tmp_path}/s", "tcp6": "[::1]:0"}.get(kind, "127.0.0.1:0")
        port = listen(reactor, fast, address, mine, tls)
        open_.append(port)
        came = mine.next()
        if kind == "unix":
            host, number = f"{tmp_path}/s", None
        else:
            host, number = port.getHost().host, port.getHost().port
        creator = creator or (Asking() if tls is not None else None)
        there = await connect(reactor, fast, host, number, theirs, 5, creator)
        here = await came
        open_.extend([here, there])
        return here, there

    yield make
    stop(reactor, open_)


def stop(reactor, things):
    import pytest_twisted

    async def end():
        for thing in things:
            if isinstance(thing, Protocol):
                if thing.reason is None:
                    thing.transport.abortConnection()
                    await thing.ended
            else:
                await thing.stopListening()

    pytest_twisted.blockon(defer.ensureDeferred(end()))


@pytest.fixture
def soon(reactor):
    """`await soon(condition, seconds)`: true as soon as the condition is, false when the time is over."""

    async def wait(condition, seconds=5.0):
        ends = reactor.seconds() + seconds
        while not condition():
            if reactor.seconds() > ends:
                return False
            await task.deferLater(reactor, 0.01)
        return True

    return wait


@pytest.fixture
def closing(reactor):
    """Things to abort or stop at the end of a test."""
    things = []
    yield things
    stop(reactor, things)

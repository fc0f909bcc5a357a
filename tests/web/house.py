"""A gate in memory: every layer from the wire to the service's own side is the real one, but for sockets and servers."""

from functools import partial
from itertools import count
from types import SimpleNamespace
from zoneinfo import ZoneInfo

from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.iweb import UNKNOWN_LENGTH

from edge.auth.admission import Admission
from edge.auth.open import Open
from edge.auth.tickets import Tickets
from edge.backends.answer import Answer
from edge.backends.failures import UpstreamBroken, UpstreamRefused, UpstreamTimeout
from edge.backends.upstreams import Upstreams
from edge.backends.way import Way
from edge.core.levels import Limits
from edge.core.lockouts import Lockouts
from edge.core.models import filter_models
from edge.core.routing import Routes, route_to
from edge.core.service import ANY_METHOD, POST, READ, Rule, Traits
from edge.limits.limiter import Limiter
from edge.limits.slots import Slots
from edge.limits.waiting import Place
from edge.stores.counters_memory import MemoryCounters
from edge.stores.memory import MemoryKeyStore
from edge.testing import RecordedAttempts, key, secret
from edge.web.cut import cut
from edge.web.forward import Forward
from edge.web.guard import Door, Guard
from edge.web.inspection import Inspection
from edge.web.own import Public, health_page, status_page, ticket_page
from edge.web.passing import Passing
from edge.web.places import Places
from edge.web.rates import Rates
from edge.web.router import Own, Router
from edge.web.site import Site
from edge.wire.head import answer_head
from edge.wire.http1 import Http1
from edge.wire.limits import WireLimits
from edge.wire.request import Origin
from edge.wire.server import Server
from tests.wire.memory import NoWatch, Wire

BASE = "http://127.0.0.1:11434"
NOW = 1_700_000_000.0
CHAT = Traits(
    kind="chat",
    rules=(
        Rule(READ, "/v1/models", models="openai"),
        Rule(POST, "/v1/chat/completions", work=True, model="json:model", units="tokens"),
        Rule(POST, "/v1/messages", work=True, model="json:model", units="tokens", dialect="anthropic"),
        Rule(POST, "/api/chat", work=True, model="json:model", units="tokens", dialect="ollama"),
        Rule(READ, "/v1/realtime", work=True, model="query:model", units="tokens"),
        Rule(READ, "/by/*", model="path:2"),
        Rule(POST, "/hear", model="form:model"),
        Rule(POST, "/asr", work=True, units="transcription"),
        Rule(ANY_METHOD, "/admin/*", scope="manage"),
        Rule(ANY_METHOD, "/never", scope="never"),
        Rule(ANY_METHOD, "*"),
    ),
    upgrades=frozenset({b"websocket"}),
)


class Behind:
    """What stands for one server's side: keeps what it was sent, and answers when the test says so."""

    def __init__(self, base=BASE, auto=None):
        self.base = base
        self.authority = base.split("//")[1].encode()
        self.origin = base.encode()
        self.bases = (base.encode(),)
        self.sent = []
        self.auto = auto
        """Answers each request at once, with what it returns for it."""

    refusal = Way.refusal
    unreached = Way.unreached

    def send(self, method, path, pairs, body, inform):
        return self._asked(Sent(method, path, pairs, body, inform))

    def upgrade(self, protocol, path, pairs):
        return self._asked(Sent("GET", path, pairs, None, None, protocol))

    def _asked(self, sent):
        self.sent.append(sent)
        if self.auto is not None:
            found = self.auto(sent)
            if isinstance(found, Exception):
                sent.deferred.errback(Failure(found))
            else:
                sent.deferred.callback(found)
        elif sent.body is not None:
            sent.drink()
        return sent.deferred

    @property
    def last(self):
        return self.sent[-1]


class Sent:
    """One request as the server gets it."""

    def __init__(self, method, path, pairs, body, inform, protocol=None):
        self.method, self.path, self.pairs, self.body, self.inform = method, path, pairs, body, inform
        self.protocol = protocol
        self.cancelled = False
        self.taken = b""
        self.uploaded = []
        self.deferred = Deferred(self._cancel)

    def _cancel(self, deferred):
        self.cancelled = True
        if self.body is not None and not isinstance(self.body, bytes):
            self.body.stopProducing()
        deferred.errback(Failure(CancelledError()))

    def drink(self):
        if isinstance(self.body, bytes):  # it came with its head
            self.taken += self.body
            self.uploaded.append(None)
            return
        self.body.startProducing(self).addCallbacks(self.uploaded.append, self._not_uploaded)

    def _not_uploaded(self, reason):
        self.uploaded.append(reason)
        if not self.deferred.called:
            self.deferred.errback(reason)

    def write(self, data):
        self.taken += data

    def registerProducer(self, producer, streaming): ...
    def unregisterProducer(self): ...

    def field(self, name):
        """All values of a field, None where there is none."""
        found = [value for low, value in self.pairs if low.lower() == name.lower()]
        return (found[0] if len(found) == 1 else found) if found else None

    def answer(self, *args, **known):
        made = reply(*args, **known)
        self.deferred.callback(made)
        return made

    def fail(self, error):
        self.deferred.errback(Failure(error))


class Line:
    """The connection under an answer that streams."""

    def __init__(self):
        self.aborted = False
        self.paused = False

    def pause(self):
        self.paused = True

    def resume(self):
        self.paused = False

    def abort(self):
        self.aborted = True


def reply(status=200, fields=(), body=b"", streams=False, length=None):
    """A server's answer; one that `streams` has its body fed by the test, of an announced `length` or of none."""
    pairs = "".join(f"{name}: {value}\r\n" for name, value in fields)
    size = length if streams else len(body)
    framing = "Transfer-Encoding: chunked\r\n" if size is None else f"Content-Length: {size}\r\n"
    head = answer_head(f"HTTP/1.1 {status} \r\n{framing}{pairs}".encode("latin-1"), 200)
    made = Answer(head, UNKNOWN_LENGTH if size is None else size)
    if streams:
        made.connection = made.line = Line()
        made.line.abort = lambda: (setattr(made.line, "aborted", True), broke(made))
    else:
        made.whole = body
    return made


def done(answer):
    answer.finish(Failure(ResponseDone()))


def broke(answer, error=None):
    line = answer.connection
    if line is not None:
        line.aborted = True
    answer.finish(Failure(error or UpstreamBroken(BASE, "cut")))


REFUSED = UpstreamRefused(BASE, "connection refused")
SLOW = UpstreamTimeout(BASE, "first_byte", 600.0)
UNREACHED = UpstreamTimeout(BASE, "connect", 5.0)
SILENT = UpstreamTimeout(BASE, "idle", 300.0)
GARBLED = UpstreamBroken(BASE, "not HTTP")


@define(eq=False, slots=False)
class House:
    """The whole gate. `services` are (name, route, traits, resource or None for `behind`)."""

    origins: tuple = ("https://app.example",)
    limits: Limits = field(factory=Limits)
    size: int | None = None
    length: int = 10
    wait: float = 60.0
    inspect: int = 1000
    body: int = 100_000
    more: tuple = ()
    trusted: tuple = ()
    header: bytes = b"x-forwarded-for"
    json_space: bool = False
    forward: dict = field(factory=dict)
    wire: dict = field(factory=dict)
    outcomes: list = field(factory=list)

    def __attrs_post_init__(self):
        self.clock = Clock()
        self.clock.advance(1000)
        self.now = NOW
        self.store = MemoryKeyStore()
        self.secret = self.add("0badcafe", "alice", ("*",))
        self.attempts = RecordedAttempts()
        self.tickets = Tickets(self.clock)
        self.opens = Open(self.clock, self.store, self.tickets, self.read_now, partial(cut, ended="revoked"))
        self.opens.start()
        admission = Admission(self.store, Lockouts(), self.attempts, self.tickets)
        self.door = Door(admission, self.opens, self.origins, 600.0, self.body)
        self.limiter = Limiter(self.limits, MemoryCounters(ZoneInfo("UTC")))
        self.slots = Slots(self.clock, self.limiter.engine)
        self.behind = Behind()
        self.guards, self.routes, self.asked = {}, [], []
        self.resource = self.through(self.behind, **self.forward)
        self.serve("chat", "/chat/api", CHAT, self.resource)
        for name, route, traits, resource in self.more:
            self.serve(name, route, traits, resource)
        self.state = "ok"
        services = dict.fromkeys(self.guards)
        own = {
            b"/health": Own(Public(health_page(lambda: self.state), self.door), READ),
            b"/status": Own(
                Guard(
                    status_page(
                        services,
                        lambda _: "healthy",
                        SimpleNamespace(limiter=self.limiter, slots=self.slots),
                        self.read_now,
                    ),
                    self.door,
                ),
                READ,
            ),
            b"/ticket": Own(Guard(ticket_page(self.tickets, services), self.door), POST),
        }
        self.router = Router(Routes(tuple(self.routes)), self.guards, own)
        self.cutting = False
        self.site = Site(
            self.router, self.clock, self.read_now, (self.outcomes.append,), self.trusted, self.header,
            self.door.origin, lambda: self.cutting,
        )  # fmt: skip
        self.server = Server(self.site, self.clock, NoWatch(), WireLimits(**self.wire))
        self.server.start()
        self._ports = count(40_000)

    def read_now(self):
        return self.now

    def add(self, key_id, user="alice", services=("chat",), **rules):
        """A key; its secret."""
        shown = secret(key_id)
        self.store.put(key(key_id, user, services, **rules), shown)
        return shown

    def through(self, *behinds, **known):
        """A Forward to these."""
        self.servers = Upstreams.of("chat", [one.base for one in behinds], self._ask, self.clock)
        made = {"cut_models": filter_models, "upgrades": frozenset({b"websocket"}), **known}
        policy = {name: made.pop(name) for name in ("fields", "keep_host", "identity", "trace") if name in made}
        passing = Passing("chat", **policy)
        return Forward("chat", self.servers, {one.base: one for one in behinds}, self.clock, passing, **made)

    async def _ask(self, base):
        self.asked.append(base)
        return True

    def serve(self, name, route, traits, resource):
        place = Place(name, self.size, self.length, self.wait)
        turns = (
            Rates(self.limiter, self.read_now, traits.dialect).turn,
            Inspection(self.limiter, self.read_now, self.inspect, traits.dialect, traits.upgrades).turn,
            Places(
                self.limiter, self.slots, place, self.clock, traits.dialect, not any(rule.work for rule in traits.rules),
                15.0, self.inspect, self.json_space,
            ).turn,
        )  # fmt: skip
        self.guards[name] = Guard(resource, self.door, traits, turns=turns)
        self.routes.append(route_to(name, route))
        if hasattr(self, "router"):
            self.router.routes = Routes(tuple(self.routes))

    def connect(self, peer="192.0.2.7", secure=True, listener="https"):
        port = next(self._ports)
        address = IPv4Address("TCP", peer, port)
        return Talk(self, Origin(peer, secure, listener, IPv4Address("TCP", "127.0.0.1", 8443), address))

    def ask(self, *args, **known):
        """One request over a connection of its own; the Talk."""
        return self.connect().ask(*args, **known)

    @property
    def outcome(self):
        """The one that was told."""
        (only,) = self.outcomes
        return only

    def pass_time(self, seconds):
        for _ in range(int(seconds * 4)):
            self.clock.advance(0.25)

    def at_rest(self):
        """Whether nothing is held for anybody any more."""
        return (
            self.site.in_flight == 0
            and all(one.open == 0 for one in self.servers)
            and self.slots.load("chat") == (0, 0)
            and self.opens.count("0badcafe") == 0
        )


class Talk:
    """One client's connection over HTTP/1.1."""

    def __init__(self, house, origin):
        self.house = house
        self.wire = Wire()
        self.protocol = Http1(house.server, origin)
        self.protocol.makeConnection(self.wire)
        self.raw = b""

    def send(self, *parts):
        for part in parts:
            self.protocol.dataReceived(part)
        return self

    def ask(self, method="GET", target="/chat/api/v1/other", *fields, body=None, key=True, host="gate.test"):
        """Sends a request; `key` True shows the house's own, or a secret, or None."""
        shown = self.house.secret if key is True else key
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
        lines += [f"Authorization: Bearer {shown}"] if shown else []
        lines += [f"{name}: {value}" for name, value in fields]
        if body is not None and not any(name.lower() == "transfer-encoding" for name, _ in fields):
            lines.append(f"Content-Length: {len(body)}")
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    def read(self):
        """All bytes so far."""
        self.raw += self.wire.value()
        self.wire.clear()
        return self.raw

    @property
    def head(self):
        return self.read().partition(b"\r\n\r\n")[0]

    @property
    def status(self):
        return int(self.head.split()[1])

    @property
    def body(self):
        """The payload of the (only) answer; chunks are joined."""
        body = self.read().partition(b"\r\n\r\n")[2]
        if self.field("transfer-encoding") != "chunked":
            return body
        out = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            out, body = out + body[: int(size, 16)], body[int(size, 16) + 2 :]
        return out

    @property
    def whole(self):
        """Whether the answer's framing says that it is complete."""
        body = self.read().partition(b"\r\n\r\n")[2]
        if self.field("transfer-encoding") == "chunked":
            return body.endswith(b"0\r\n\r\n")
        return len(body) == int(self.field("content-length") or "0")

    def fields(self, name):
        found = [line.partition(b":") for line in self.head.split(b"\r\n")[1:]]
        return [value.strip().decode("latin-1") for low, _, value in found if low.lower() == name.lower().encode()]

    def field(self, name):
        found = self.fields(name)
        assert len(found) < 2, f"{name} is there more than once"
        return found[0] if found else None

    @property
    def reason(self):
        return self.field("x-aigate-reason")

    def leave(self, error=None):
        self.protocol.connectionLost(Failure(error or ConnectionDone()))

    @property
    def closed(self):
        return bool(self.wire.disconnecting or self.wire.disconnected)

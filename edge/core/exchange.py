"""A request as a frozen value that each layer enriches and hands on, and the one event that ends it."""

from collections.abc import Iterable, Mapping

from attrs import field

from edge.core.headers import Fields, Pair
from edge.core.keys import Key
from edge.core.value import value


@value(eq=False)
class Session:
    """How a connection is secured; one for all requests on it."""

    version: int
    """As in TLS itself: 0x0304 is TLS 1.3."""
    suite: int
    """The number of the cipher suite in IANA's registry, 0 where it is not known."""
    resumed: bool
    protocol: str
    """What ALPN settled on, "" where the client offered nothing."""
    name: bytes
    """The host that the client asked for by SNI, as it wrote it."""


@value
class Arrival:
    """A request whose head is complete and well formed; the body stays outside."""

    id: str
    """What `x-request-id` says: the client's own where it was sane, ours otherwise."""
    method: str
    host: str
    """Lower-case host name or address without port, "" where HTTP/1.0 gave none."""
    target: bytes
    """The path and query exactly as received (origin form): what goes on is cut from these bytes."""
    path: bytes
    """`target` up to the first `?`."""
    query: bytes | None
    fields: Fields
    peer: str
    """The address of the socket's other end, mapped IPv4 unwrapped; "unix" for a unix socket."""
    client: str
    """The true client address: the peer, or what a trusted proxy says of it."""
    secure: bool
    protocol: str
    """"HTTP/1.0", "HTTP/1.1" or "HTTP/2.0"."""
    listener: str
    """The listener's name: https, http, plain or ops."""
    at: float
    """Unix seconds at the end of the head."""
    started: float
    """The same moment on the reactor's monotonic clock."""
    upgrade: bytes | None = None
    """The lower-case protocol that the client asks to switch to, `websocket` for an extended CONNECT."""
    tls: Session | None = None
    """None where the connection is not secured by the gate."""


@value
class Route:
    """One place of the gate: requests for `host` (None: any) below `prefix` with one of `methods` go to `service`."""

    service: str
    prefix: bytes
    """Without a final slash, `/chat/api`; empty for a whole host."""
    methods: frozenset[str]
    host: str | None = None


@value
class Caller:
    """Who asks: a key, and how it came."""

    key: Key
    via: str = "key"
    """"key" or "ticket"."""

    @property
    def key_id(self) -> str:
        return self.key.id

    @property
    def user(self) -> str:
        return self.key.user


@value
class Exchange:
    """What is known of one request so far."""

    arrival: Arrival
    route: Route | None = None
    caller: Caller | None = None
    upstream: str | None = None
    """The upstream's base address, `http://127.0.0.1:11434`."""
    model: str | None = None

    def along(self, route: Route) -> "Exchange":
        return Exchange(self.arrival, route, self.caller, self.upstream, self.model)

    def by(self, caller: Caller) -> "Exchange":
        return Exchange(self.arrival, self.route, caller, self.upstream, self.model)

    def to(self, upstream: str) -> "Exchange":
        return Exchange(self.arrival, self.route, self.caller, upstream, self.model)

    def asking(self, model: str | None) -> "Exchange":
        return Exchange(self.arrival, self.route, self.caller, self.upstream, model)


@value
class Outcome:
    """The end of a request, told once. Durations are seconds; byte counts are of bodies, without framing."""

    exchange: Exchange
    status: int
    """What the client was told; 499 where it left before it was told anything, 0 never."""
    reason: str = ""
    """The stable reason of a refusal or a failure of ours, "" where the service answered."""
    ended: str = "complete"
    """complete · refused · client-gone · upstream-broken · timeout · revoked · drained"""
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    first_byte: float | None = None
    """From the end of the request's head to the first byte of the answer's body or head."""
    queued: float = 0.0
    overhead: float | None = None
    """Our own share: from the end of the head to the upstream request's being written, queueing excluded."""
    units: Mapping[str, float] = field(factory=dict)
    """What it cost, by unit: tokens, audio_seconds, characters, images, steps."""
    answer: Iterable[Pair] = ()
    """The fields of the answer's head, whatever they hold."""
    length: int | None = None
    """Of the answer's body, where its head told it."""

"""Header policy between the two sides: what goes on to a service, and what comes back from it."""

from functools import lru_cache
from typing import Final

from edge.core.headers import Fields, Pair

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
"""Fields of one connection only (RFC 9110 7.6.1, RFC 9113 8.2.2)."""

FRAMING: Final = frozenset({b"host", b"content-length", b"expect"})
"""Fields that are written anew for the next hop."""

CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key", b"api-key", b"xi-api-key", b"x-goog-api-key"})
"""Where keys come; no service ever sees one."""

ORIGINS: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix"}
    | {b"x-forwarded-port", b"x-forwarded-server", b"x-forwarded-scheme", b"x-real-ip", b"x-request-id"}
    | {b"x-client-ip", b"true-client-ip", b"cf-connecting-ip", b"x-cluster-client-ip", b"x-original-host"}
    | {b"x-forwarded", b"forwarded-for", b"x-forwarded-by", b"x-forwarded-ssl", b"x-forwarded-client-cert"}
    | {b"x-original-forwarded-for", b"x-envoy-external-address", b"cf-connecting-ipv6", b"fastly-client-ip"}
    | {b"x-scheme", b"x-host", b"x-script-name", b"x-forwarded-path", b"x-forwarded-uri", b"x-forwarded-method"}
)
"""What services believe about where a request comes from: only the gate says it."""

IDENTITIES: Final = frozenset(
    {b"remote-user", b"x-remote-user", b"x-forwarded-user", b"x-forwarded-email", b"x-forwarded-groups"}
    | {b"x-forwarded-preferred-username", b"x-auth-request-user", b"x-auth-request-email", b"x-webauth-user"}
    | {b"x-authenticated-user", b"tailscale-user-login", b"tailscale-user-name", b"x-user-id"}
)
"""Names that services behind a gate take for a verified user."""

OVERRIDES: Final = frozenset(
    {b"x-http-method-override", b"x-http-method", b"x-method-override", b"x-original-url", b"x-rewrite-url"}
    | {b"x-original-uri", b"x-envoy-original-path"}
)
"""Fields by which a request would be another one than the one that was judged."""

NOT_SENT_ON: Final = HOP_BY_HOP | FRAMING | CREDENTIALS | ORIGINS | IDENTITIES | OVERRIDES
_NOT_SENT_BACK: Final = HOP_BY_HOP | {b"content-length", b"x-request-id", b"alt-svc"}
_CORS: Final = frozenset(
    {b"access-control-allow-origin", b"access-control-allow-credentials", b"access-control-expose-headers"}
)
_NOT_SENT_BACK_CORS: Final = _NOT_SENT_BACK | _CORS
_OURS: Final = b"x-aigate"


@lru_cache(maxsize=1024)
def forwarded(client: str, chain: bytes, secure: bool, authority: bytes, prefix: bytes) -> tuple[Pair, ...]:
    """The fields that tell a service who asks and where the gate has put it (RFC 7239, and the older spellings).

    `chain` is the whole way as `X-Forwarded-For` spells it where trusted proxies stand between, b"" otherwise.
    """
    proto = b"https" if secure else b"http"
    # A client on a UNIX socket has no address (RFC 7239 6.2).
    address = b"unknown" if client == "unix" else client.encode("ascii", "replace")
    node = b'"[%b]"' % address if b":" in address else address
    made = [
        (b"X-Forwarded-For", chain or address),
        (b"X-Forwarded-Proto", proto),
        (b"X-Forwarded-Host", authority),
        (b"Forwarded", b'for=%b;host="%b";proto=%b' % (node, authority, proto)),
    ]
    if prefix:
        made.append((b"X-Forwarded-Prefix", prefix))
    return tuple(made)


def sent_on(fields: Fields, also: frozenset[bytes] = frozenset()) -> list[Pair]:
    """What of a request's fields goes on: everything but what is listed above, what `Connection` names, and `also`.

    Names with an underscore for a dash are the same name to many servers, and are dropped where that one would be.
    """
    drop = NOT_SENT_ON | also if also else NOT_SENT_ON
    lows = fields.lows
    if b"connection" in lows:
        named = _named(fields)
        if named:
            drop |= named
    return [
        pair
        for pair, low in zip(fields.pairs, lows, strict=True)
        if low not in drop
        and low[:8] != _OURS
        and (b"_" not in low or ((dashed := low.replace(b"_", b"-")) not in drop and dashed[:8] != _OURS))
    ]


def sent_back(fields: Fields, cors: bool) -> list[Pair]:
    """What of an answer's fields goes back; with `cors` the gate speaks for the service on cross-origin access."""
    drop = _NOT_SENT_BACK_CORS if cors else _NOT_SENT_BACK
    lows = fields.lows
    if b"connection" in lows:
        named = _named(fields)
        if named:
            drop |= named
    return [pair for pair, low in zip(fields.pairs, lows, strict=True) if low not in drop and low[:8] != _OURS]


def _named(fields: Fields) -> frozenset[bytes]:
    """The fields that `Connection` names as this hop's only, lower-case."""
    values = fields.all(b"connection")
    return _options(values[0]) if len(values) == 1 else _options(b",".join(values))


@lru_cache(maxsize=64)
def _options(value: bytes) -> frozenset[bytes]:
    named = (option.strip(b" \t").lower() for option in value.split(b","))
    return frozenset(option for option in named if option and option != b"close") - HOP_BY_HOP


def location(value: bytes, bases: tuple[bytes, ...], authority: bytes, prefix: bytes) -> bytes:
    """A `Location` as the client must see it: one that points into the service gets the route's prefix back.

    `bases` are the service's own addresses without a final slash, `http://127.0.0.1:11434`, the first one its usual one.
    """
    for base in bases:
        if _begins(value, base):
            value = value[len(base) :]
            break
    else:
        own = next((own for own in (b"http://" + authority, b"https://" + authority) if _begins(value, own)), b"")
        value = value[len(own) :]
        if not own and (value[:1] != b"/" or value[:2] == b"//"):
            return value
        if prefix and _begins(value, prefix):
            return value
        # Where the service itself lives below a path, its own paths begin with that.
        parts = bases[0].split(b"/", 3) if bases else []
        if len(parts) == 4 and _begins(value, b"/" + parts[3]):
            value = value[len(parts[3]) + 1 :]
    if value[:1] != b"/":
        value = b"/" + value
    return value if not prefix or _begins(value, prefix) else prefix + value


def _begins(value: bytes, with_: bytes) -> bool:
    """Whether an address is another one, or below it."""
    return value.startswith(with_) and value[len(with_) : len(with_) + 1] in (b"", b"/", b"?", b"#")

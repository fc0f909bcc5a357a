"""OpenSSL contexts for the door: which versions, suites and groups it speaks, and which identity a server name gets."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from edge.errors import TLSError
from edge.tls.identity import Identity

# Mozilla's "intermediate" without its finite-field and CBC remains: forward secrecy and AEAD everywhere.
TLS12_SUITES: Final = b":".join(
    f"ECDHE-{signer}-{cipher}".encode()
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for signer in ("ECDSA", "RSA")
)
TLS13_SUITES: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
# The first list that the OpenSSL at hand knows is taken; with `/` a client that could do the hybrid is asked for it.
GROUPS: Final = (b"X25519MLKEM768 / X25519:secp256r1 / secp384r1", b"X25519:P-256:P-384")
SIGNATURES: Final = b":".join(
    [b"ecdsa_secp256r1_sha256", b"ecdsa_secp384r1_sha384", b"ecdsa_secp521r1_sha512", b"ed25519", b"ed448"]
    + [b"rsa_pss_rsae_sha256", b"rsa_pss_rsae_sha384", b"rsa_pss_rsae_sha512"]
    + [b"RSA+SHA256", b"RSA+SHA384", b"RSA+SHA512"]
)
PROTOCOLS: Final = (b"h2", b"http/1.1")
# Phones and boards without AES in hardware put ChaCha20 first, and then get it (SSL_OP_PRIORITIZE_CHACHA of ssl.h).
PRIORITIZE_CHACHA: Final = 1 << 21
OPTIONS: Final = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE | PRIORITIZE_CHACHA
PARTIAL_WRITE: Final = 1
"""SSL_MODE_ENABLE_PARTIAL_WRITE of ssl.h."""
NO_AUTO_CHAIN: Final = 8
"""SSL_MODE_NO_AUTO_CHAIN of ssl.h."""
VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
TICKET_LIFE: Final = 12 * 3600
"""Seconds that a session may be resumed: its forward secrecy waits for the ticket key to be thrown away."""


def _refine(context: SSL.Context) -> None:
    """Narrow groups and signatures; an OpenSSL or pyOpenSSL that offers no way to keeps its own good defaults."""
    lib: Any = getattr(SSL, "_lib", None)
    raw: Any = getattr(context, "_context", None)
    if lib is None or raw is None:
        return
    if set_groups := getattr(lib, "SSL_CTX_set1_curves_list", None):
        any(set_groups(raw, groups) == 1 for groups in GROUPS)
    if set_signatures := getattr(lib, "SSL_CTX_set1_sigalgs_list", None):
        set_signatures(raw, SIGNATURES)
    if clear := getattr(lib, "ERR_clear_error", None):
        clear()  # an unknown name in a list must not surface as the error of the next connection


def _alpn(protocols: Sequence[bytes]) -> Any:
    def select(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
        for protocol in protocols:
            if protocol in offered:
                return protocol
        # Raising is how pyOpenSSL sends the alert no_application_protocol (RFC 7301, section 3.2).
        raise SSL.Error([("SSL routines", "", "no application protocol")])

    return select


def server_context(
    shown: Identity, protocols: Sequence[bytes] = PROTOCOLS, minimum: str = "1.2", sessions: bytes = b"aigate"
) -> SSL.Context:
    """A context for servers that shows `shown`; `minimum` is "1.2" or "1.3". Raises TLSError where OpenSSL refuses it.

    Sessions are resumed by tickets alone: no cache to fill. The ticket keys belong to the context in which a
    connection begins, so that a new context retires the old keys.
    """
    if not protocols:
        raise ValueError("an empty list of protocols would fail every client that offers ALPN")
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(VERSIONS[minimum])
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(OPTIONS)
    # What is shown is what was given; OpenSSL would look for more of a chain in each handshake.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS | NO_AUTO_CHAIN)
    # Into memory OpenSSL can always write everything; one call for many records costs less than one for each.
    context.clear_mode(PARTIAL_WRITE)
    context.set_cipher_list(TLS12_SUITES)
    context.set_tls13_ciphersuites(TLS13_SUITES)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(sessions)
    context.set_timeout(TICKET_LIFE)
    context.set_alpn_select_callback(_alpn(tuple(protocols)))
    _refine(context)
    try:
        context.use_certificate(shown.chain[0])
        context.use_privatekey(shown.key)
        for above in shown.chain[1:]:
            context.add_extra_chain_cert(above)
        context.check_privatekey()
    except SSL.Error as error:
        raise TLSError(f"{shown.source}: OpenSSL refuses this certificate: {_reason(error)}") from error
    return context


def _reason(error: SSL.Error) -> str:
    with contextlib.suppress(IndexError, TypeError):
        return str(error.args[0][0][2])
    return "no reason given"


@frozen
class Shown:
    """Which identity each server name gets: exact names first, then wildcards of one label, then the default."""

    default: Identity
    by_name: Mapping[str, Identity]

    def pick(self, server_name: bytes | None) -> Identity:
        """The Identity for the name of a client's SNI, as bytes or None."""
        if not server_name:
            return self.default
        name = server_name.decode("ascii", "replace").lower().rstrip(".")
        if found := self.by_name.get(name):
            return found
        return self.by_name.get(wildcard(name), self.default)


def shown(default: Identity, named: Iterable[tuple[str, Identity]] = (), now: float = 0.0) -> Shown:
    """The table of (name, Identity) pairs: of two identities for one name what is valid `now` (Unix seconds) is taken, then
    what lives longer. A wildcard's that is valid takes the place of a name's own that is not."""
    table: dict[str, Identity] = {}
    for name, each in named:
        held = table.get(name)
        if held is None or (each.valid(now), each.not_after) > (held.valid(now), held.not_after):
            table[name] = each
    for name, each in table.items():
        wild = table.get(wildcard(name))
        if wild is not None and wild.valid(now) and not each.valid(now):
            table[name] = wild
    return Shown(default, table)


def wildcard(name: str) -> str:
    """The wildcard that stands for the DNS `name`: of its first label only."""
    return f"*.{name.partition('.')[2]}"


@implementer(IOpenSSLServerConnectionCreator)
@define(eq=False)
class Contexts:
    """The contexts of one listener or of several; a connection keeps those with which it began.

    Every connection begins in the default context and moves to another by server name, so that the tickets of all
    names have one key: the client alone knows for which certificate it keeps a session (RFC 8446, section 4.6.1), and
    nothing here depends on which of the gate's names a session is for. Verifying clients per name would change that.
    """

    _protocols: Sequence[bytes]
    _minimum: str
    _shown: Shown = field(alias="shown")
    _default: SSL.Context = field(init=False)
    _others: dict[int, SSL.Context] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.replace(self._shown)

    @property
    def shown(self) -> Shown:
        """What is shown at present."""
        return self._shown

    def replace(self, table: Shown) -> None:
        """Show `table` to connections that begin from now on. Raises TLSError and changes nothing where OpenSSL refuses."""
        apart = [each for each in table.by_name.values() if each is not table.default]
        others = {id(each): self._context(each) for each in apart}
        self._default = self._begin(table, others)
        self._shown, self._others = table, others

    def rotate(self) -> None:
        """Throw the ticket keys away: sessions begun before are not resumed, connections in hand go on."""
        self._default = self._begin(self._shown, self._others)

    def _begin(self, table: Shown, others: Mapping[int, SSL.Context]) -> SSL.Context:
        """The context in which connections begin; it asks for the name where that makes a difference."""
        default = self._context(table.default)
        if others:
            default.set_tlsext_servername_callback(_switch(table, others))
        return default

    def server_connection(self, tls_protocol: object) -> SSL.Connection:
        """A new OpenSSL connection for one accepted client."""
        return SSL.Connection(self._default, None)

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """See IOpenSSLServerConnectionCreator."""
        return self.server_connection(tlsProtocol)

    def _context(self, each: Identity) -> SSL.Context:
        return server_context(each, self._protocols, self._minimum)


def _switch(table: Shown, others: Mapping[int, SSL.Context]) -> Any:
    def switch(connection: SSL.Connection) -> None:
        other = others.get(id(table.pick(connection.get_servername())))
        if other is not None:
            connection.set_context(other)

    return switch


def contexts(table: Shown, protocols: Sequence[bytes] = PROTOCOLS, minimum: str = "1.2") -> Contexts:
    """Contexts that show `table`, offer `protocols` in the server's order and speak TLS from `minimum` on."""
    return Contexts(tuple(protocols), minimum, table)

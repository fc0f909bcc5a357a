"""Certificates made on the spot, and a TLS client in memory."""

import contextlib
import datetime
import ssl
from ipaddress import ip_address

from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from edge.tls.identity import Identity, identity

NOW = 1_800_000_000.0


def make_pair(
    *names: str,
    days: float = 30,
    start: float | None = None,
    bits: int = 0,
    curve: type[ec.EllipticCurve] = ec.SECP256R1,
) -> tuple[bytes, bytes]:
    """PEM of a self-signed certificate for `names` and of its key: ECDSA on `curve`, or RSA of `bits`."""
    key = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(curve())
    begin = datetime.datetime.fromtimestamp(start, datetime.UTC) if start else datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - datetime.timedelta(hours=1))
        .not_valid_after(begin + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    return (
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def make_identity(*names: str, **how: float) -> Identity:
    chain, key = make_pair(*names, **how)
    return identity(names[0], chain, key, f"{names[0]}.pem")


@define
class Client:
    """One OpenSSL client context: `connect` shakes hands in memory with a server connection and keeps both alive."""

    version: int = SSL.TLS1_3_VERSION
    protocols: tuple[bytes, ...] = ()
    groups: bytes = b""
    context: SSL.Context = field(init=False)
    kept: list[tuple[SSL.Connection, SSL.Connection]] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self.context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self.context.set_min_proto_version(self.version)
        self.context.set_max_proto_version(self.version)
        self.context.set_cipher_list(b"ALL:@SECLEVEL=0")

    def connect(
        self, server: SSL.Connection, name: bytes | None = None, session: SSL.Session | None = None
    ) -> SSL.Connection:
        client = SSL.Connection(self.context, None)
        client.set_connect_state()
        server.set_accept_state()
        if name:
            client.set_tlsext_host_name(name)
        if self.protocols:
            client.set_alpn_protos(list(self.protocols))
        if session is not None:
            client.set_session(session)
        shake(client, server)
        self.kept.append((client, server))
        return client


def shake(client: SSL.Connection, server: SSL.Connection) -> None:
    """Shake hands to the end and deliver the tickets. Raises the client's SSL.Error, or else the server's."""
    problems: dict[str, SSL.Error] = {}
    for _ in range(8):
        for who, one, other in (("client", client, server), ("server", server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                problems.setdefault(who, error)
            move(one, other)
    for who in ("client", "server"):
        if who in problems:
            raise problems[who]
    with_no_data(client)


def move(one: SSL.Connection, other: SSL.Connection) -> None:
    with contextlib.suppress(SSL.WantReadError):
        other.bio_write(one.bio_read(1 << 20))


def with_no_data(connection: SSL.Connection) -> None:
    """Let a client read what comes after the handshake, such as tickets."""
    with contextlib.suppress(SSL.WantReadError):
        connection.recv(1)


def reused(connection: SSL.Connection) -> bool:
    return bool(SSL._lib.SSL_session_reused(connection._ssl))


def common_name(connection: SSL.Connection) -> str:
    certificate = connection.get_peer_certificate(as_cryptography=True)
    assert certificate is not None
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def python_client(root: bytes) -> ssl.SSLContext:
    """A context of Python's ssl that trusts one root only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=root.decode())
    return context

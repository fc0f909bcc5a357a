"""An identity: a certificate chain with its private key, checked to belong together."""

from typing import Final

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from edge.errors import TLSError

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
KEY_TYPES: Final = (
    ec.EllipticCurvePrivateKey,
    rsa.RSAPrivateKey,
    ed25519.Ed25519PrivateKey,
    ed448.Ed448PrivateKey,
)
CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
"""What TLS 1.3 signs with (RFC 8446, section 4.2.3); clients offer no other."""
LARGEST_FILE: Final = 256 * 1024
"""Bytes of PEM that are read from one file; a long chain with its key has about 20 KiB."""


@frozen
class Identity:
    """What the gate shows to a client: `chain` (leaf first) and its `key`; `label` names it in messages."""

    label: str
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)
    source: str
    """Where it is from: "local" for our own CA, else the file."""
    names: tuple[str, ...]
    """DNS names that it is valid for, lower case, with `*.` for wildcards."""
    not_before: float
    not_after: float
    """Unix seconds of its first and its last moment."""

    def valid(self, now: float) -> bool:
        """Whether `now` (Unix seconds) lies within its life."""
        return self.not_before <= now <= self.not_after


def identity(label: str, chain_pem: bytes, key_pem: bytes, source: str) -> Identity:
    """The Identity of PEM texts: the chain (leaf first) and an unencrypted key, which may be the same text.

    Raises TLSError with what is wrong, and never with a part of the key.
    """
    try:
        chain = tuple(x509.load_pem_x509_certificates(chain_pem))
    except ValueError as error:
        # What follows is a link to the library's own questions and answers.
        why = str(error).partition(". See http")[0]
        raise TLSError(f"{source}: no certificate in PEM form can be read here ({why})") from error
    try:
        key = load_pem_private_key(key_pem, password=None)
    except TypeError as error:
        raise TLSError(
            f"{source}: the private key has a passphrase, which nobody can type; store it without"
        ) from error
    except (ValueError, UnsupportedAlgorithm):
        raise TLSError(f"{source}: no private key in PEM form can be read here") from None
    if not isinstance(key, KEY_TYPES):
        raise TLSError(f"{source}: a private key of this type serves no TLS; use ECDSA P-256 or RSA")
    if isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, CURVES):
        raise TLSError(f"{source}: a private key on the curve {key.curve.name} serves no TLS; use ECDSA P-256 or RSA")
    leaf = chain[0]
    if _spki(leaf.public_key()) != _spki(key.public_key()):
        raise TLSError(f"{source}: the private key does not belong to the first certificate")
    return Identity(
        label,
        chain,
        key,
        source,
        _dns_names(leaf) or (label.lower(),),
        leaf.not_valid_before_utc.timestamp(),
        leaf.not_valid_after_utc.timestamp(),
    )


def _spki(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def _dns_names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))

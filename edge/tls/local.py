"""The certificate that the local CA signs for this host: kept while it fits, made anew when it does not."""

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from edge.core.expiry import Leaf, Life, why_renew
from edge.errors import TLSError
from edge.files import make_folder, write_atomically
from edge.tls.authority import LocalAuthority
from edge.tls.host import Address
from edge.tls.identity import LARGEST_FILE, Identity, identity

LABEL = "local"


def local_identity(
    authority: LocalAuthority, file: Path, names: Sequence[str], addresses: Sequence[Address], now: float
) -> tuple[Identity, str]:
    """The Identity for this host's `names` and `addresses` out of `file`, and why it was made anew, "" where it was not.

    Names and addresses that the CA may not sign are left out. Raises TLSError where none is left or it cannot be written.
    """
    may_name = frozenset(name for name in names if authority.may_name(name))
    may_sign = frozenset(str(address) for address in addresses if authority.may_sign(address))
    held = _held(file)
    leaf = leaf_of(held) if held is not None else None
    why = why_renew(leaf, may_name, may_sign, authority.key_id, authority.life, now)
    if not why and held is not None:
        return held, ""
    text = authority.leaf(names, addresses, now)
    fresh = identity(LABEL, text, text, str(file))
    try:
        write_atomically(make_folder(file.parent) / file.name, text)
    except OSError as error:
        raise TLSError(f"{file}: the certificate cannot be written: {error.strerror}") from error
    return fresh, why


def leaf_of(held: Identity) -> Leaf:
    """What the first certificate of `held` says of itself."""
    extensions = held.chain[0].extensions
    alternatives = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    issuer = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    return Leaf(
        Life(held.not_before, held.not_after),
        frozenset(alternatives.get_values_for_type(x509.DNSName)),
        frozenset(map(str, alternatives.get_values_for_type(x509.IPAddress))),
        issuer or b"",
    )


def _held(file: Path) -> Identity | None:
    """What `file` holds; a leaf that cannot be read is no loss, since the CA makes another."""
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST_FILE)
        held = identity(LABEL, text, text, str(file))
        leaf_of(held)
    except (OSError, TLSError, ValueError, x509.ExtensionNotFound):
        return None
    return held

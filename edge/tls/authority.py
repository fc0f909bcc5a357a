"""The local CA: made once for this host, trusted by hand on each device, and never remade by itself."""

import datetime
import shutil
import stat
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.core.expiry import BACKDATE, DAY, Life, leaf_life
from edge.core.toplevel import TOP_LEVEL
from edge.errors import TLSError
from edge.files import keep_owner, make_folder, sync_folder, write_atomically
from edge.tls.host import Address
from edge.tls.identity import LARGEST_FILE, Identity, identity

CA_DAYS: Final = 3653
EARLIEST: Final = 1_735_689_600.0
"""2025-01-01: a clock that shows less was never set, as on a board without a battery."""
PRIVATE_DOMAINS: Final = ("localhost", "local", "lan", "home", "home.arpa", "internal", "fritz.box")
PRIVATE_NETWORKS: Final[tuple[IPv4Network | IPv6Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10",
        "::1/128", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip


@frozen
class LocalAuthority:
    """The CA of one data folder. What it may sign is written into it, so that a stolen key opens no other site."""

    root: Identity
    domains: tuple[str, ...]
    networks: tuple[IPv4Network | IPv6Network, ...]

    @property
    def pem(self) -> bytes:
        """The CA's certificate, the file that devices are to trust."""
        return self.root.chain[0].public_bytes(Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the CA's certificate, as devices show it: `AB:CD:…`."""
        return fingerprint(self.root.chain[0])

    @property
    def key_id(self) -> bytes:
        """Its subject key id, which every leaf names as its issuer's."""
        return x509.SubjectKeyIdentifier.from_public_key(self.root.chain[0].public_key()).digest

    @property
    def life(self) -> Life:
        """From its making to its end."""
        return Life(self.root.not_before, self.root.not_after)

    def may_name(self, name: str) -> bool:
        """Whether it may sign the host name (lower case, `*.` allowed)."""
        plain = name.removeprefix("*.")
        return any(plain == domain or plain.endswith(f".{domain}") for domain in self.domains)

    def may_sign(self, address: Address) -> bool:
        """Whether it may sign the address."""
        return any(address.version == network.version and address in network for network in self.networks)

    def leaf(self, names: Iterable[str], addresses: Iterable[Address], now: float) -> bytes:
        """PEM of a new leaf and its key, valid from `now` (Unix seconds) for what is permitted of names and addresses.

        Raises TLSError when nothing is left to sign, or when the CA's life is over.
        """
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names if self.may_name(name)]
        alternatives += [x509.IPAddress(address) for address in addresses if self.may_sign(address)]
        if not alternatives:
            raise TLSError("the local CA may sign none of this host's names")
        root = self.root.chain[0]
        try:
            life = leaf_life(now, self.life)
        except ValueError as error:
            raise TLSError(f"{self.root.source}: {error}; a new one must be made and trusted") from error
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _certificate(f"aigate {_title(alternatives)}"[:64], life, key.public_key())
            .issuer_name(root.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier(self.key_id, None, None), critical=False)
        )
        certificate = builder.sign(self.root.key, hashes.SHA256())
        return certificate.public_bytes(Encoding.PEM) + _key_pem(key)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate in the form `AB:CD:…`."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def open_authority(
    folder: Path, leaf: Path, names: Sequence[str], addresses: Sequence[Address], now: float
) -> LocalAuthority:
    """The CA in `folder` (`DATA/ca`), made for this host's `names` and `addresses` where there has never been one.

    A `leaf` (`DATA/tls/local.pem`) tells that there was one. Raises TLSError where a part of it is missing, damaged, or
    open to others: devices trust it, so only a person replaces it.
    """
    if not any(path.exists() for path in (folder / "root.pem", folder / "root.key", leaf)):
        _make(folder, names, addresses, now)
    return load_authority(folder)


def load_authority(folder: Path) -> LocalAuthority:
    """The CA that lies in `folder`. Raises TLSError with what is wrong and what to do."""
    certificate, key = folder / "root.pem", folder / "root.key"
    try:
        mode = key.stat().st_mode
        certificate_pem, key_pem = _read(certificate), _read(key)
    except OSError as error:
        raise TLSError(f"{error.filename}: the local CA cannot be read ({error.strerror}); {_cure(folder)}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise TLSError(f"{key}: others on this machine may read the CA's key; run: chmod 600 {key}")
    try:
        root = identity("local CA", certificate_pem, key_pem, str(certificate))
    except TLSError as error:
        raise TLSError(f"{error}; {_cure(folder)}") from error
    try:
        constraints = root.chain[0].extensions.get_extension_for_class(x509.NameConstraints).value
        is_ca = root.chain[0].extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError) as error:
        raise TLSError(f"{certificate}: this is no CA made by this gate: {error}") from error
    if not is_ca:
        raise TLSError(f"{certificate}: this is no CA's certificate")
    permitted = constraints.permitted_subtrees or []
    return LocalAuthority(
        root,
        tuple(each.value for each in permitted if isinstance(each, x509.DNSName)),
        tuple(
            each.value
            for each in permitted
            if isinstance(each, x509.IPAddress) and isinstance(each.value, IPv4Network | IPv6Network)
        ),
    )


def _cure(folder: Path) -> str:
    leaf = folder.parent / "tls" / "local.pem"
    return f"restore {folder} from a backup, or move {folder} and {leaf} away to have a new CA, which every device must trust anew"


def renew_authority(folder: Path, names: Sequence[str], addresses: Sequence[Address], now: float) -> LocalAuthority:
    """Make a new CA on request; the old one is kept beside it as `ca-until-<Unix seconds>`. Every device must trust it anew."""
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}-until-{int(now)}"))
    _make(folder, names, addresses, now)
    return load_authority(folder)


def _make(folder: Path, names: Sequence[str], addresses: Sequence[Address], now: float) -> None:
    """Make the pair in a folder of its own and rename that, so that there is never half a CA."""
    if now < EARLIEST:
        raise TLSError(
            "this machine's clock is years behind; a CA made now would have ended: set the clock (timedatectl)"
        )
    domains = _domains(names)
    networks = [*PRIVATE_NETWORKS]
    networks += [ip_network(each) for each in addresses if not any(_within(each, one) for one in PRIVATE_NETWORKS)]
    host = next((name for name in names if not name.startswith("localhost")), "localhost").partition(".")[0]
    day = datetime.datetime.fromtimestamp(now, datetime.UTC).date().isoformat()
    key = ec.generate_private_key(ec.SECP256R1())
    life = Life(now - BACKDATE, now + CA_DAYS * DAY)
    subject = _certificate(f"aigate CA of {host[:30]}, {day}", life, key.public_key())
    permitted: list[x509.GeneralName] = [x509.DNSName(domain) for domain in domains]
    permitted += [x509.IPAddress(network) for network in networks]
    builder = (
        subject.issuer_name(_name(f"aigate CA of {host[:30]}, {day}"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    fresh: Path | None = None
    try:
        fresh = Path(mkdtemp(prefix=f".{folder.name}.", suffix=".new", dir=make_folder(folder.parent)))
        write_atomically(fresh / "root.key", _key_pem(key), 0o600)
        write_atomically(fresh / "root.pem", certificate.public_bytes(Encoding.PEM), 0o644)
        for path in (fresh, fresh / "root.key", fresh / "root.pem"):
            keep_owner(path)
        fresh.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)
        raise TLSError(f"{folder}: the local CA cannot be written here: {error.strerror}") from error


def _domains(names: Sequence[str]) -> list[str]:
    """The domains that a CA for `names` may sign.

    A constraint permits all that lies below it (RFC 5280, section 4.2.1.10): a host called `dev` would open the world's
    `.dev`, so that a bare name that is a top-level domain is left out. Excluding `.dev` beside `dev` is no way, since
    some verifiers reject a CA whose constraint begins with a dot.
    """
    own = sorted({name.removeprefix("*.") for name in names} - TOP_LEVEL)
    return [*PRIVATE_DOMAINS, *(name for name in own if not _is_private(name))]


def _certificate(common: str, life: Life, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.fromtimestamp(int(life.begin), datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(int(life.end), datetime.UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "aigate"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _title(alternatives: Sequence[x509.GeneralName]) -> str:
    texts = [str(each.value) for each in alternatives]
    return next((text for text in texts if text != "localhost"), texts[0])


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _is_private(name: str) -> bool:
    return any(name == domain or name.endswith(f".{domain}") for domain in PRIVATE_DOMAINS)


def _within(address: Address, network: IPv4Network | IPv6Network) -> bool:
    return address.version == network.version and address in network


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_FILE)

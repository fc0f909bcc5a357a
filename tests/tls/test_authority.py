"""The local CA: made once, closed to others, and good for this house only."""

import stat
import subprocess
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from edge.errors import TLSError
from edge.tls.authority import LocalAuthority, load_authority, open_authority, renew_authority
from edge.tls.identity import identity
from tests.tls.helpers import NOW, make_pair

NAMES = ("server", "server.local", "box.fritz.box", "gate.example.org", "localhost")
ADDRESSES = tuple(map(ip_address, ("127.0.0.1", "192.168.1.2", "fd00::2", "203.0.113.9")))


def opened(folder: Path) -> LocalAuthority:
    return open_authority(folder / "ca", folder / "tls" / "local.pem", NAMES, ADDRESSES, NOW)


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> x509.Extension:
    return certificate.extensions.get_extension_for_class(kind)


def test_the_ca_is_what_devices_ask_for(tmp_path: Path) -> None:
    root = opened(tmp_path).root.chain[0]
    constraints = extension(root, x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert extension(root, x509.NameConstraints).critical
    usage = extension(root, x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert isinstance(root.public_key(), ec.EllipticCurvePublicKey)
    assert 3652 <= (root.not_valid_after_utc - root.not_valid_before_utc).days <= 3654
    assert root.subject.rfc4514_string() == "CN=aigate CA of server\\, 2027-01-15,O=aigate"
    assert extension(root, x509.SubjectKeyIdentifier).value.digest == opened(tmp_path).key_id


def test_key_and_folder_are_closed_to_others(tmp_path: Path) -> None:
    opened(tmp_path)
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "ca" / "root.key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca"]


def test_it_is_made_once(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    assert first.fingerprint == second.fingerprint
    assert first.pem == (tmp_path / "ca" / "root.pem").read_bytes()
    assert first.fingerprint.count(":") == 31


@pytest.mark.parametrize("part", ["root.pem", "root.key"])
@pytest.mark.parametrize("damage", ["missing", "empty", "torn", "directory"])
def test_a_damaged_ca_is_said_and_never_replaced(tmp_path: Path, part: str, damage: str) -> None:
    opened(tmp_path)
    file = tmp_path / "ca" / part
    text = file.read_bytes()
    file.unlink()
    if damage == "directory":
        file.mkdir()
    elif damage != "missing":
        file.write_bytes(b"" if damage == "empty" else text[:100])
        file.chmod(0o600)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TLSError, match=r"restore .*/ca from a backup") as caught:
        opened(tmp_path)
    assert "PRIVATE" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_lost_ca_is_not_replaced_while_its_leaf_is_there(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "local.pem").write_text("a leaf")
    with pytest.raises(TLSError, match=r"root.*restore"):
        opened(tmp_path)
    assert not (tmp_path / "ca").exists()


def test_a_key_of_another_ca_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "ca" / "root.key").write_bytes(make_pair("other")[1])
    with pytest.raises(TLSError, match="does not belong"):
        opened(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    opened(tmp_path)
    (tmp_path / "ca" / "root.key").chmod(mode)
    with pytest.raises(TLSError, match="chmod 600"):
        opened(tmp_path)


def test_a_certificate_that_is_no_ca_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    chain, key = make_pair("plain.lan")
    (tmp_path / "ca" / "root.pem").write_bytes(chain)
    (tmp_path / "ca" / "root.key").write_bytes(key)
    (tmp_path / "ca" / "root.key").chmod(0o600)
    with pytest.raises(TLSError, match="no CA made by this gate"):
        load_authority(tmp_path / "ca")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("a file where the folder should be")
    with pytest.raises(TLSError, match="ca"):
        opened(tmp_path)


def test_a_data_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(TLSError, match="cannot be written"):
        opened(tmp_path / "data" / "deep")


def test_a_clock_that_was_never_set_makes_no_ca(tmp_path: Path) -> None:
    with pytest.raises(TLSError, match="clock"):
        open_authority(tmp_path / "ca", tmp_path / "leaf", NAMES, ADDRESSES, 100.0)
    assert list(tmp_path.iterdir()) == []


def test_renewal_on_request_keeps_the_old_one_aside(tmp_path: Path) -> None:
    old = opened(tmp_path)
    new = renew_authority(tmp_path / "ca", NAMES, ADDRESSES, NOW)
    assert new.fingerprint != old.fingerprint
    assert load_authority(tmp_path / f"ca-until-{int(NOW)}").fingerprint == old.fingerprint


def test_it_may_sign_private_names_and_its_own(tmp_path: Path) -> None:
    authority = opened(tmp_path)
    for name in ("server", "x.local", "a.b.home.arpa", "box.fritz.box", "gate.example.org", "*.lan", "localhost"):
        assert authority.may_name(name), name
    for name in (
        "example.org",
        "other.example.org",
        "notlocal",
        "xfritz.box",
        "local.evil.com",
    ):
        assert not authority.may_name(name), name
    for address in ("10.9.9.9", "100.64.1.1", "fd12::1", "fe80::1", "203.0.113.9", "::1"):
        assert authority.may_sign(ip_address(address)), address
    for address in ("8.8.8.8", "203.0.113.10", "2001:db8::1", "::ffff:10.0.0.1"):
        assert not authority.may_sign(ip_address(address)), address


@pytest.mark.parametrize("name", ["box", "dev", "ai", "cloud", "*.app"])
def test_a_host_named_like_a_top_level_domain_opens_nothing_of_it(tmp_path: Path, name: str) -> None:
    authority = open_authority(tmp_path / "ca", tmp_path / "leaf", (name, "box.fritz.box"), (), NOW)
    assert not authority.may_name(name)
    assert not authority.may_name(f"bank.{name.removeprefix('*.')}")
    assert authority.may_name("box.fritz.box")


def test_a_leaf_is_what_apple_and_android_ask_for(tmp_path: Path) -> None:
    authority = opened(tmp_path)
    text = authority.leaf((*NAMES, "evil.example.com"), (*ADDRESSES, ip_address("8.8.8.8")), NOW)
    made = identity("local", text, text, "local.pem")
    leaf = made.chain[0]
    assert extension(leaf, x509.AuthorityKeyIdentifier).value.key_identifier == authority.key_id
    assert extension(leaf, x509.SubjectKeyIdentifier)
    assert not extension(leaf, x509.BasicConstraints).value.ca
    assert [each.dotted_string for each in extension(leaf, x509.ExtendedKeyUsage).value] == ["1.3.6.1.5.5.7.3.1"]
    names = extension(leaf, x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == list(NAMES)
    assert names.get_values_for_type(x509.IPAddress) == list(ADDRESSES)
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days <= 365
    assert isinstance(made.key, ec.EllipticCurvePrivateKey)
    assert made.key.curve.name == "secp256r1"


def test_a_leaf_never_outlives_its_ca(tmp_path: Path) -> None:
    authority = opened(tmp_path)
    text = authority.leaf(NAMES, ADDRESSES, authority.root.not_after - 86400)
    assert identity("local", text, text, "").not_after == authority.root.not_after
    with pytest.raises(TLSError, match="ended"):
        authority.leaf(NAMES, ADDRESSES, authority.root.not_after)


def verify(folder: Path, authority: LocalAuthority, leaf: bytes, *how: str) -> subprocess.CompletedProcess[str]:
    (folder / "leaf.pem").write_bytes(leaf)
    return subprocess.run(
        ["openssl", "verify", "-attime", str(int(NOW + 60)), "-x509_strict", "-purpose", "sslserver"]
        + ["-CAfile", str(folder / "ca" / "root.pem"), *how, str(folder / "leaf.pem")],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize(
    "how",
    [("-verify_hostname", name) for name in NAMES] + [("-verify_ip", str(address)) for address in ADDRESSES],
)
def test_openssl_takes_the_leaf_for_every_name_and_address(tmp_path: Path, how: tuple[str, str]) -> None:
    authority = opened(tmp_path)
    done = verify(tmp_path, authority, authority.leaf(NAMES, ADDRESSES, NOW), *how)
    assert done.returncode == 0, done.stderr


def test_a_second_verifier_takes_the_leaf_too(tmp_path: Path) -> None:
    authority = opened(tmp_path)
    leaf = x509.load_pem_x509_certificate(authority.leaf(NAMES, ADDRESSES, NOW))
    policy = PolicyBuilder().store(Store([authority.root.chain[0]])).time(datetime.fromtimestamp(NOW + 60, UTC))
    for subject in (*map(x509.DNSName, NAMES), *map(x509.IPAddress, ADDRESSES)):
        assert len(policy.build_server_verifier(subject).verify(leaf, [])) == 2


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("www.example.com", "10.0.0.1"),
        ("fine.lan", "8.8.8.8"),
        ("fine.lan", "2001:4860::8888"),
    ],
)
def test_a_stolen_ca_key_makes_no_certificate_for_the_world(tmp_path: Path, name: str, address: str) -> None:
    authority = opened(tmp_path)
    thief = LocalAuthority(authority.root, ("com", "lan"), tuple(map(ip_network, ("0.0.0.0/0", "::/0"))))
    done = verify(tmp_path, authority, thief.leaf((name,), (ip_address(address),), NOW))
    assert done.returncode != 0
    assert "subtree violation" in done.stderr

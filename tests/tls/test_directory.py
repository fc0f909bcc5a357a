"""Certificates from files: forms, reload, and what is said of the broken ones."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.logger import capturedLogs, formatEvent

from edge.tls.directory import Directory, find
from tests.tls.helpers import NOW, make_pair


@pytest.fixture
def said():
    with capturedLogs() as captured:
        yield lambda: [formatEvent(event) for event in captured]


def put(path: Path, *texts: bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(texts))
    path.chmod(mode)
    return path


def pair(*names: str, days: float = 30, **how: object) -> tuple[bytes, bytes]:
    return make_pair(*names, days=days, start=NOW, **how)  # type: ignore[arg-type]


def test_all_three_forms_are_read(tmp_path: Path) -> None:
    put(tmp_path / "one.pem", *pair("one.example.org"))
    chain, key = pair("two.example.org", "*.two.example.org")
    put(tmp_path / "two.crt", chain, mode=0o644)
    put(tmp_path / "two.key", key)
    chain, key = pair("three.example.org")
    put(tmp_path / "three" / "fullchain.pem", chain, mode=0o644)
    put(tmp_path / "three" / "privkey.pem", key)
    put(tmp_path / "README", b"words")
    directory = Directory(tmp_path)
    assert directory.refresh(NOW)
    assert {each.label: each.names for each in directory.identities} == {
        "one": ("one.example.org",),
        "two": ("two.example.org", "*.two.example.org"),
        "three": ("three.example.org",),
    }


def test_certbots_links_are_followed_and_their_renewal_is_seen(tmp_path: Path) -> None:
    live, archive = tmp_path / "live" / "box.example.org", tmp_path / "archive"
    live.mkdir(parents=True)
    for turn in (1, 2):
        chain, key = pair("box.example.org", days=30 * turn)
        for name, text in (("fullchain", chain), ("privkey", key)):
            file = put(archive / f"{name}{turn}.pem", text)
            link = live / f"{name}.pem"
            link.unlink(missing_ok=True)
            link.symlink_to(file)
        if turn == 1:
            directory = Directory(tmp_path / "live")
            directory.refresh(NOW)
            first = directory.identities[0]
    assert directory.refresh(NOW)
    assert directory.identities[0].not_after > first.not_after


def test_an_unchanged_folder_is_not_read_again(tmp_path: Path, said) -> None:
    file = put(tmp_path / "one.pem", *pair("one.example.org"))
    directory = Directory(tmp_path)
    directory.refresh(NOW)
    held = directory.identities
    assert not directory.refresh(NOW)
    os.utime(file)
    assert not directory.refresh(NOW)
    assert directory.identities[0] is held[0]
    assert len(said()) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate"),
        (pair("x")[0], "no private key"),
        (pair("x")[0] + pair("y")[1], "does not belong"),
        (b"".join(pair("weak.example.org", bits=1024)), "too small"),
        (b"".join(pair("k1.example.org", curve=ec.SECP256K1)), "the curve secp256k1 serves no TLS"),
        (b"".join(pair("p224.example.org", curve=ec.SECP224R1)), "the curve secp224r1 serves no TLS"),
        (b"".join(pair("bp.example.org", curve=ec.BrainpoolP256R1)), "the curve brainpoolP256r1 serves no TLS"),
    ],
)
def test_a_broken_file_keeps_the_old_one_and_is_said_once(tmp_path: Path, said, text: bytes, why: str) -> None:
    good = b"".join(pair("one.example.org"))
    file = put(tmp_path / "one.pem", good)
    directory = Directory(tmp_path)
    directory.refresh(NOW)
    held = directory.identities
    put(file, text)
    for _ in range(3):
        assert not directory.refresh(NOW)
        os.utime(file)
    assert directory.identities == held
    lines = [line for line in said() if "stays in use" in line]
    assert len(lines) == 1
    assert str(file) in lines[0]
    assert why in lines[0]
    put(file, good)
    assert not directory.refresh(NOW)
    put(file, *pair("one.example.org", days=60))
    assert directory.refresh(NOW)
    put(file, text)
    directory.refresh(NOW)
    directory.refresh(NOW)
    assert len([line for line in said() if "stays in use" in line]) == 2


def test_half_of_a_change_is_not_even_said(tmp_path: Path, said) -> None:
    old, new = pair("one.example.org"), pair("one.example.org", days=60)
    put(tmp_path / "one.crt", old[0])
    put(tmp_path / "one.key", old[1])
    directory = Directory(tmp_path)
    directory.refresh(NOW)
    put(tmp_path / "one.key", new[1])
    assert not directory.refresh(NOW)
    put(tmp_path / "one.crt", new[0])
    assert directory.refresh(NOW)
    assert len(said()) == 2


def test_a_key_with_a_passphrase_is_refused_without_asking(tmp_path: Path, said) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )  # fmt: skip

    chain, key = pair("one.example.org")
    locked = load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    put(tmp_path / "one.pem", chain, locked)
    directory = Directory(tmp_path)
    directory.refresh(NOW)
    assert directory.identities == ()
    assert "passphrase" in said()[0]


def test_a_broken_file_does_not_hide_the_others(tmp_path: Path, said) -> None:
    put(tmp_path / "a.pem", b"rubbish")
    put(tmp_path / "b.crt", pair("b.example.org")[0])
    put(tmp_path / "c.pem", *pair("c.example.org"))
    directory = Directory(tmp_path)
    directory.refresh(NOW)
    assert [each.label for each in directory.identities] == ["c"]
    assert any("b.key" in line for line in said())


def test_a_certificate_that_went_away_is_shown_no_more(tmp_path: Path, said) -> None:
    file = put(tmp_path / "one.pem", *pair("one.example.org"))
    directory = Directory(tmp_path)
    directory.refresh(NOW)
    file.unlink()
    directory.refresh(NOW)
    assert directory.refresh(NOW)
    assert directory.identities == ()
    assert "gone" in said()[-1]


def test_a_chain_that_is_away_for_one_look_is_not_even_missed(tmp_path: Path, said) -> None:
    chain, key = pair("one.example.org")
    folder = tmp_path / "one"
    put(folder / "fullchain.pem", chain)
    put(folder / "privkey.pem", key)
    directory = Directory(tmp_path)
    directory.refresh(NOW)
    first, lines = directory.identities, said()
    for _ in range(3):
        (folder / "fullchain.pem").unlink()
        assert not directory.refresh(NOW)
        assert directory.identities == first
        put(folder / "fullchain.pem", chain)
        assert not directory.refresh(NOW)
    assert said() == lines


def test_an_ended_certificate_is_shown_with_a_loud_line(tmp_path: Path, said) -> None:
    put(tmp_path / "one.pem", *pair("one.example.org", days=1))
    directory = Directory(tmp_path)
    directory.refresh(NOW + 2 * 86400)
    assert len(directory.identities) == 1
    assert "ENDED" in said()[-1]


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o660, True)])
def test_a_key_that_others_may_read_is_said(tmp_path: Path, said, mode: int, warned: bool) -> None:
    put(tmp_path / "one.pem", *pair("one.example.org"), mode=mode)
    Directory(tmp_path).refresh(NOW)
    assert any("chmod 600" in line for line in said()) is warned


def test_a_missing_folder_is_said_once_and_found_when_it_comes(tmp_path: Path, said) -> None:
    directory = Directory(tmp_path / "certs")
    for _ in range(3):
        assert not directory.refresh(NOW)
    assert len(said()) == 1
    put(tmp_path / "certs" / "one.pem", *pair("one.example.org"))
    assert directory.refresh(NOW)


def test_a_folder_of_very_many_files_is_bounded(tmp_path: Path) -> None:
    for i in range(700):
        (tmp_path / f"{i:03}.pem").touch()
    assert len(list(find(tmp_path))) == 600

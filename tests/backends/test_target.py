"""Addresses of services, as the configuration writes them."""

import pytest

from edge.backends.target import address_of, stock_creator, target_of


@pytest.mark.parametrize(
    ("url", "host", "port", "netloc", "base"),
    [
        ("http://127.0.0.1:11434", "127.0.0.1", 11434, b"127.0.0.1:11434", b""),
        ("http://127.0.0.1:11434/", "127.0.0.1", 11434, b"127.0.0.1:11434", b""),
        ("http://Box.lan", "box.lan", 80, b"box.lan", b""),
        ("http://[::1]:8080", "::1", 8080, b"[::1]:8080", b""),
        ("http://box:80/v1/", "box", 80, b"box:80", b"/v1"),
        ("https://box", "box", 443, b"box", b""),
    ],
)
def test_an_address_says_where_and_which_host(url, host, port, netloc, base):
    target = target_of(url)
    assert (target.host, target.port, target.netloc, target.base) == (host, port, netloc, base)
    assert (target.tls is not None) is url.startswith("https")


def test_a_unix_address_is_a_path():
    target = target_of("unix:/run/ollama.sock")
    assert (target.scheme, target.path, target.netloc) == ("unix", "/run/ollama.sock", b"localhost")
    assert target.name == "unix:/run/ollama.sock"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:80",
        "ftp://box",
        "http://",
        "http://user:secret@box",
        "http://box:0",
        "http://box:65536",
        "http://box:",
        "http://box/?a=b",
        "http://box/#a",
        "http://bo x",
        "http://box\r\n",
        "unix:relative.sock",
        "unix:",
    ],
)
def test_what_is_no_address_is_said(url):
    for judge in (target_of, address_of):
        with pytest.raises(ValueError):
            judge(url)


def test_connections_are_shared_by_what_is_equal_and_not_by_what_trusts_otherwise(tmp_path):
    made = []

    def creator(host, ca_file):
        made.append((host, ca_file))
        return stock_creator(host, None)

    assert target_of("http://box") == target_of("http://box/v1")
    assert hash(target_of("http://box")) == hash(target_of("http://box/v1"))
    one, other = target_of("https://box", None, creator), target_of("https://box", tmp_path, creator)
    assert one != other
    assert made == [("box", None), ("box", tmp_path)]
    assert target_of("http://box") != target_of("http://box:81")


def test_a_ca_file_without_a_certificate_is_said(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ValueError, match="no certificate"):
        target_of("https://box", tmp_path / "ca.pem")

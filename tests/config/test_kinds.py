"""Addresses of listeners and of servers behind the gate."""

import pytest

from edge.config.kinds import Address, Upstream


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (8443, Address("", 8443)),
        ("8443", Address("", 8443)),
        ("0", Address("", 0)),
        ("127.0.0.1:8081", Address("127.0.0.1", 8081)),
        ("[::1]:8081", Address("::1", 8081)),
        ("gate.lan:443", Address("gate.lan", 443)),
        ("unix:/run/a.sock", Address(path="/run/a.sock")),
    ],
)
def test_an_address_is_a_port_a_host_and_port_or_a_socket(text, address):
    assert Address.parse(text) == address
    if address.host or address.path:
        assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":8443",
        "x",
        "x:",
        "x:y",
        "70000",
        "-1",
        "::1:80",
        "[::1]",
        "unix:",
        "unix:a",
        "unix:/a\0b",
        "1.5",
        "٣:٣",
        "1:٣",
    ],
)
def test_other_texts_are_no_addresses(text):
    with pytest.raises(ValueError, match=r"address|absolute path"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "upstream", "netloc"),
    [
        ("http://127.0.0.1:11434", Upstream("http", "127.0.0.1", 11434), "127.0.0.1:11434"),
        ("http://gpu", Upstream("http", "gpu", 80), "gpu"),
        ("https://gpu.lan/", Upstream("https", "gpu.lan", 443), "gpu.lan"),
        ("https://gpu.lan:80", Upstream("https", "gpu.lan", 80), "gpu.lan:80"),
        ("http://[fd00::1]:8080", Upstream("http", "fd00::1", 8080), "[fd00::1]:8080"),
        ("unix:/run/ollama.sock", Upstream("http", "localhost", 80, "/run/ollama.sock"), "localhost"),
    ],
)
def test_an_upstream_is_an_origin_or_a_socket(text, upstream, netloc):
    assert Upstream.parse(text) == upstream
    assert upstream.netloc == netloc
    assert Upstream.parse(str(upstream)) == upstream


@pytest.mark.parametrize(
    "text",
    [
        "", "gpu", "gpu:80", "//gpu", "ftp://gpu", "http://", "http://:80", "http://gpu:", "http://gpu:0", "http://gpu:99999",
        "http://gpu:x", "http://gpu/v1", "http://gpu?", "http://gpu#", "http://gpu?x=1", "http://a@gpu", "http://a:b@gpu",
        "http://gpu\n", "http://g pu", "http://gpu\r\nX: y", "http://[::1", "http://gpü", "unix:", "unix:/", "unix:a", "unix:/a\0b",
    ],
)  # fmt: skip
def test_other_texts_are_no_upstreams(text):
    with pytest.raises(ValueError, match="upstream"):
        Upstream.parse(text)

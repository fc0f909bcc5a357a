import pytest
from twisted.internet.task import Clock

from edge.web.redirect import RedirectSite
from edge.wire.http1 import Http1
from edge.wire.limits import WireLimits
from edge.wire.server import Server
from tests.wire.memory import ORIGIN, NoWatch, Wire


def asked(raw, port=8443):
    server = Server(RedirectSite(port, lambda: "made0001"), Clock(), NoWatch(), WireLimits(), http2=False)
    wire = Wire()
    connection = Http1(server, ORIGIN)
    connection.makeConnection(wire)
    connection.dataReceived(raw)
    head, _, body = wire.value().partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


@pytest.mark.parametrize(
    ("host", "target", "port", "place"),
    [
        ("gate.test", "/a%2Fb?x=[|]", 8443, "https://gate.test:8443/a%2Fb?x=[|]"),
        ("gate.test:8080", "/", 443, "https://gate.test/"),
        ("[2001:db8::1]:80", "/x", 8443, "https://[2001:db8::1]:8443/x"),
        ("gate.test", "//evil.example/", 443, "https://gate.test//evil.example/"),
    ],
)
def test_every_place_is_said_to_be_over_https(host, target, port, place):
    for method in ("GET", "POST", "HEAD"):
        status, fields, _ = asked(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), port)
        assert (status, fields["Location"], fields["X-Request-Id"]) == (308, place, "made0001")


@pytest.mark.parametrize("raw", [b"GET / HTTP/1.0\r\n\r\n", b"GET /../x HTTP/1.1\r\nHost: h\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
                                 b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"])  # fmt: skip
def test_what_has_no_place_is_400_and_leads_nowhere(raw):
    status, fields, body = asked(raw)
    assert status == 400 and "Location" not in fields and fields["X-Request-Id"] == "made0001" and body


def test_a_body_is_not_waited_for():
    status, fields, _ = asked(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n")
    assert status == 308 and fields["Connection"] == "close"

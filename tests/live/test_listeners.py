"""Where the gate listens, what it takes for the client's address, and what happens when it cannot listen."""

import json
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.live.gate import Gate, until
from tests.live.upstream import Upstream

pytestmark = pytest.mark.live


def test_http_redirects_to_https_and_serves_nothing_else(tmp_path: Path) -> None:
    more = '[tls]\nnames = ["extra.lan"]\n'
    gate = Gate(tmp_path, {"chat": {"plugin": "demo"}}, more, environ={"AIGATE_LISTEN__HTTP": "127.0.0.1:0"})
    with gate:
        base = f"http://127.0.0.1:{gate.port('http')}"
        answer = httpx.get(f"{base}/chat/api/v1/models?x=1", headers={"Host": "box.lan:8080", "X-API-Key": gate.key})
        assert answer.status_code == 308
        assert answer.headers["location"] == f"https://box.lan:{gate.port()}/chat/api/v1/models?x=1"


def test_a_unix_socket_serves_the_same_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "gate.sock"
    with Gate(tmp_path, {"chat": {"plugin": "demo"}}, environ={"AIGATE_LISTEN__PLAIN": f"unix:{path}"}) as gate:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://gate/chat/api/v1/models").status_code == 401
            assert client.get("http://gate/chat/api/v1/models", headers={"X-API-Key": gate.key}).status_code == 200
        assert f"unix:{path}" in gate.log()


def test_a_unix_socket_speaks_tls_where_it_is_the_https_listener(tmp_path: Path) -> None:
    path = tmp_path / "tls.sock"
    both = {"AIGATE_LISTEN__HTTPS": f'["unix:{path}", "127.0.0.1:0"]', "AIGATE_LISTEN__HTTP": "127.0.0.1:0"}
    for number, environ in enumerate(({"AIGATE_LISTEN__HTTPS": f"unix:{path}"}, both)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Gate(folder, {"chat": {"plugin": "demo"}}, environ=environ) as gate:
            transport = httpx.HTTPTransport(uds=str(path), verify=gate.context())
            with httpx.Client(transport=transport) as client:
                headers = {"X-API-Key": gate.key}
                assert client.get("https://localhost/chat/api/v1/models", headers=headers).status_code == 200
            assert f"listens on https unix:{path}" in gate.log()
            if environ is both:
                # What is said and redirected to is the listener that has a port.
                assert f"https://localhost:{gate.port()}/chat" in gate.log()
                answer = httpx.get(f"http://127.0.0.1:{gate.port('http')}/x", headers={"Host": "box.lan"})
                assert answer.headers["location"] == f"https://box.lan:{gate.port()}/x"


def test_ipv6_and_ipv4_are_both_served_on_a_bare_port(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Gate(tmp_path, {"chat": {"plugin": "demo"}}, environ={"AIGATE_LISTEN__HTTPS": str(port)}) as gate:
        for host in ("127.0.0.1", "[::1]"):
            assert httpx.get(f"https://{host}:{port}/health", verify=gate.context()).json() == {"status": "ok"}


def test_a_taken_port_is_one_line_and_nothing_is_left_open(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        gate = Gate(tmp_path, {"chat": {"plugin": "demo"}}, environ={"AIGATE_LISTEN__HTTPS": f"127.0.0.1:{port}"})
        done = subprocess.run(
            [sys.executable, "-m", "edge.cli", "run", "--config", str(gate.config), "--data", str(gate.data)],
            env=gate.environ, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line]
    assert 1 <= len(told) <= 2
    assert str(port) in told[0]
    assert "Traceback" not in done.stderr


def test_only_trusted_proxies_are_believed_about_the_client(tmp_path: Path) -> None:
    with Upstream() as upstream:
        services = {"any": {"plugin": "http", "upstreams": [upstream.url]}}
        more = '[proxies]\ntrusted = ["127.0.0.0/8", "10.0.0.0/8"]\n'
        with Gate(tmp_path, services, more) as gate, httpx.Client(verify=gate.context()) as client:
            headers = {"X-API-Key": gate.key, "X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.1.2.3"}
            told = client.get(f"{gate.url}/any/api/x", headers=headers).json()["headers"]
    assert dict(map(tuple, told))["X-Forwarded-For"] == "203.0.113.9, 10.1.2.3, 127.0.0.1"


BEHIND_A_PROXY = '[proxies]\nproxy_protocol = true\ntrusted = ["127.0.0.1"]\n'


def announced(gate: Gate, header: bytes, key: str = "", secure: bool = False) -> bytes:
    """What is answered to a request behind a header of the PROXY protocol, b"" where the connection is refused."""
    ask = f"GET /any/api/x HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key or gate.key}\r\nConnection: close\r\n\r\n"
    said = b""
    with socket.create_connection(("127.0.0.1", gate.port() if secure else gate.port("plain")), timeout=10) as plain:
        plain.sendall(header)
        try:
            with gate.context().wrap_socket(plain, server_hostname="localhost") if secure else plain as line:
                line.sendall(ask.encode())
                while part := line.recv(65536):
                    said += part
        except ConnectionError:
            pass
    return said


def version_2(source: str) -> bytes:
    body = socket.inet_pton(socket.AF_INET6, source) + bytes(16) + b"\0\1\0\2"
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x21" + len(body).to_bytes(2, "big") + body


@pytest.mark.parametrize("more", ["", "[transport]\nfast = false\n", "[edge]\nhttp2 = false\n"])
def test_the_proxy_protocol_is_required_where_it_is_on(tmp_path: Path, more: str) -> None:
    with Upstream() as upstream:
        services = {"any": {"plugin": "http", "upstreams": [upstream.url]}}
        with Gate(tmp_path, services, BEHIND_A_PROXY + more, plain=True) as gate:
            bound = gate.make_key("--user", "a", "--service", "any", "--allow", "203.0.113.0/24")["key"]
            seen = [
                (b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n", "203.0.113.7"),
                (b"PROXY TCP6 2001:DB8:0::7 ::1 1 2\r\n", "2001:db8::7"),
                (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
                (version_2("::ffff:203.0.113.9"), "203.0.113.9"),
            ]
            for secure in (False, True):
                for header, client in seen:
                    said = announced(gate, header, secure=secure)
                    assert said.startswith(b"HTTP/1.1 200"), (header, secure)
                    told = json.loads(said.partition(b"\r\n\r\n")[2])
                    assert dict(map(tuple, told["headers"]))["X-Forwarded-For"] == client
                assert until(
                    lambda: announced(gate, version_2("::ffff:203.0.113.9"), bound).startswith(b"HTTP/1.1 200")
                )
                assert announced(gate, version_2("2001:db8::7"), bound, secure).startswith(b"HTTP/1.1 403")
            assert not announced(gate, b"")


def test_what_is_no_address_in_a_proxy_line_reaches_no_log_and_no_service(tmp_path: Path) -> None:
    lies = (b'x","client_ip":"9.9.9.9\x1b[31m', b"1.1.1.1,2.2.2.2", b"\xff\xfe", b"1.1.1.1\nX-Forwarded-For:9.9.9.9")
    with Upstream() as upstream:
        services = {"any": {"plugin": "http", "upstreams": [upstream.url]}}
        with Gate(tmp_path, services, BEHIND_A_PROXY, plain=True) as gate:
            for lie in lies:
                assert not announced(gate, b"PROXY TCP4 " + lie + b" 127.0.0.1 1 2\r\n")
            assert announced(gate, version_2("::ffff:203.0.113.9"))
            access = gate.data / "log" / "access.jsonl"
            assert until(lambda: access.exists() and access.read_text())
            lines = access.read_text().splitlines()
            assert [json.loads(line)["request"]["client_ip"] for line in lines] == ["203.0.113.9"]
            assert "Traceback" not in gate.log() and "9.9.9.9" not in gate.log() + access.read_text()


def test_only_trusted_proxies_announce_a_client(tmp_path: Path) -> None:
    with Upstream() as upstream:
        services = {"any": {"plugin": "http", "upstreams": [upstream.url]}}
        more = '[proxies]\nproxy_protocol = true\ntrusted = ["10.0.0.0/8"]\n'
        with Gate(tmp_path, services, more, plain=True) as gate:
            assert not announced(gate, b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n")
            assert "127.0.0.1 was refused: no trusted proxy" in gate.log()


@pytest.mark.parametrize("header", [b"PROXY TCP4 203.0.113.%d 127.0.0.1 1 2\r\n", b""], ids=["announced", "forwarded"])
def test_the_clients_of_a_trusted_proxy_do_not_share_the_connections_of_one_address(
    tmp_path: Path, header: bytes
) -> None:
    more = '[proxies]\ntrusted = ["127.0.0.1"]\n' + ("proxy_protocol = true\n" if header else "")
    with ExitStack() as lines:
        gate = lines.enter_context(
            Gate(tmp_path, {"chat": {"plugin": "demo"}}, more + "[edge]\nconnections_per_address = 5\n", plain=True)
        )
        for number in range(20):
            line = lines.enter_context(socket.create_connection(("127.0.0.1", gate.port("plain")), timeout=10))
            ask = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.%d\r\n\r\n" % number
            line.sendall((header % number if header else b"") + ask)
            assert line.recv(100).startswith(b"HTTP/1.1 200"), number


def test_a_host_of_its_own_leads_to_its_service_and_to_no_other(tmp_path: Path) -> None:
    with Upstream() as upstream:
        services = {
            "comfy": {"plugin": "image", "route": "comfy.lan/", "upstreams": [upstream.url]},
            "any": {"plugin": "http", "upstreams": [upstream.url]},
        }
        with Gate(tmp_path, services) as gate, httpx.Client(verify=False) as client:
            headers = {"X-API-Key": gate.key, "Host": "comfy.lan"}
            assert client.get(f"{gate.url}/system_stats", headers=headers).json()["path"] == "/system_stats"
            assert client.get(f"{gate.url}/system_stats", headers={"X-API-Key": gate.key}).status_code == 404

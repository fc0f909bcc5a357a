"""Where the gate listens, what it takes for the client's address, and what happens when it cannot listen."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.live.gate import Gate
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


def test_the_proxy_protocol_is_required_where_it_is_on(tmp_path: Path) -> None:
    with Upstream() as upstream:
        services = {"any": {"plugin": "http", "upstreams": [upstream.url]}}
        with Gate(tmp_path, services, "[proxies]\nproxy_protocol = true\n", plain=True) as gate:
            ask = f"GET /any/api/x HTTP/1.1\r\nHost: h\r\nX-API-Key: {gate.key}\r\nConnection: close\r\n\r\n".encode()
            for preface, expected in ((b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n", True), (b"", False)):
                with socket.create_connection(("127.0.0.1", gate.port("plain")), timeout=10) as line:
                    line.sendall(preface + ask)
                    said = b""
                    try:
                        while part := line.recv(65536):
                            said += part
                    except ConnectionResetError:
                        pass
                assert said.startswith(b"HTTP/1.1 200") is expected
                if expected:
                    told = json.loads(said.partition(b"\r\n\r\n")[2])
                    assert dict(map(tuple, told["headers"]))["X-Forwarded-For"] == "203.0.113.7"


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

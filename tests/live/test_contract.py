"""What users were promised and no other test holds: the gate from outside, by what a person types and a client sees."""

import json
import os
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from tests.live.gate import Gate, until
from tests.live.upstream import Upstream

pytestmark = pytest.mark.live

RESERVED = (
    "v1", "login", "logout", "ticket", "status", "rotate", "health", "healthz", "readyz", "metrics", "admin", "invite",
    "ca", "openapi.json", "docs", "mcp", ".well-known",
)  # fmt: skip
DEMO = {"chat": {"plugin": "demo", "route": "/chat/api"}}


@pytest.fixture
def client(gate: Gate) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gate.url, verify=gate.context(), timeout=20) as made:
        yield made


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def works(client: httpx.Client, key: str) -> None:
    """Waits until a key that was just made counts, at a pace that is no guessing."""
    for _ in range(6):
        time.sleep(0.4)
        if client.get("/status", headers=bearer(key)).status_code == 200:
            return
    raise AssertionError("a new key does not work within 2.4 s")


def reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.headers.get("x-aigate-reason", "")


# Keys as clients show them


@pytest.mark.parametrize("field", ["Authorization", "X-API-Key", "api-key"])
def test_a_key_is_taken_from_each_of_its_three_fields(client: httpx.Client, gate: Gate, field: str) -> None:
    value = f"Bearer {gate.key}" if field == "Authorization" else gate.key
    assert client.get("/status", headers={field: value}).status_code == 200


def test_a_key_is_never_taken_from_a_query_and_is_not_written_down(client: httpx.Client, gate: Gate) -> None:
    for name in ("key", "api_key", "token", "ticket", "access_token"):
        assert client.get("/any/api/x", params={name: gate.key}).status_code == 401
    assert until(lambda: gate.log().count("GET /any/api/x") >= 5)
    assert gate.key not in gate.log()
    access = gate.data / "log" / "access.jsonl"
    assert until(lambda: access.exists() and "/any/api/x" in access.read_text())
    for file in (gate.data / "log").iterdir():
        assert gate.key not in file.read_text(), file


def test_one_known_key_decides_and_two_are_400(client: httpx.Client, gate: Gate) -> None:
    other = gate.make_key("--user", "two", "--service", "any")["key"]
    works(client, other)
    for others in ("sk-something-else", gate.key[:-1] + ("0" if gate.key[-1] != "0" else "1"), gate.key):
        both = {**bearer(gate.key), "X-API-Key": others}
        assert client.get("/status", headers=both).json()["user"] == "first", others
    assert reason(client.get("/status", headers={**bearer(gate.key), "X-API-Key": other})) == (400, "two-keys")
    assert reason(client.get("/status", headers={**bearer("sk-a"), "X-API-Key": "sk-b"})) == (401, "unknown-key")


def test_only_who_shows_the_whole_key_learns_that_it_is_disabled(client: httpx.Client, gate: Gate) -> None:
    made = gate.make_key("--user", "off", "--service", "any")
    whole = made["key"]
    assert gate.aigate("keys", "disable", made["id"]).returncode == 0
    time.sleep(1.1)
    assert reason(client.get("/status", headers=bearer(whole))) == (401, "disabled-key")
    guess = f"aig_{made['id']}_{'0' * 32}_{whole[-8:]}"
    assert reason(client.get("/status", headers=bearer(guess))) == (401, "unknown-key")
    assert gate.aigate("keys", "enable", made["id"]).returncode == 0
    works(client, whole)


def test_what_a_client_says_of_itself_does_not_go_on(client: httpx.Client, gate: Gate) -> None:
    said = {"X-Aigate-User": "root", "X-Aigate-Key": "x", "xi-api-key": "a", "x-goog-api-key": "b", "api-key": gate.key}
    told = client.get("/any/api/x", headers={**said, **bearer(gate.key)}).json()
    names = {name.lower() for name, _ in told["headers"]}
    assert not names & {name.lower() for name in said} | names & {"authorization"}


def test_imported_keys_work_as_they_are(client: httpx.Client, gate: Gate, tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_text(json.dumps({"my-old-secret-of-2019-xyz": {"user": "oma", "service": "any"}}))
    told = gate.aigate("keys", "import", str(file))
    assert told.returncode == 0, told.stderr
    old = {"api-key": "my-old-secret-of-2019-xyz"}
    works(client, old["api-key"])
    assert client.get("/status", headers=old).json()["user"] == "oma"
    assert reason(client.get("/chat/api/v1/models", headers=old)) == (403, "service-not-allowed")


# Addresses


@pytest.mark.parametrize("name", RESERVED)
def test_the_gates_own_places_lead_to_no_service(client: httpx.Client, gate: Gate, name: str) -> None:
    answer = client.get(f"/{name}/x", headers=bearer(gate.key))
    assert reason(answer) == (404, "no-route")


def test_whoever_asks_learns_only_that_it_is_well(client: httpx.Client) -> None:
    answer = client.get("/health")
    assert set(answer.json()) == {"status"}
    assert answer.json()["status"] in ("ok", "degraded")
    assert reason(client.get("/status")) == (401, "no-key")
    assert reason(client.get("/nowhere")) == (404, "no-route")


def test_status_tells_who_one_is_and_only_of_ones_own_services(client: httpx.Client, gate: Gate) -> None:
    made = gate.make_key("--user", "alice", "--service", "chat", "--expires", "30d", "--limit", "7/minute")
    works(client, made["key"])
    told = client.get("/status", headers=bearer(made["key"])).json()
    assert (told["user"], told["key"], list(told["services"])) == ("alice", made["id"], ["chat"])
    assert told["expires"] == made["expires"]
    assert [(one["limit"], one["remaining"]) for one in told["limits"]["chat"]] == [("7/minute", 7)]


def test_a_ticket_is_for_a_service_that_the_key_covers(client: httpx.Client, gate: Gate) -> None:
    made = client.post("/ticket", json={"service": "any"}, headers=bearer(gate.key))
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    assert (set(made.json()), made.json()["expires_in"]) == ({"ticket", "service", "expires_in"}, 60)
    ticket = {"ticket": made.json()["ticket"]}
    elsewhere = client.get("/chat/api/v1/models", params=ticket)
    assert reason(elsewhere) == (401, "unknown-key")
    assert reason(client.post("/ticket", json={"service": "nope"}, headers=bearer(gate.key))) == (
        403, "service-not-allowed",
    )  # fmt: skip
    assert client.post("/ticket", content=b"any", headers=bearer(gate.key)).status_code == 400


def test_a_route_without_its_slash_is_led_to_it(client: httpx.Client, gate: Gate) -> None:
    answer = client.get("/any/api?a=%20b", headers=bearer(gate.key))
    assert (answer.status_code, answer.headers["location"]) == (308, "/any/api/?a=%20b")


def test_a_client_of_http_1_0_is_served_and_the_line_closed(gate: Gate) -> None:
    with socket.create_connection(("127.0.0.1", gate.port("plain")), 10) as line:
        line.sendall(b"GET /any/api/events?n=3&every=0 HTTP/1.0\r\nX-API-Key: " + gate.key.encode() + b"\r\n\r\n")
        answer = b""
        while got := line.recv(65536):
            answer += got
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"chunked" not in head
    assert body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"


def test_refusals_are_worded_for_each_services_clients(client: httpx.Client) -> None:
    openai = client.get("/any/api/x")
    assert openai.json()["error"]["code"] == "invalid_api_key"
    assert openai.headers["www-authenticate"].startswith("Bearer")
    ollama = client.get("/chat/api/api/tags")
    assert isinstance(ollama.json()["error"], str)
    for answer in (openai, ollama):
        assert answer.headers["x-request-id"]
        assert answer.headers["cache-control"] == "no-store"


# Verbs


def test_explain_says_what_the_gate_does(client: httpx.Client, gate: Gate) -> None:
    made = gate.make_key("--user", "bo", "--service", "any", "--path", "/v1/*", "--allow", "127.0.0.0/8")
    works(client, made["key"])
    for path in ("/any/api/v1/models", "/any/api/other", "/nowhere"):
        told = gate.aigate("explain", "GET", path, "--key", made["id"], "--from", "127.0.0.1")
        answer = client.get(path, headers=bearer(made["key"]))
        assert told.returncode == (0 if answer.status_code == 200 else 1), told.stdout
        assert answer.headers.get("x-aigate-reason", "") in told.stdout
    away = gate.aigate("explain", "GET", "/any/api/v1/models", "--key", made["id"], "--from", "203.0.113.9")
    assert (away.returncode, "address-not-allowed" in away.stdout) == (1, True)


def test_wrong_usage_makes_and_says_nothing_of_a_folder(gate: Gate, tmp_path: Path) -> None:
    told = gate.aigate("keys", "create", "--user", "a", "--data", str(tmp_path / "none"))
    assert (told.returncode, len(told.stderr.splitlines())) == (2, 2), told.stderr
    assert not (tmp_path / "none").exists()


def test_the_ca_comes_on_standard_output_and_its_fingerprint_beside_it(gate: Gate) -> None:
    told = gate.aigate("certs", "ca")
    assert told.stdout == gate.ca.read_text()
    assert "fingerprint" in told.stderr
    beside = gate.aigate("certs", "--data", str(gate.data), "ca")
    assert beside.stdout == told.stdout


def test_the_printed_line_for_a_lasting_key_makes_one_that_works(tmp_path: Path) -> None:
    """As pasted into a shell that knows nothing of how the gate was started."""
    with Gate(tmp_path, DEMO) as gate:
        line = gate.wait_for("a lasting one: ").rpartition("a lasting one: ")[2].splitlines()[0]
        assert str(gate.data) in line
        words = shlex.split(line.replace("NAME", "mia"))
        assert Path(words[0]).name == "aigate"
        made = subprocess.run(
            [sys.executable, "-m", "edge.cli", *words[1:]], env=gate.environ, cwd="/", capture_output=True, text=True,
            timeout=60, check=True,
        )  # fmt: skip
        assert "no gate" not in made.stderr
        key = made.stdout.strip()
        with httpx.Client(base_url=gate.url, verify=gate.context()) as client:
            works(client, key)
        gate.stop()
        assert gate.log().rstrip().endswith("ended")
        assert "no gate is running" in gate.aigate("keys", "create", "--user", "a", "--service", "chat").stderr


def test_a_gate_that_still_drains_keeps_its_data_folder(tmp_path: Path, upstream: Upstream) -> None:
    services = {"any": {"plugin": "http", "route": "/any/api", "upstreams": [upstream.url]}}
    with Gate(tmp_path, services, '[drain]\ntimeout = "60s"\n') as gate:
        with httpx.Client(base_url=gate.url, verify=gate.context(), timeout=20) as client:
            with client.stream("GET", "/any/api/events?n=400&every=0.05", headers=bearer(gate.key)) as answer:
                lines = answer.iter_lines()
                next(lines)
                os.kill(gate.pid, signal.SIGTERM)
                gate.wait_for("finishes what is open")
                second = gate.aigate("run")
                assert second.returncode == 1
                assert str(gate.pid) in second.stderr
                assert next(lines) is not None
        assert gate.stop() == 0


# Servers behind


def serve(port: int, wrap: Callable[[HTTPServer], None] = lambda server: None) -> HTTPServer:
    """A server that says hello, in a thread; `port` 0 takes a free one."""

    class Hello(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", port), Hello)
    wrap(server)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def test_a_server_that_comes_back_is_used_again_at_once(tmp_path: Path) -> None:
    server = serve(0)
    port = server.server_address[1]
    services = {"any": {"plugin": "http", "route": "/any/api", "upstreams": [f"http://127.0.0.1:{port}"]}}
    with Gate(tmp_path, services) as gate, httpx.Client(base_url=gate.url, verify=gate.context()) as client:
        ask = lambda: client.get("/any/api/x", headers=bearer(gate.key))  # noqa: E731
        assert ask().text == "hello"
        server.shutdown()
        server.server_close()
        assert until(lambda: reason(ask()) == (502, "upstream-refused"), 8)
        assert client.get("/health").json() == {"status": "degraded"}
        server = serve(port)
        begun = time.monotonic()
        assert until(lambda: ask().status_code == 200, 8)
        assert time.monotonic() - begun < 3
        assert client.get("/health").json() == {"status": "ok"}
        log = gate.log()
        assert "is down" in log
        assert "is well again" in log
        server.shutdown()
        server.server_close()


def test_an_https_server_is_trusted_by_its_own_ca_only(tmp_path: Path) -> None:
    made = tmp_path / "server"
    made.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", made / "key", "-out", made / "ca"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made / "ca", made / "key")

    def wrap(server: HTTPServer) -> None:
        server.socket = context.wrap_socket(server.socket, server_side=True)

    server = serve(0, wrap)
    url = f"https://127.0.0.1:{server.server_address[1]}"
    services = {
        "known": {"plugin": "http", "route": "/known/api", "upstreams": [url], "ca_file": str(made / "ca")},
        "other": {"plugin": "http", "route": "/other/api", "upstreams": [url]},
    }
    with Gate(tmp_path, services) as gate, httpx.Client(base_url=gate.url, verify=gate.context()) as client:
        assert client.get("/known/api/x", headers=bearer(gate.key)).text == "hello"
        assert client.get("/other/api/x", headers=bearer(gate.key)).status_code == 502
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", ["/health", "/none", "/chat/api/v1/models"])
@pytest.mark.parametrize("http2", [False, True])
def test_every_answer_has_the_time(gate: Gate, path: str, http2: bool) -> None:
    with httpx.Client(base_url=gate.url, verify=gate.context(), http2=http2) as client:
        said = parsedate_to_datetime(client.get(path).headers["date"]).timestamp()
    assert abs(said - time.time()) < 30

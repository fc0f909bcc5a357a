"""The gate as it is assembled from a configuration, from outside: addresses, settings and log lines."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.live.gate import Gate, until
from tests.live.upstream import Upstream

pytestmark = pytest.mark.live

MORE = """
[cors]
origins = ["https://app.example"]
[edge]
answer_head = "4 KiB"
answer_header_count = 20
tunnel_idle = "1s"
[limits]
requests = "1000/minute"
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def gate(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    table = {"plugin": "http", "upstreams": [upstream.url]}
    services: dict[str, dict[str, Any]] = {
        "any": {**table, "route": "/any/api", "identify": True, "timeouts": {"total": "1s"}},
        "kept": {**table, "route": "/kept/api", "host": "keep", "connections": 1},
        "comfy": {"plugin": "image", "route": "comfy.example.org/", "upstreams": [upstream.url]},
        "chat": {"plugin": "demo"},
    }
    with Gate(tmp_path_factory.mktemp("gate"), services, MORE, plain=True) as running:
        yield running


@pytest.fixture
def client(gate: Gate) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {gate.key}"}
    with httpx.Client(base_url=gate.url, verify=gate.context(), headers=headers, timeout=20) as made:
        yield made


def curl(gate: Gate, *arguments: str) -> tuple[int, dict[str, str]]:
    """The status and the fields of an answer, as curl sees them."""
    said = subprocess.run(
        ["curl", "-sS", "-D", "-", "-o", "/dev/null", "--path-as-is", "--cacert", str(gate.ca), *arguments],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    status, *lines = said.split("\n\n")[0].splitlines()
    return int(status.split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_every_answer_has_an_id_whoever_gives_it(gate: Gate, http: str) -> None:
    key = ["-H", f"@{gate.header}"]
    seen = []
    for status, target, *more in (
        (200, "/health"),
        (200, "/status", *key),
        (401, "/status"),
        (405, "/ticket", *key),
        (404, "/none", *key),
        (400, "/any/api/../x"),
        (308, "/any/api?x=1", *key),
        (200, "/any/api/x", *key),
        (401, "/any/api/x"),
        (200, "/chat/api/v1/models", *key),
        (
            204,
            "/any/api/x",
            "-X",
            "OPTIONS",
            "-H",
            "Origin: https://app.example",
            "-H",
            "Access-Control-Request-Method: GET",
        ),
    ):
        found, fields = curl(gate, http, *more, gate.url + target)
        assert found == status, (target, fields)
        assert "x-request-id" in fields, (target, fields)
        seen.append(fields["x-request-id"])
    assert len(set(seen)) == len(seen)


def test_a_sane_id_is_taken_over_up_to_the_service_and_into_the_log(gate: Gate, client: httpx.Client) -> None:
    answer = client.get("/any/api/x", headers={"X-Request-Id": "client-made-0001"})
    told = {name.lower(): value for name, value in answer.json()["headers"]}
    assert answer.headers["x-request-id"] == told["x-request-id"] == "client-made-0001"
    log = gate.data / "log" / "access.jsonl"
    assert until(lambda: "client-made-0001" in log.read_text())


def test_a_host_of_its_own_leads_to_its_service(gate: Gate, upstream: Upstream) -> None:
    port = gate.port()
    status, _ = curl(
        gate, "-k", "-H", f"@{gate.header}", "--connect-to", f"comfy.example.org:{port}:localhost:{port}",
        f"https://comfy.example.org:{port}/queue",
    )  # fmt: skip
    assert status == 200 and upstream.raw_path == "/queue" and "x-forwarded-prefix" not in upstream.headers
    assert curl(gate, "-H", f"@{gate.header}", gate.url + "/queue")[0] == 404


def test_identity_and_host_are_told_where_a_service_is_to_know_them(
    gate: Gate, client: httpx.Client, upstream: Upstream
) -> None:
    client.get("/any/api/x", headers={"X-Aigate-User": "root"})
    assert upstream.headers["x-aigate-user"] == client.get("/status").json()["user"]
    assert upstream.headers["x-aigate-key-id"] == client.get("/status").json()["key"]
    assert upstream.headers["host"] == upstream.url.removeprefix("http://")
    client.get("/kept/api/x")
    assert upstream.headers["host"] == f"localhost:{gate.port()}" and "x-aigate-user" not in upstream.headers


def test_the_whole_time_of_an_answer_is_kept_to(client: httpx.Client) -> None:
    began = time.monotonic()
    answer = client.get("/any/api/hang")
    assert (answer.status_code, answer.headers["x-aigate-reason"]) == (504, "upstream-timeout")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/any/api/events?n=1000&every=0.05")
    assert 1.5 < time.monotonic() - began < 8


def test_a_server_has_no_more_in_hand_than_its_setting(gate: Gate, client: httpx.Client) -> None:
    with client.stream("GET", "/kept/api/events?n=40&every=0.05"):
        answer = client.get("/kept/api/x")
        assert (answer.status_code, answer.headers["x-aigate-reason"]) == (503, "queue-full")
    assert until(lambda: client.get("/kept/api/x").status_code == 200)


def test_the_start_says_what_listens_and_what_leads_where(gate: Gate) -> None:
    log = gate.log()
    for listener in ("https", "plain"):
        assert len(re.findall(rf"listens on {listener} \S+:\d+", log)) == 1
    for place, name, plugin in (
        ("/any/api", "any", "http"),
        ("comfy.example.org", "comfy", "image"),
        ("/chat/api", "chat", "demo"),
    ):
        assert len(re.findall(rf"{re.escape(place)} leads to {name} \(plugin {plugin}", log)) == 1


def test_each_request_is_one_line_without_a_secret(gate: Gate, client: httpx.Client) -> None:
    log = gate.data / "log" / "access.jsonl"
    ticket = client.post("/ticket", json={"service": "any"}).json()["ticket"]
    httpx.get(
        f"{gate.url}/any/api/events?n=1&ticket={ticket}",
        verify=gate.context(),
        headers={"X-Request-Id": "by-ticket-01"},
    )
    httpx.get(
        f"{gate.url}/any/api/x?api_key={gate.key}", verify=gate.context(), headers={"X-Request-Id": "in-query-001"}
    )
    assert until(lambda: "in-query-001" in log.read_text())
    lines = [
        json.loads(line) for line in log.read_text().splitlines() if "by-ticket-01" in line or "in-query-001" in line
    ]
    assert [line["status"] for line in lines] == [200, 401]
    for text in (
        log.read_text(),
        gate.log(),
        *(path.read_text() for path in (gate.data / "log").glob("*") if path.is_file()),
    ):
        assert ticket not in text and gate.key not in text


def test_a_drain_finishes_what_is_open_and_takes_nothing_new(tmp_path: Any, upstream: Upstream) -> None:
    services = {"any": {"plugin": "http", "route": "/any/api", "upstreams": [upstream.url]}}
    with Gate(tmp_path, services, '[drain]\ntimeout = "10s"\n') as gate:
        headers = {"Authorization": f"Bearer {gate.key}"}
        with (
            httpx.Client(base_url=gate.url, verify=gate.context(), headers=headers, timeout=20) as client,
            client.stream("GET", "/any/api/events?n=20&every=0.05") as answer,
        ):
            parts = answer.iter_text()
            got = next(parts)
            assert gate.process is not None
            gate.process.terminate()
            gate.wait_for("finishes what is open")
            with pytest.raises(httpx.ConnectError):
                httpx.get(gate.url + "/health", verify=gate.context())
            got += "".join(parts)
            assert got.count("data:") == 20
        assert gate.process.wait(10) == 0
        assert '"status":200' in (gate.data / "log" / "access.jsonl").read_text().replace(" ", "")


def test_the_end_of_the_drain_cuts_what_is_still_open_and_says_so(tmp_path: Any, upstream: Upstream) -> None:
    services = {"any": {"plugin": "http", "route": "/any/api", "upstreams": [upstream.url]}}
    with Gate(tmp_path, services, '[drain]\ntimeout = "500ms"\n') as gate:
        headers = {"Authorization": f"Bearer {gate.key}"}
        with (
            httpx.Client(base_url=gate.url, verify=gate.context(), headers=headers, timeout=20) as client,
            client.stream("GET", "/any/api/events?n=1000&every=0.05") as answer,
        ):
            parts = answer.iter_raw()
            next(parts)
            assert gate.process is not None
            gate.process.terminate()
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                for _ in parts:
                    pass
        assert gate.process.wait(10) == 0
        assert "drained" in (gate.data / "log" / "access.jsonl").read_text()
    assert until(lambda: upstream.gone["/events"] > 0)

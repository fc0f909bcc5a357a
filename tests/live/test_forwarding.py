"""The gate as a process between real clients and a real server."""

import hashlib
import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.gate import Gate, until
from tests.live.upstream import Upstream

pytestmark = pytest.mark.live


@pytest.fixture
def client(gate: Gate) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {gate.key}"}
    with httpx.Client(base_url=gate.url, verify=gate.context(), headers=headers, timeout=20) as made:
        yield made


def test_path_query_and_fields_go_on_byte_for_byte_and_keys_do_not(client: httpx.Client, gate: Gate) -> None:
    said = subprocess.run(
        [
            "curl", "-sS", "--http1.1", "--cacert", str(gate.ca), "-H", f"@{gate.header}", "-H", "X-Odd-CASE: Kept",
            "-H", "X-API-Key: placeholder", "-H", "X-Forwarded-For: 6.6.6.6", "-H", "X_API_KEY: sneaked",
            "-H", "Connection: keep-alive, X-Hop", "-H", "X-Hop: 1", "-H", "X-Http-Method-Override: DELETE",
            "--path-as-is", "-g", f"{gate.url}/any/api/a%2Fb//c;d?x=[|]&y=%20",
        ],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    told = json.loads(said)
    assert told["path"] == "/a%2Fb//c;d?x=[|]&y=%20"
    fields = {name.lower(): value for name, value in told["headers"]}
    assert ["X-Odd-CASE", "Kept"] in told["headers"]
    assert not {"authorization", "x-api-key", "x_api_key", "x-hop", "x-http-method-override"} & fields.keys()
    assert fields["x-forwarded-for"] == "127.0.0.1"
    assert fields["x-forwarded-proto"] == "https"
    assert fields["x-forwarded-prefix"] == "/any/api"
    assert fields["host"].startswith("127.0.0.1:")


def test_a_stream_arrives_event_by_event(client: httpx.Client) -> None:
    times = []
    with client.stream("GET", "/any/api/events?n=5&every=0.1") as answer:
        assert answer.headers["x-accel-buffering"] == "no"
        for _ in answer.iter_raw():
            times.append(time.monotonic())
    assert len(times) >= 5
    assert times[-1] - times[0] > 0.3


def test_bodies_are_whole_both_ways_with_and_without_a_length(client: httpx.Client) -> None:
    data = os.urandom(3_000_000)
    digest = hashlib.md5(data).hexdigest()
    assert client.post("/any/api/hash", content=data).json() == {"md5": digest, "size": len(data)}
    parts = (data[i : i + 65_000] for i in range(0, len(data), 65_000))
    assert client.post("/any/api/hash", content=parts).json() == {"md5": digest, "size": len(data)}
    assert len(client.get("/any/api/bytes/5000000").content) == 5_000_000


def test_memory_stays_flat_through_large_bodies(client: httpx.Client, gate: Gate) -> None:
    client.post("/any/api/hash", content=b"x" * 1_000_000)
    before = gate.memory()
    block = b"x" * 1_000_000
    told = client.post("/any/api/hash", content=(block for _ in range(200)), timeout=120).json()
    assert told["size"] == 200_000_000
    with client.stream("GET", "/any/api/bytes/200000000", timeout=120) as answer:
        assert sum(map(len, answer.iter_raw())) == 200_000_000
    assert gate.memory() - before < 8 * 2**20


def test_redirects_cookies_and_statuses_pass_untouched_but_for_the_prefix(
    client: httpx.Client, upstream: Upstream
) -> None:
    assert client.get("/any/api/redirect").headers["location"] == "/any/api/elsewhere"
    assert client.get(f"/any/api/redirect?to={upstream.url}/x").headers["location"] == "/any/api/x"
    assert client.get("/any/api/redirect?to=https://else.example/").headers["location"] == "https://else.example/"
    assert client.get("/any/api/cookies").headers.get_list("set-cookie") == ["a=1", "b=2"]
    client.cookies.clear()
    assert client.get("/any/api/cookies").text == ""
    for status in (204, 304, 418, 503):
        assert client.get(f"/any/api/status/{status}").status_code == status


def test_head_has_a_length_and_no_body(client: httpx.Client) -> None:
    answer = client.head("/any/api/bytes/1234")
    assert answer.headers["content-length"] == "1234"
    assert answer.content == b""


@pytest.mark.parametrize("how", ["length", "chunked", "reset"])
def test_a_cut_answer_is_never_shown_as_complete(client: httpx.Client, how: str) -> None:
    with pytest.raises(httpx.HTTPError), client.stream("GET", f"/any/api/cut?how={how}") as answer:
        answer.read()


def test_a_client_that_leaves_is_told_to_the_service_in_every_state(gate: Gate, upstream: Upstream) -> None:
    states = {
        "/hang": b"GET /any/api/hang HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %b\r\n\r\n",
        "/events": b"GET /any/api/events?n=1000&every=0.05 HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %b\r\n\r\n",
        "/hash": b"POST /any/api/hash HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %b\r\nContent-Length: 9\r\n\r\nab",
    }
    for path, head in states.items():
        before, seen = upstream.gone[path], upstream.seen[path]
        with socket.create_connection(("127.0.0.1", gate.port())) as raw:
            line = gate.context().wrap_socket(raw, server_hostname="localhost")
            line.sendall(head % gate.key.encode())
            assert until(lambda path=path, seen=seen: upstream.seen[path] > seen)
            time.sleep(0.05)
            line.close()
        left = time.monotonic()
        assert until(lambda path=path, before=before: upstream.gone[path] > before, 2), path
        assert time.monotonic() - left < 0.25


def test_an_unreachable_service_is_502_in_words(client: httpx.Client) -> None:
    answer = client.get("/dead/api/x")
    assert answer.status_code == 502
    assert answer.headers["x-aigate-reason"] == "upstream-refused"
    assert "127.0.0.1" not in answer.text


def test_without_a_good_key_nothing_reaches_the_service(gate: Gate, upstream: Upstream) -> None:
    seen = upstream.seen["/secret"]
    with httpx.Client(base_url=gate.url, verify=gate.context()) as client:
        none = client.get("/any/api/secret")
        bad = client.get("/any/api/secret", headers={"X-API-Key": "wrong"})
        query = client.get("/any/api/secret", params={"api_key": gate.key})
    assert [answer.status_code for answer in (none, bad, query)] == [401, 401, 401]
    assert none.headers["www-authenticate"].startswith("Bearer")
    assert upstream.seen["/secret"] == seen


def test_a_refused_upload_is_answered_at_once_and_readable_while_the_client_sends(gate: Gate) -> None:
    with httpx.Client(base_url=gate.url, verify=gate.context()) as client:
        answer = client.post("/any/api/hash", content=b"x" * 30_000_000, headers={"X-API-Key": "wrong"})
    assert answer.status_code == 401


def test_preflights_and_origins(client: httpx.Client, gate: Gate) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    with httpx.Client(base_url=gate.url, verify=gate.context()) as bare:
        pre = bare.options("/any/api/x", headers={**asked, "Access-Control-Request-Headers": "authorization"})
        assert pre.status_code == 204
        assert pre.headers["access-control-allow-headers"] == "authorization"
        assert (
            bare.get("/any/api/x", headers={"Origin": "https://app.example"}).headers["access-control-allow-origin"]
            == "https://app.example"
        )
        assert bare.options("/any/api/x", headers={**asked, "Origin": "https://evil.example"}).status_code == 403
    good = client.get("/any/api/x", headers={"Origin": "https://app.example"})
    assert good.headers.get_list("access-control-allow-origin") == ["https://app.example"]
    assert dict(map(tuple, good.json()["headers"]))["Origin"].startswith("http://127.0.0.1:")


def test_resumption_and_versions(gate: Gate) -> None:
    context = gate.context("http/1.1")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", gate.port())) as raw:
        line = context.wrap_socket(raw, server_hostname="localhost")
        line.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 200")
        session = line.session
        line.close()
    with socket.create_connection(("127.0.0.1", gate.port())) as raw:
        line = context.wrap_socket(raw, server_hostname="localhost", session=session)
        assert line.session_reused
        line.close()


def test_the_log_names_who_asked_for_what_and_no_secret(gate: Gate, client: httpx.Client, tmp_path: Path) -> None:
    client.get("/any/api/logged?api_key=hidden-or-not")
    log = gate.wait_for("/any/api/logged")
    assert "first/" in log
    assert gate.key not in log
    assert "Traceback" not in log

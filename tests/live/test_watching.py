"""A gate as its operator watches it: real files, the ops listener, and the programs that read them."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from uuid import uuid4

import pytest

from edge.transport.session import SUITES
from tests.live.gate import Gate, until

DEMO = {"demo": {"plugin": "demo", "route": "/demo/api"}}


def get(url: str, context: ssl.SSLContext | None = None, **headers: str) -> tuple[int, str, dict[str, str]]:
    """Status, body and header fields."""
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return (
                answer.status,
                answer.read().decode(),
                {name.lower(): value for name, value in answer.headers.items()},
            )
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), {name.lower(): value for name, value in error.headers.items()}


def wait_for_line(file: Path, text: str, seconds: float = 5.0) -> list[str]:
    """The lines of a log once one of them holds `text`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if file.exists() and text in (found := file.read_text()):
            return found.splitlines()
        time.sleep(0.05)
    raise AssertionError(f"{file} never held {text!r}")


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    with Gate(
        tmp_path_factory.mktemp("gate"),
        DEMO,
        environ={"AIGATE_LISTEN__OPS": "127.0.0.1:0"},
    ) as running:
        yield running


def ask(gate: Gate) -> str:
    """Asks for something and tells under which id."""
    mark = f"mark-{uuid4().hex}"
    assert get(f"{gate.url}/demo/api/v1/models", gate.context(), X_Api_Key=gate.key, X_Request_Id=mark)[0] == 200
    return mark


def ops(gate: Gate, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    return get(f"http://127.0.0.1:{gate.port('ops')}{path}", **headers)


def when_known(gate: Gate, path: str, key: str) -> tuple[int, str, dict[str, str]]:
    """Asks the ops listener with a new key until the gate has read it."""
    end = time.monotonic() + 5
    while (found := ops(gate, path, X_Api_Key=key))[0] == 401 and time.monotonic() < end:
        time.sleep(0.1)
    return found


def test_a_request_is_a_line_of_json_within_a_second(gate):
    mark = ask(gate)
    (line,) = (line for line in wait_for_line(gate.data / "log" / "access.jsonl", mark, 1.5) if mark in line)
    found = json.loads(line)
    assert (
        found["service"] == "demo"
        and found["status"] == 200
        and found["key_id"]
        and found["request"]["proto"] == "HTTP/1.1"
    )
    assert gate.key not in (gate.data / "log" / "access.jsonl").read_text()


def test_metrics_need_no_key_on_loopback_and_count_what_was_served(gate):
    get(f"{gate.url}/demo/api/v1/models", gate.context(), Authorization=f"Bearer {gate.key}")
    status, text, headers = ops(gate, "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'aigate_http_requests_total{code="200",method="GET",service="demo"}' in text
    assert "aigate_certificate_expiry_timestamp_seconds{" in text and "aigate_keys 1.0" in text


def test_the_ops_listener_tells_everything_only_to_the_scope_admin(gate):
    assert ops(gate, "/status")[0] == 401
    assert ops(gate, "/status", Authorization=f"Bearer {gate.key}")[0] == 403
    admin = gate.make_key("--user", "root", "--service", "*", "--scope", "admin")["key"]
    found = when_known(gate, "/status", admin)
    assert found[0] == 200
    told = json.loads(found[1])
    assert told["status"] == "ok" and told["version"] and told["keys"]["keys"] == 2 and told["disk"]["free"] > 0
    assert any(said.startswith("ops 127.0.0.1") for said in told["listeners"])
    assert told["certificates"][0]["expires"] > time.time()
    assert told["handshakes"]["ok"] >= 0 and told["reloads"]["certificates"] == {"ok": 0, "failed": 0}
    assert told["reloads"]["keys"]["ok"] >= 2 and told["keys"]["age"] >= 0 and told["redis"] is None
    assert told["traces"] is None
    disk = told["disk"]
    assert 0 < disk["free_percent"] <= 100 and disk["total"] > disk["free"] and disk["problems"] == {}


def test_spans_that_are_lost_are_counted_and_every_line_of_a_json_log_stays_json(tmp_path):
    pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http", reason="needs the extra: pip install 'aigate[traces]'"
    )
    more = '[trace]\nendpoint = "http://127.0.0.1:9/v1/traces"\nsample = 1.0\nqueue = 5\n[log]\nconsole = "json"\n'
    with Gate(tmp_path, DEMO, more, environ={"AIGATE_LISTEN__OPS": "127.0.0.1:0"}) as lossy:
        admin = lossy.make_key("--user", "root", "--service", "*", "--scope", "admin")["key"]
        for _ in range(30):
            ask(lossy)
        assert until(lambda: "spans batch" in lossy.log(), 10.0)
        lost = re.search(r'aigate_log_lost_total\{log="traces"\} (\d+)', ops(lossy, "/metrics")[1])
        assert lost and int(lost[1]) >= 30 - 2 * 5
        told = json.loads(when_known(lossy, "/status", admin)[1])["traces"]
        assert told["lost"] >= int(lost[1]) and told["waiting"] <= 5
    lines = [json.loads(line) for line in lossy.log().splitlines()]
    assert any("wait for the collector" in line["msg"] for line in lines)


def test_other_names_and_other_origins_are_turned_away(gate):
    for path in ("/health", "/metrics"):
        status, _, headers = ops(gate, path, Host="evil.example")
        assert (status, headers["x-aigate-reason"]) == (421, "wrong-host")
        status, _, headers = ops(gate, path, Origin="http://evil.example")
        assert (status, headers["x-aigate-reason"]) == (403, "origin-not-allowed")
    assert ops(gate, "/health", Host="localhost:1")[0] == 200
    assert ops(gate, "/demo/api/v1/models", Authorization=f"Bearer {gate.key}")[0] == 404


def test_every_attempt_and_every_change_of_a_key_is_on_the_audit_log(gate):
    made = gate.make_key("--user", "bob", "--service", "demo")
    log = gate.data / "log" / "audit.jsonl"
    (created,) = (line for line in log.read_text().splitlines() if f'"key":"{made["id"]}"' in line)
    assert json.loads(created)["what"] == "key" and json.loads(created)["by"].startswith("cli:")
    mark = ask(gate)
    (line,) = (line for line in wait_for_line(log, mark, 1.5) if mark in line)
    assert json.loads(line)["allowed"] is True
    get(f"{gate.url}/demo/api/v1/models", gate.context(), X_Api_Key="nobody-knows-me", X_Request_Id="a-stranger")
    (line,) = (line for line in wait_for_line(log, "a-stranger", 1.5) if "a-stranger" in line)
    assert json.loads(line)["reason"] == "unknown-key"
    assert "nobody-knows-me" not in log.read_text() and made["key"] not in log.read_text()
    verdict = gate.aigate("audit", "verify", "--json")
    assert verdict.returncode == 0 and json.loads(verdict.stdout)["whole"] is True, verdict.stdout
    head = gate.folder / "head.json"
    head.write_text(gate.aigate("audit", "head").stdout)
    assert gate.aigate("audit", "verify", "--head", str(head)).stdout.startswith("whole: lines 1 to ")


def test_a_line_that_is_taken_out_is_named_by_the_command(tmp_path):
    with Gate(tmp_path, DEMO) as gate:
        for _ in range(3):
            ask(gate)
    log = gate.data / "log" / "audit.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    assert json.loads(lines[-1])["what"] == "stopped"
    log.write_bytes(b"".join(lines[:2] + lines[3:]))
    verdict = gate.aigate("audit", "verify")
    assert verdict.returncode == 1 and "audit.jsonl:3: line 3 was removed" in verdict.stdout
    assert "NOT whole" in verdict.stdout and not verdict.stderr


def test_use_is_on_record_and_told_by_the_command_and_the_ops_listener(gate):
    made = gate.make_key("--user", "carol", "--service", "demo")
    admin = gate.make_key("--user", "root", "--service", "*", "--scope", "admin")["key"]
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hello"}]}).encode()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        request = urllib.request.Request(
            f"{gate.url}/demo/api/v1/chat/completions",
            body,
            {"X-Api-Key": made["key"], "Content-Type": "application/json"},
        )
        with (
            contextlib.suppress(urllib.error.HTTPError),
            urllib.request.urlopen(request, context=gate.context()) as answer,
        ):
            answer.read()
            break
        time.sleep(0.2)
    while time.monotonic() < end:
        told = gate.aigate("usage", "--by", "user", "--json")
        lines = {line["name"]: line for line in json.loads(told.stdout)["lines"]} if told.returncode == 0 else {}
        if "carol" in lines:
            break
        time.sleep(0.2)
    assert lines["carol"]["requests"] == 1, told
    status, text, _ = when_known(gate, "/usage?by=key&since=1d", admin)
    assert status == 200 and made["id"] in {line["name"] for line in json.loads(text)["lines"]}
    assert ops(gate, "/usage", X_Api_Key=made["key"])[0] == 403 and ops(gate, "/usage")[0] == 401
    assert ops(gate, "/usage?by=secrets", X_Api_Key=admin)[0] == 400
    many = "&".join(f"a{number}=1" for number in range(11))
    status, text, _ = ops(gate, f"/usage?{many}", X_Api_Key=admin)
    assert status == 400 and "10 parameters at most" in text and "Traceback" not in gate.log()
    assert gate.aigate("usage", "--csv", "--by", "model").stdout.startswith("model,requests,errors")
    assert "carol" in gate.aigate("usage").stdout
    assert gate.aigate("usage", "--since", "yesterday-ish").returncode == 2


def test_moved_logs_are_begun_anew_at_sigusr1(gate):
    log = gate.data / "log" / "access.jsonl"
    mark = ask(gate)
    wait_for_line(log, mark)
    moved = log.rename(log.with_suffix(".1"))
    os.kill(gate.pid, signal.SIGUSR1)
    mark = ask(gate)
    wait_for_line(log, mark)
    assert mark not in moved.read_text()


def test_the_last_requests_before_the_end_are_written(tmp_path):
    with Gate(tmp_path, DEMO) as gate:
        marks = [ask(gate) for _ in range(20)]
        assert gate.stop() == 0
        written = (gate.data / "log" / "access.jsonl").read_text()
        assert all(mark in written for mark in marks)


def test_a_line_says_how_its_connection_was_secured_and_what_kind_of_answer_it_got(gate):
    def ask_over(context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> tuple[dict, ssl.SSLSession | None]:
        mark = f"mark-{uuid4().hex}"
        with socket.create_connection(("127.0.0.1", gate.port()), 10) as plain:
            with context.wrap_socket(plain, server_hostname="localhost", session=session) as made:
                made.sendall(
                    f"GET /demo/api/v1/models HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {mark}\r\n"
                    f"X-Api-Key: {gate.key}\r\nConnection: close\r\n\r\n".encode()
                )
                while made.recv(65536):
                    pass
                resumable = made.session
        (line,) = (line for line in wait_for_line(gate.data / "log" / "access.jsonl", mark) if mark in line)
        return json.loads(line), resumable

    modern, session = ask_over(gate.context("http/1.1"))
    tls = modern["request"]["tls"]
    assert (tls["version"], tls["proto"], tls["server_name"], tls["resumed"]) == (772, "http/1.1", "localhost", False)
    assert tls["cipher_suite"] in (0x1301, 0x1302, 0x1303)
    assert modern["resp_headers"]["Content-Type"][0].startswith("application/json")
    assert modern["resp_headers"].get("Content-Length", [str(modern["size"])]) == [str(modern["size"])]
    older = gate.context()
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    first, session = ask_over(older)
    again, _ = ask_over(older, session)
    assert first["request"]["tls"]["version"] == again["request"]["tls"]["version"] == 771
    assert first["request"]["tls"]["cipher_suite"] in SUITES.values()
    assert (first["request"]["tls"]["resumed"], again["request"]["tls"]["resumed"]) == (False, True)


def test_a_gate_that_is_killed_loses_a_second_of_use_at_most(tmp_path):
    with Gate(tmp_path, DEMO) as killed:
        first = killed.key
        for number in range(20):
            assert get(f"{killed.url}/demo/api/v1/models?n={number}", killed.context(), X_Api_Key=first)[0] == 200
        time.sleep(1.3)
        log = killed.data / "log" / "access.jsonl"
        assert until(lambda: log.exists() and log.read_text().count("\n") == 20)
        killed.stop(signal.SIGKILL)
        listed = json.loads(killed.aigate("usage", "--requests", "--json").stdout)["requests"]
        summed = json.loads(killed.aigate("usage", "--json").stdout)["total"]
    assert len(listed) == summed["requests"] == 20
    assert {one["service"] for one in listed} == {"demo"} and all(one["status"] == 200 for one in listed)
    lines = log.read_text().splitlines()
    assert {one["request"] for one in listed} == {json.loads(line)["request"]["id"] for line in lines}

"""Secrets put into every input of a running gate, and looked for in every output of it and of its commands."""

import base64
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.gate import Gate
from tests.live.test_watching import when_known

OURS = "aig_1a2b3c4d_deadbeefdeadbeefdeadbeefdeadbeef_01234567"
FOREIGN = "s3cret-Imported-Key"
UPSTREAM = "sk-what-the-service-wants"
BODY = "what-alice-asked-and-was-answered"
PLUGIN = f"""
from attrs import frozen
from zope.interface import implementer
from edge.interfaces import IServicePlugin

@implementer(IServicePlugin)
@frozen
class Cellar:
    name: str = "cellar"
    api: int = 1

    def configure(self, settings, bench):
        return bench.openai(settings["upstreams"]).with_header("Authorization", "Bearer {UPSTREAM}")

cellar = Cellar()
"""


class Chatterbox:
    """A service that tells all it was told in its status line, in its fields, in its body, or in something that is no answer."""

    def __init__(self, secrets: list[str]) -> None:
        self.secrets, self.heads = secrets, b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            head = connection.recv(65536)
            self.heads += head
            told = " ".join([*self.secrets, UPSTREAM, BODY])
            ours = next(secret for secret in self.secrets if secret.startswith("aig_"))
            fields = (
                f"Content-Type: application/json; {ours}\r\nRetry-After: {ours}\r\nSet-Cookie: s={told}\r\nX-Told: {told}\r\n"
                f"Location: http://127.0.0.1:{self.port}/{urllib.parse.quote(told)}\r\nConnection: close\r\n\r\n"
            )
            if b"garbage" in head:
                connection.sendall(f"HTTP/1.1 abc {told}\r\n{told}: {told}\r\n\r\n".encode())
            elif b"cut" in head:
                connection.sendall(f"HTTP/1.1 200 {told}\r\nContent-Length: 100000\r\n{fields}{told}".encode())
            else:
                connection.sendall(f"HTTP/1.1 200 {told}\r\n{fields}{told}".encode())

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[tuple[Gate, Chatterbox, list[str]]]:
    (tmp_path / "plugins").mkdir(mode=0o700)
    (tmp_path / "plugins" / "cellar.py").write_text(PLUGIN)
    secrets = [OURS, FOREIGN]
    box = Chatterbox(secrets)
    services = {
        "demo": {"plugin": "demo", "route": "/demo/api"},
        "cellar": {"plugin": "cellar", "route": "/cellar/api", "upstreams": [f"http://127.0.0.1:{box.port}"]},
        "gone": {"plugin": "http", "route": "/gone", "upstreams": ["http://127.0.0.1:9"]},
    }
    more = 'plugin_dirs = ["plugins"]\n[log]\nlevel = "debug"\n'
    environ = {"AIGATE_LISTEN__OPS": "127.0.0.1:0", "AIGATE_NOT_A_SETTING": FOREIGN, "SOMETHING_ELSE": OURS}
    with Gate(tmp_path, services, more, environ=environ) as gate:
        yield gate, box, secrets
    box.close()


def heads(secret: str, valid: str) -> Iterator[dict[str, str]]:
    """Every way to bring a key in a head, rightly and wrongly."""
    basic = base64.b64encode(f"alice:{secret}".encode()).decode()
    for name in (
        "X-API-Key",
        "api-key",
        "xi-api-key",
        "x-goog-api-key",
        "X-Token",
        "Cookie",
        "Proxy-Authorization",
        "X-Forwarded-For",
    ):
        yield {name: secret}
        yield {name: secret, "Authorization": f"Bearer {valid}"}
    for value in (
        f"Bearer {secret}",
        f"bearer {secret}",
        secret,
        f"Basic {basic}",
        f"Digest username={secret}",
        f"Bearer {secret} {secret}",
    ):
        yield {"Authorization": value}
        yield {"Authorization": value, "X-API-Key": valid}
    yield {
        "Authorization": f"Bearer {valid}",
        "Origin": f"https://alice:{secret}@page.example",
        "Referer": f"https://a:{secret}@page.example/",
    }
    yield {
        "X-API-Key": valid,
        "traceparent": secret,
        "Range": f"bytes=0-1?key={secret}",
        "User-Agent": f"x?token={secret}",
    }


def paths(secret: str) -> Iterator[str]:
    """Every way to bring one in a target."""
    told = urllib.parse.quote(secret)
    for base in (
        "/demo/api/v1/models",
        "/cellar/api/v1/models",
        "/cellar/api/v1/garbage",
        "/cellar/api/v1/cut",
        "/gone/x",
        "/nothing",
    ):
        for name in ("key", "api_key", "ticket", "access_token", "password", "sig", "%6bey"):
            yield f"{base}?{name}={told}&more={name}"
    if secret.startswith("aig_"):
        yield from (f"/demo/api/{told}", f"/{told}", f"/demo/api/v1/models?q={told}")


def raw(gate: Gate, text: str) -> None:
    """Bytes as they are, in TLS."""
    with socket.create_connection(("127.0.0.1", gate.port()), 10) as plain:
        with gate.context().wrap_socket(plain, server_hostname="localhost") as made:
            made.sendall(text.encode())
            made.settimeout(10)
            made.recv(4096)


def processes(gate: Gate) -> str:
    """What `ps` shows of the gate and of its children."""
    assert gate.process is not None
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if gate.process.pid in (int(folder.name), parent):
                lines.append((folder / "cmdline").read_text())
        except OSError:
            continue
    assert any("edge" in line or "aigate" in line for line in lines)
    return "\n".join(lines)


@pytest.mark.live
def test_a_running_gate_and_its_commands_show_no_secret_anywhere(made: tuple[Gate, Chatterbox, list[str]]) -> None:
    gate, box, secrets = made
    valid = gate.make_key("--user", "alice", "--service", "*")["key"]
    admin = gate.make_key("--user", "root", "--service", "*", "--scope", "admin")["key"]
    old = gate.folder / "old-keys.txt"
    old.write_text("s3cret-Imported-Known-Key-00112233\n")
    assert gate.aigate("keys", "import", str(old)).returncode == 0
    when_known(gate, "/status", admin)
    secrets += [valid, "s3cret-Imported-Known-Key-00112233"]
    tickets = []
    asked = 0
    for http2 in (False, True):
        context = gate.context(*(("h2",) if http2 else ()))
        with httpx.Client(verify=context, http2=http2, base_url=gate.url, timeout=30) as client:
            for secret in secrets:
                for head in heads(secret, valid):
                    asked += client.get("/demo/api/v1/models", headers=head).status_code > 0
                for path in paths(secret):
                    try:
                        asked += client.get(path, headers={"X-API-Key": valid}).status_code > 0
                    except httpx.HTTPError:
                        asked += 1  # one that was cut off
                body = {
                    "model": secret,
                    "messages": [{"role": "user", "content": f"{BODY} {secret}"}],
                    "api_key": secret,
                }
                for base in ("/demo/api", "/cellar/api", "/gone"):
                    try:
                        client.post(f"{base}/v1/chat/completions", json=body, headers={"X-API-Key": valid})
                    except httpx.HTTPError:
                        asked += 1
            for _ in range(3):
                tickets.append(
                    client.post("/ticket", json={"service": "cellar"}, headers={"X-API-Key": valid}).json()["ticket"]
                )
    assert asked > 300
    upgrade = "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n"
    for secret in (*secrets, *tickets):
        raw(
            gate,
            f"GET /cellar/api/v1/ws HTTP/1.1\r\n{upgrade}Sec-WebSocket-Protocol: aigate, aigate.ticket.{secret}\r\n\r\n",
        )
        raw(gate, f"GET /cellar/api/v1/ws?ticket={urllib.parse.quote(secret)} HTTP/1.1\r\n{upgrade}\r\n")
        # Heads that are no HTTP, with a secret in them.
        raw(gate, f"GET /demo/api/v1/models HTTP/1.1\r\nX-API-Key: {secret}\r\nbad header\r\n\r\n")
    raw(gate, f"{OURS} / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert UPSTREAM.encode() in box.heads
    shown = processes(gate)
    pages = [
        when_known(gate, path, admin)[1]
        for path in ("/metrics", "/status", "/usage?by=key", "/usage?by=model", "/usage?requests=10000", "/health")
    ]
    time.sleep(1.5)
    told = []
    for words in (
        ("usage", "--json"), ("usage", "--requests", "--json", "--limit", "10000"), ("usage", "--requests", "--csv"),
        ("usage", "--by", "model", "--csv"), ("audit", "verify", "--json"), ("audit", "head"), ("keys", "list", "--json"),
        ("keys", "export"), ("keys", "history", "--json"), ("check",), ("keys", "import", str(old), "--dry-run"),
    ):  # fmt: skip
        ran = gate.aigate(*words)
        told.append(ran.stdout + ran.stderr)
    for secret in secrets:
        ran = gate.aigate("keys", "validate", "-", stdin=secret)
        told.append(ran.stdout + ran.stderr)
    gate.stop()
    texts = {
        str(file): file.read_bytes()
        for file in gate.data.rglob("*")
        if file.is_file() and file.name != "first-key.header"
    }
    texts |= {f"page {n}": text.encode() for n, text in enumerate([*pages, *told, shown])}
    texts["console"] = gate.log_file.read_bytes()
    for name in ("audit.jsonl", "access.jsonl", "usage.sqlite", "keys.sqlite", "keys.runtime.jsonl", "console"):
        assert any(name in each for each in texts), name
    lines = (gate.data / "log" / "access.jsonl").read_text().splitlines()
    assert len(lines) > 300 and any('"upstream-broken"' in line for line in lines)
    needles = [
        *(secret[13:45] if secret.startswith("aig_") else secret for secret in secrets),
        *tickets,
        UPSTREAM,
        BODY,
    ]
    needles += [base64.b64encode(f"alice:{secret}".encode()).decode() for secret in secrets]
    for needle in needles:
        # The part of a key of ours that is secret: its id is no secret.
        found = [name for name, text in texts.items() if needle.encode() in text]
        assert not found, (
            needle,
            found,
            [line[:300] for name in found for line in texts[name].splitlines() if needle.encode() in line][:3],
        )


@pytest.mark.live
@pytest.mark.parametrize(
    "more",
    [
        '[services.x]\nplugin = "http"\nroute = "/x"\nupstreams = ["http://alice:{secret}@gpu.lan"]',
        '[limits]\nengine = "redis"\n[limits.redis]\nurl = "redis://:{secret}@127.0.0.1:6379/0"',
        '[trace]\nendpoint = "http://alice:{secret}@127.0.0.1:4318/v1/traces"',
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_password_in_the_configuration_is_refused_and_never_repeated(tmp_path: Path, more: str, command: str) -> None:
    gate = Gate(tmp_path, {"demo": {"plugin": "demo", "route": "/demo/api"}}, more.format(secret="hunter2-hunter2"))
    ran = gate.aigate(command)
    assert ran.returncode == 78 and "hunter2" not in ran.stdout + ran.stderr
    assert "password" in ran.stdout + ran.stderr


@pytest.mark.live
@pytest.mark.parametrize(
    "name", ["AIGATE_SERVICES__DEMO__UPSTREAMS", "AIGATE_LIMITS__REDIS__URL", "AIGATE_TRACE__ENDPOINT"]
)
def test_a_password_in_the_environment_is_refused_and_never_repeated(tmp_path: Path, name: str) -> None:
    value = "http://alice:hunter2-hunter2@127.0.0.1"
    environ = {name: json.dumps([value]) if name.endswith("UPSTREAMS") else value}
    services = {"demo": {"plugin": "http", "route": "/demo/api", "upstreams": ["http://127.0.0.1:9"]}}
    ran = Gate(tmp_path, services, environ=environ).aigate("check")
    assert ran.returncode == 78 and "hunter2" not in ran.stdout + ran.stderr

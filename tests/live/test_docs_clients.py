"""The page on clients: its commands and programs are run against a gate as they stand there."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.live.gate import ROOT, Gate

pytestmark = pytest.mark.live
PAGE = (ROOT / "docs" / "clients.md").read_text()
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)


class Messages(BaseHTTPRequestHandler):
    """A server with Anthropic's path, which the demo has not; it knows no key and must be shown none."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        leaked = [name for name in ("authorization", "x-api-key") if name in self.headers]
        right = self.path == "/v1/messages" and not leaked
        text = asked["messages"][0]["content"] if right else f"error: {self.path} {leaked}"
        body = json.dumps(
            {
                "id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "stop_reason": "end_turn",
                "stop_sequence": None, "content": [{"type": "text", "text": text}],
                "usage": {"input_tokens": 1, "output_tokens": 1},
            }
        ).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test's output is its own."""


@pytest.fixture(scope="module")
def anthropics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate before a server that speaks Anthropic's dialect."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Messages) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        upstream = f"http://127.0.0.1:{server.server_port}"
        services = {"chat": {"plugin": "ollama", "route": "/chat/api", "upstreams": [upstream]}}
        with Gate(tmp_path_factory.mktemp("anthropics"), services) as running:
            yield running
        server.shutdown()


def test_the_page_has_programs_to_run():
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize(("language", "text"), BLOCKS, ids=[f"{kind}-{n}" for n, (kind, _) in enumerate(BLOCKS)])
def test_it_works_as_pasted(gate: Gate, anthropics: Gate, tmp_path: Path, language: str, text: str):
    gate = anthropics if "anthropic" in text else gate
    (tmp_path / "aigate-ca.pem").write_bytes(gate.ca.read_bytes())
    program = text.replace("https://box.local:8443", gate.url)
    command = ["bash", "-ec", program] if language == "sh" else [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "AIGATE_KEY": gate.key}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stdout
    if "Hello!" in program:
        assert "demo" in done.stdout or "Hello" in done.stdout

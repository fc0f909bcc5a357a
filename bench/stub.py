"""The service behind everybody: nginx for whole answers, and a small server of our own for events and WebSockets."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from bench.certificate import certificate
from bench.machine import LOAD_CORE, free_port, spawn, stop, wait_for_port

SMALL = json.dumps({"id": "bench-0001", "text": "x" * 970}, separators=(",", ":"))
"""An answer of 1 KB."""
CHAT = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The gate is open. " * 30},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 30, "completion_tokens": 120, "total_tokens": 150},
    }
)

CONF = """
daemon off; worker_processes 1; pid {folder}/stub.pid; error_log {folder}/stub.log warn;
events {{ worker_connections 16384; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; client_max_body_size 0; client_body_buffer_size 1m;
  keepalive_requests 100000000; keepalive_timeout 3600s; sendfile on; tcp_nodelay on;
  server {{
    listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.1:{secure} ssl backlog=4096;
    ssl_certificate {certificate}; ssl_certificate_key {key}; root {folder}/files; default_type application/json;
    location = /small {{ return 200 '{small}'; }}
    location = /upload {{ proxy_pass http://127.0.0.1:{port}/sink; }}
    location = /sink {{ return 200 '{{}}'; }}
    location = /v1/chat/completions {{ return 200 '{chat}'; }}
    location = /v1/models {{ return 200 '{{"object":"list","data":[]}}'; }}
    location / {{ }}
  }}
}}
"""


class Stub:
    """Running servers: `port` and `secure` (TLS) answer at once, `events` streams."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.secure, self.events = free_port(), free_port(), free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Stub":
        folder = self.folder
        files = folder / "files"
        files.mkdir(parents=True)
        for each in (folder, folder.parent):
            # nginx's workers are not root, and no one else's.
            each.chmod(0o755)
        for name, size in (("64k", 64 * 1024), ("10m", 10 * 1024**2)):
            (files / name).write_bytes(b"x" * size)
        self.certificate, self.key = certificate(folder)
        conf = folder / "stub.conf"
        conf.write_text(
            CONF.format(
                folder=folder,
                port=self.port,
                secure=self.secure,
                certificate=self.certificate,
                key=self.key,
                small=SMALL,
                chat=CHAT,
            )
        )
        web = spawn(LOAD_CORE, ["nginx", "-c", str(conf), "-p", str(folder), "-e", str(folder / "stub.log")], folder)
        self._processes.append(web)
        wait_for_port(self.port, web, folder)
        events = spawn(LOAD_CORE, [sys.executable, "-m", "bench.events", str(self.events)], folder, _here())
        self._processes.append(events)
        wait_for_port(self.events, events, folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                stop(process)


def _here() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parents[1])}

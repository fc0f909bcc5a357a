"""nginx, HAProxy and Caddy as Debian has them, each as the same reverse proxy in front of one server."""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final

PEERS: Final = ("nginx", "haproxy", "caddy")

NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream behind {{ server 127.0.0.1:{behind}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location /any/api/ {{ proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off; rewrite_log off; }}
    location / {{ return 404; }}
  }}
}}
"""
HAPROXY = """
global
  maxconn 256
defaults
  mode http
  timeout connect 3s
  timeout client 10s
  timeout server 10s
frontend door
  bind 127.0.0.1:{port}
  http-request deny deny_status 404 unless {{ path_beg /any/api/ }}
  default_backend behind
backend behind
  server one 127.0.0.1:{behind}
"""
CADDY = """
{{
  admin off
  auto_https off
  servers {{
    timeouts {{
      read_header 10s
    }}
  }}
}}
http://:{port} {{
  bind 127.0.0.1
  handle /any/api/* {{
    reverse_proxy 127.0.0.1:{behind}
  }}
  respond 404
}}
"""


def absent(name: str) -> str | None:
    """Why a peer cannot be asked, None where it can."""
    return None if _program(name) else f"{name} is not installed"


def _program(name: str) -> str | None:
    return shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin")


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Peer:
    """One of them, running."""

    def __init__(self, name: str, folder: Path, behind: int) -> None:
        self.port = _free()
        text = {"nginx": NGINX, "haproxy": HAPROXY, "caddy": CADDY}[name]
        config = folder / "config"
        config.write_text(text.format(folder=folder, port=self.port, behind=behind))
        program = _program(name) or name
        command = {
            "nginx": [program, "-p", str(folder), "-c", str(config)],
            "haproxy": [program, "-db", "-f", str(config)],
            "caddy": [program, "run", "--adapter", "caddyfile", "--config", str(config)],
        }[name]
        self._log = (folder / "out").open("wb")
        self._process = subprocess.Popen(
            command, stdout=self._log, stderr=subprocess.STDOUT, cwd=folder,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip

    def __enter__(self) -> "Peer":
        end = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise AssertionError(Path(self._log.name).read_text()) from None
                time.sleep(0.05)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

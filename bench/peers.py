"""The gate and its peers, each started on the gateway's core with the same certificate, key and upstream."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType

from bench import venv
from bench.machine import GATEWAY_CORE, cpu, free_port, memory, spawn, stop, wait_for_port
from bench.stub import Stub

ROOT = Path(__file__).parents[1]
STACKS = Path(__file__).parent / "stacks"
PLAIN, EVENTS, SECURE = "plain", "events", "secure"
"""Which upstream a stack leads to: the stub, its events, or the stub over TLS."""


class Peer(ABC):
    """A gateway: `https://localhost:port` + `prefix` + path leads to the stub's path for whoever sends `header`."""

    name: str
    prefix = "/bench/api"
    scheme = "https"
    secure = True
    """Whether it can reach an upstream over TLS here."""
    upgrades = False
    http2 = False

    def __init__(self, stub: Stub, upstream: str = PLAIN) -> None:
        self.stub = stub
        self.folder = Path(tempfile.mkdtemp(prefix="aigate-bench-"))
        self.folder.chmod(0o755)
        self.port = free_port()
        self.key = "bench-" + "k" * 40
        ports = {PLAIN: stub.port, EVENTS: stub.events, SECURE: stub.secure}
        self.upstream = f"{'https' if upstream == SECURE else 'http'}://127.0.0.1:{ports[upstream]}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.started_in = 0.0

    @classmethod
    def missing(cls) -> str:
        """Why it cannot run here, "" where it can."""
        return ""

    @abstractmethod
    def start(self) -> None:
        """Starts its processes."""

    def __enter__(self) -> "Peer":
        began = time.monotonic()
        try:
            self.start()
            wait_for_port(self.port, self.processes[-1], self.folder, 60.0)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.started_in = time.monotonic() - began
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in reversed(self.processes):
            stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str, environ: dict[str, str] | None = None) -> None:
        """One process of the stack."""
        self.processes.append(spawn(GATEWAY_CORE, command, self.folder, environ))

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    @property
    def cpu(self) -> float:
        """Seconds of CPU used so far by the whole stack."""
        return cpu(self.pids)

    @property
    def memory(self) -> int:
        """Bytes (PSS) of the whole stack."""
        return memory(self.pids)

    def url(self, path: str) -> str:
        return f"{self.scheme}://localhost:{self.port}{self.prefix}{path}"

    @property
    def header(self) -> str:
        return f"Authorization: Bearer {self.key}"


class Gate(Peer):
    """aigate with everything on: routes, keys, limits, logs, header policy."""

    name = "aigate"
    upgrades = True
    http2 = True
    tree = ROOT
    fast = True
    python = sys.executable
    """The interpreter; one that is not this environment's gets its packages by PYTHONPATH."""

    def start(self) -> None:
        folder = self.folder
        upstream = self.upstream.replace("127.0.0.1", "localhost")
        ca = f'ca_file = "{self.stub.certificate}"\n' if upstream.startswith("https") else ""
        config = folder / "aigate.toml"
        config.write_text(
            f'[listen]\nhttps = "127.0.0.1:{self.port}"\nops = ""\n'
            f"[transport]\nfast = {str(self.fast).lower()}\n"
            '[limits]\nrequests = "1000000000/minute"\nbody = "8 GiB"\n'
            '[log]\nconsole = "off"\n'
            '[edge]\nconnections = 20000\nconnections_per_address = 20000\nkeepalive_requests = 100000000\nhead_timeout = "60s"\n'
            f'[services.bench]\nplugin = "http"\nroute = "/bench/api"\nupstreams = ["{upstream}"]\n{ca}'
            "options = { websocket = true }\nconnections = 20000\n"
            f'[services.chat]\nplugin = "openai"\nroute = "/chat/api"\nupstreams = ["{upstream}"]\n{ca}'
            "concurrency = 20000\nconnections = 20000\n"
        )
        config.chmod(0o600)
        path = ":".join([str(self.tree), *(each for each in sys.path if each.endswith("site-packages"))])
        environ = {"PYTHONPATH": path, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        command = [self.python, "-m", "edge.cli"]
        places = ["--config", str(config), "--data", str(folder / "data")]
        made = subprocess.run(
            [*command, "keys", "create", "--user", "bench", "--service", "*", "--json", *places],
            env={**os.environ, **environ}, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise RuntimeError(made.stderr)
        self.key = json.loads(made.stdout)["key"]
        self._began = time.monotonic()
        self.run(*command, "run", *places, environ=environ)

    def __enter__(self) -> "Peer":
        super().__enter__()
        self.started_in = time.monotonic() - self._began
        return self


class StockGate(Gate):
    """The same over Twisted's own transports."""

    name = "aigate (stock)"
    fast = False


class OtherGate(Gate):
    """Another checkout of the gate: `--against FOLDER` sets its tree."""

    name = "aigate (other)"
    python = sys.executable

    @classmethod
    def missing(cls) -> str:
        return "" if cls.tree != ROOT or cls.python != Gate.python else "no --against FOLDER"


class Nginx(Peer):
    """nginx with a map of keys."""

    name = "nginx"
    upgrades = True
    http2 = True

    @classmethod
    def missing(cls) -> str:
        return "" if shutil.which("nginx") else "nginx is not installed"

    def start(self) -> None:
        folder = self.folder
        host = self.upstream.split("://")[1]
        scheme = self.upstream.split("://")[0]
        conf = folder / "nginx.conf"
        conf.write_text(
            f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log warn;\n"
            "worker_rlimit_nofile 65536; events { worker_connections 30000; }\n"
            f"http {{ client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n"
            f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; client_max_body_size 0;\n"
            f"map_hash_bucket_size 256; access_log {folder}/access.log combined buffer=64k flush=1s; keepalive_requests 100000000;\n"
            f'map $http_authorization $known {{ default 0; "Bearer {self.key}" 1; }}\n'
            "map $http_upgrade $connection_field { default upgrade; '' ''; }\n"
            f"upstream stub {{ server {host}; keepalive 512; keepalive_requests 100000000; }}\n"
            f"server {{ listen 127.0.0.1:{self.port} ssl http2 backlog=4096;\n"
            f"ssl_certificate {self.stub.certificate}; ssl_certificate_key {self.stub.key};\n"
            "ssl_session_cache shared:s:10m; ssl_session_tickets on; ssl_protocols TLSv1.2 TLSv1.3;\n"
            "location /bench/api/ { if ($known = 0) { return 401; }\n"
            f"proxy_pass {scheme}://stub/; proxy_http_version 1.1; proxy_set_header Connection $connection_field;\n"
            "proxy_set_header Upgrade $http_upgrade; proxy_set_header Authorization '';\n"
            "proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s; } } }\n"
        )
        self.run("nginx", "-c", str(conf), "-p", str(folder), "-e", str(folder / "error.log"))


def caddyfile(peer: Peer, port: int, upstream: str, check: bool) -> str:
    """Caddy's configuration: TLS, with or without the key's matcher, an access log, a streaming reverse proxy."""
    tls = "\ntransport http {\ntls_insecure_skip_verify\n}" if upstream.startswith("https") else ""
    proxy = f"reverse_proxy {upstream} {{\nflush_interval -1{tls}\n}}"
    if check:
        inner = (
            f'@known header Authorization "Bearer {peer.key}"\nhandle @known {{\nuri strip_prefix /bench/api\n'
            f"{proxy}\n}}\nrespond 401"
        )
    else:
        inner = proxy
    return (
        "{\nadmin off\nauto_https off\n}\n"
        f"https://localhost:{port} {{\nbind 127.0.0.1\ntls {peer.stub.certificate} {peer.stub.key}\n"
        f"log {{\noutput file {peer.folder}/access.log\n}}\n{inner}\n}}\n"
    )


class Caddy(Peer):
    """Caddy alone, the key in a header matcher."""

    name = "Caddy"
    upgrades = True
    http2 = True

    @classmethod
    def missing(cls) -> str:
        return "" if shutil.which("caddy") else "caddy is not installed"

    def caddy(self, upstream: str, check: bool) -> None:
        """Starts it towards `upstream`."""
        conf = self.folder / "Caddyfile"
        conf.write_text(caddyfile(self, self.port, upstream, check))
        self.run(
            "caddy", "run", "--config", str(conf), "--adapter", "caddyfile",
            environ={"GOMAXPROCS": "1", "HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)},
        )  # fmt: skip

    def start(self) -> None:
        self.caddy(self.upstream, True)


class CaddyFlask(Caddy):
    """Caddy before Flask on gunicorn: two sync workers, a decorator, requests."""

    name = "Caddy + Flask"
    upgrades = False
    http2 = False

    @classmethod
    def missing(cls) -> str:
        return super().missing() or venv.missing("gunicorn", "flask", "requests")

    def start(self) -> None:
        behind = free_port()
        self.run(
            venv.script("gunicorn"), "-w", "2", "-b", f"127.0.0.1:{behind}", "--chdir", str(STACKS), "flask_app:app",
            environ={"UPSTREAM": self.upstream, "KEY": self.key, "PYTHONPATH": ""},
        )  # fmt: skip
        wait_for_port(behind, self.processes[-1], self.folder)
        self.caddy(f"http://127.0.0.1:{behind}", False)


class Aiohttp(Peer):
    """aiohttp's server and client on uvloop."""

    name = "aiohttp + uvloop"

    @classmethod
    def missing(cls) -> str:
        return venv.missing("aiohttp", "uvloop")

    def start(self) -> None:
        self.run(
            venv.script("python"), str(STACKS / "aiohttp_app.py"), str(self.port), str(self.stub.certificate),
            str(self.stub.key), environ={"UPSTREAM": self.upstream, "KEY": self.key, "PYTHONPATH": ""},
        )  # fmt: skip


class FastApi(Peer):
    """FastAPI on uvicorn with uvloop, httpx behind."""

    name = "FastAPI + httpx"

    @classmethod
    def missing(cls) -> str:
        return venv.missing("fastapi", "uvicorn", "httpx", "uvloop")

    def start(self) -> None:
        self.run(
            venv.script("uvicorn"), "fastapi_app:app", "--app-dir", str(STACKS), "--port", str(self.port),
            "--ssl-certfile", str(self.stub.certificate), "--ssl-keyfile", str(self.stub.key), "--no-access-log",
            environ={"UPSTREAM": self.upstream, "KEY": self.key, "PYTHONPATH": ""},
        )  # fmt: skip


class LiteLlm(Peer):
    """LiteLLM's proxy, chat only and over plain HTTP: it does more for a request than a gate does."""

    name = "LiteLLM"
    scheme = "http"
    prefix = ""

    @classmethod
    def missing(cls) -> str:
        return venv.missing("litellm")

    def start(self) -> None:
        conf = self.folder / "litellm.yaml"
        conf.write_text(
            "model_list:\n  - model_name: bench\n    litellm_params:\n      model: openai/bench\n"
            f"      api_base: {self.upstream}/v1\n      api_key: none\n"
            f"general_settings:\n  master_key: {self.key}\n"
        )
        self.key = "sk-bench"
        conf.write_text(conf.read_text().replace("bench-" + "k" * 40, self.key))
        self.run(
            venv.script("litellm"), "--config", str(conf), "--host", "127.0.0.1", "--port", str(self.port),
            environ={
                "PYTHONPATH": "", "HOME": str(self.folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_LOG": "ERROR",
            },
        )  # fmt: skip


PEERS: dict[str, type[Peer]] = {
    "gate": Gate,
    "stock": StockGate,
    "other": OtherGate,
    "nginx": Nginx,
    "caddy": Caddy,
    "flask": CaddyFlask,
    "aiohttp": Aiohttp,
    "fastapi": FastApi,
    "litellm": LiteLlm,
}

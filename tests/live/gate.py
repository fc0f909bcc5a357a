"""A gate as a process on free ports, as a user starts it, for tests that drive it with real clients."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]
START = 20.0


def toml(value: Any) -> str:
    """A TOML value; what JSON writes of these is TOML too, save tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml(each)}" for name, each in value.items()) + " }"
    return json.dumps(value)


def until(true: Callable[[], object], seconds: float = 5.0) -> bool:
    """Asks again and again until `true` is; whether it was within `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Gate:
    """`aigate run` in a folder of its own. `services` are tables of `[services.NAME]`; `more` is further TOML."""

    def __init__(
        self,
        folder: Path,
        services: dict[str, dict[str, Any]],
        more: str = "",
        *,
        environ: dict[str, str] | None = None,
        command: tuple[str, ...] | None = None,
        plain: bool = False,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.config = folder / "aigate.toml"
        listen = '[listen]\nhttps = "127.0.0.1:0"\n' + ('plain = "127.0.0.1:0"\n' if plain else "")
        if "ops =" not in more:
            listen += 'ops = ""\n'
        tables = "".join(
            f"[services.{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in table.items())
            for name, table in services.items()
        )
        # Top-level keys of `more` must stand before the first table.
        first = re.search(r"^\[", more, re.MULTILINE)
        cut = first.start() if first else len(more)
        self.config.write_text(f"{more[:cut]}\n{listen}{more[cut:]}\n{tables}")
        self.config.chmod(0o600)
        fast = os.environ.get("AIGATE_TRANSPORT__FAST")
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            **({"AIGATE_TRANSPORT__FAST": fast} if fast else {}),
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
            **(environ or {}),
        }
        self.command = command or (sys.executable, "-m", "edge.cli", "run")
        self.log_file = folder / "out.log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Gate":
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> "Gate":
        """Starts it and waits until it listens."""
        with self.log_file.open("ab") as out:
            self._from = out.tell()
            self.process = subprocess.Popen(
                [*self.command, "--config", str(self.config), "--data", str(self.data)],
                env=self.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=self.folder,
            )  # fmt: skip
        self.wait_for("leads to")
        return self

    def wait_for(self, text: str, seconds: float = START) -> str:
        """Waits until the log holds `text` (since the last start); the log."""
        end = time.monotonic() + seconds
        while text not in self.log():
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"the gate ended with {self.process.returncode}:\n{self.log()}")
            if time.monotonic() > end:
                raise AssertionError(f"the gate did not say {text!r} within {seconds} s:\n{self.log()}")
            time.sleep(0.02)
        return self.log()

    def log(self) -> str:
        """What it printed since the last start."""
        with self.log_file.open("rb") as out:
            out.seek(self._from)
            return out.read().decode("utf-8", "replace")

    def stop(self, number: int = signal.SIGTERM, seconds: float = 40.0) -> int:
        """Ends it and tells its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the gate did not end within {seconds} s:\n{self.log()}") from None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def port(self, listener: str = "https") -> int:
        """The port of a listener."""
        found = re.search(rf"listens on {listener} \S*:(\d+)", self.log())
        assert found, self.log()
        return int(found[1])

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port()}"

    @property
    def ca(self) -> Path:
        return self.data / "ca" / "root.pem"

    @property
    def header(self) -> Path:
        """The first key as curl reads it: `-H @FILE`."""
        return self.data / "first-key.header"

    @property
    def key(self) -> str:
        """The first key."""
        return self.header.read_text().split()[-1]

    def context(self, *alpn: str) -> ssl.SSLContext:
        """A TLS context that trusts this gate's CA only."""
        made = ssl.create_default_context(cafile=str(self.ca))
        if alpn:
            made.set_alpn_protocols(list(alpn))
        return made

    def aigate(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a verb on this gate's configuration and data."""
        return subprocess.run(
            [sys.executable, "-m", "edge.cli", *arguments, "--config", str(self.config), "--data", str(self.data)],
            env=self.environ, input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def make_key(self, *options: str) -> dict[str, Any]:
        """`aigate keys create --json …`: what it printed."""
        made = self.aigate("keys", "create", "--json", *options)
        assert made.returncode == 0, made.stderr
        value: dict[str, Any] = json.loads(made.stdout)
        return value

    def memory(self) -> int:
        """Bytes of memory that are its own (PSS)."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
        assert found
        return int(found[1]) * 1024

    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

"""What processes cost, as Linux tells it: CPU to the nanosecond, memory, and which core they run on."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

GATEWAY_CORE = 0
LOAD_CORE = 1


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at the moment."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


def family(pid: int) -> list[int]:
    """A process and everything that descends from it."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def cpu(pids: Iterable[int]) -> float:
    """Seconds of CPU that the processes and their descendants have used (`schedstat`, kernel time included)."""
    total = 0
    for pid in pids:
        for each in family(pid):
            for stat in Path(f"/proc/{each}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    total += int(stat.read_text().split()[0])
    return total / 1e9


def memory(pids: Iterable[int]) -> int:
    """Bytes of memory that are the processes' and their descendants' own (PSS)."""
    total = 0
    for pid in pids:
        for each in family(pid):
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{each}/smaps_rollup").read_text()
                found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
                total += int(found[1]) * 1024 if found else 0
    return total


def descriptors(pids: Iterable[int]) -> int:
    """Open files and sockets of the processes and their descendants."""
    total = 0
    for pid in pids:
        for each in family(pid):
            with contextlib.suppress(OSError):
                total += len(os.listdir(f"/proc/{each}/fd"))
    return total


def spawn(
    core: int, command: Sequence[str], folder: Path, environ: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """A process on one core, in a group of its own; what it prints goes to `folder`/out.log."""
    with (folder / "out.log").open("ab") as out:
        return subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            cwd=folder, env={**os.environ, **(environ or {})}, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def stop(process: "subprocess.Popen[bytes]", seconds: float = 10.0) -> None:
    """Ends a process that `spawn` made, and what it started."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", folder: Path, seconds: float = 30.0) -> None:
    """Until something listens. Raises RuntimeError with what it printed."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    said = (folder / "out.log").read_text(errors="replace")[-2000:]
    raise RuntimeError(f"nothing listens on port {port}:\n{said}")

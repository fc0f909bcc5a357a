"""Runs wrk, h2load and our own clients on the load's core, and reads what they say."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import field, frozen

from bench.machine import LOAD_CORE
from bench.peers import ROOT, Peer

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@frozen
class Load:
    """What one round of load came to. Seconds."""

    count: int
    """Requests, events, connections or megabytes."""
    seconds: float
    p50: float = 0.0
    p99: float = 0.0
    errors: int = 0
    more: dict[str, float] = field(factory=dict)


def _pinned(command: list[str], seconds: float) -> str:
    done = subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), *command], capture_output=True, text=True, timeout=seconds + 90, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-500:] or done.stdout[-500:]}")
    return done.stdout


def _time(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    assert found, text
    return float(found[1]) * _UNITS[found[2]]


def wrk(peer: Peer, path: str, connections: int, seconds: float, script: Path | None = None) -> Load:
    """HTTP/1.1 over kept connections."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "30s"]
    command += ["-H", peer.header, *(["-s", str(script)] if script else []), peer.url(path)]
    said = _pinned(command, seconds)
    done = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", said)
    assert done, said
    failed = sum(map(int, re.findall(r"(?:connect|read|write|timeout|Non-2xx or 3xx responses:) (\d+)", said)))
    p50, p99 = (re.search(rf"\n +{n}% +(\S+)", said) for n in (50, 99))
    return Load(
        int(done[1]), float(done[2]) * _UNITS[done[3]],
        _time(p50[1]) if p50 else 0.0, _time(p99[1]) if p99 else 0.0, failed,
    )  # fmt: skip


def h2load(peer: Peer, path: str, connections: int, streams: int, seconds: float, http1: bool = False) -> Load:
    """HTTP/2, or HTTP/1.1 by the same client."""
    command = ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{max(1, round(seconds))}"]
    command += ["-H", peer.header, *(["--h1"] if http1 else []), peer.url(path)]
    said = _pinned(command, seconds)
    done = re.search(r"finished in ([\d.]+)(us|ms|s|m)", said)
    status = re.search(r"(\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    times = re.search(r"time for request: +(\S+) +(\S+) +(\S+)", said)
    assert done and status, said
    bad = int(status[2]) + int(status[3]) + int(status[4])
    return Load(int(status[1]), float(done[1]) * _UNITS[done[2]], _time(times[3]) if times else 0.0, 0.0, bad)


def client(peer: Peer, kind: str, path: str, *arguments: object, seconds: float = 60.0) -> Load:
    """One of `bench.clients`, as a process of its own."""
    command = [sys.executable, "-m", "bench.clients", kind, peer.url(path), peer.header, *map(str, arguments)]
    done = subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), *command], capture_output=True, text=True, timeout=seconds + 120,
        cwd=ROOT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{kind}: {done.stderr[-800:]}")
    said: dict[str, Any] = json.loads(done.stdout)
    return Load(**said)

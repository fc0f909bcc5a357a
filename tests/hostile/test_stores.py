"""What keeps keys and counts, unreadable, replaced, gone or away, under a gate that runs."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.rogue import Rogue
from tests.hostile.test_faults import PATIENT, get, service, until
from tests.live.gate import Gate

pytestmark = pytest.mark.live


def bound() -> tuple[str, ...]:
    """The gate's command such that root may not read everything either."""
    plain = (sys.executable, "-m", "edge.cli", "run")
    if os.geteuid() != 0:
        return plain
    # Root without these two capabilities meets permissions as everybody does.
    powers = "-dac_override,-dac_read_search"
    return ("setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}", "--", *plain)


def answers(gate: Gate, seconds: float = 1.3) -> set[int]:
    """What a known key is told for a while; a bad one is never let in."""
    seen: Counter[int] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen[get(gate, "/any/api/x").status] += 1
        assert get(gate, "/any/api/x", "bad").status in (401, 503)
        assert get(gate, "/any/api/x", None).status in (401, 503)
        time.sleep(0.1)
    return set(seen)


FILES = ("keys.runtime.jsonl", "keys.sqlite", "pepper", "usage.sqlite", "limits.sqlite")


def test_files_that_cannot_be_read_are_gone_or_are_folders_harm_nothing_for_long(rogue: Rogue, tmp_path: Path) -> None:
    with Gate(tmp_path, {"any": service(rogue.url)}, PATIENT, plain=True, command=bound()) as gate:
        first = gate.key
        ended = gate.make_key("--user", "ended", "--service", "any")["key"]
        assert until(lambda: get(gate, "/any/api/x", ended).status == 200)
        assert answers(gate, 0.3) == {200}
        files = [gate.data / name for name in FILES]
        assert until(lambda: all(file.exists() for file in files))
        for harm in ("unreadable", "folder", "gone"):
            for file in files:
                if harm == "unreadable":
                    file.chmod(0)
                else:
                    file.rename(file.with_name(f"aside-{file.name}"))
                    if harm == "folder":
                        file.mkdir()
            assert answers(gate, 1.5) <= {200, 503}, harm
            for file in files:
                if harm == "unreadable":
                    file.chmod(0o600)
                    continue
                if harm == "folder":
                    file.rmdir()
                else:
                    file.unlink(missing_ok=True)
                file.with_name(f"aside-{file.name}").rename(file)
            made = gate.make_key("--user", harm, "--service", "any")["key"]
            assert until(lambda made=made: get(gate, "/any/api/x", made).status == 200), f"{harm}: well again by itself"
            assert get(gate, "/any/api/x", first).status == 200
        gate.data.chmod(0)
        try:
            assert answers(gate, 1.5) <= {200, 503}
        finally:
            gate.data.chmod(0o700)
        assert gate.aigate("keys", "disable", "--user", "ended").returncode == 0
        assert until(lambda: get(gate, "/any/api/x", ended).status == 401), "a key that ends, ends"
        assert answers(gate, 0.2) == {200}
        assert "Traceback" not in gate.log(), gate.log()


@pytest.mark.parametrize(
    ("name", "harm"), [("keys.runtime.jsonl", "unreadable"), ("pepper", "unreadable"), ("keys.sqlite", "a folder")]
)
def test_a_start_without_its_keys_is_refused_or_lets_nobody_in(
    rogue: Rogue, tmp_path: Path, name: str, harm: str
) -> None:
    gate = Gate(tmp_path, {"any": service(rogue.url)}, PATIENT, plain=True, command=bound())
    gate.start()
    key = gate.key
    gate.stop()
    file, aside = gate.data / name, gate.data / "aside"
    mode = file.stat().st_mode
    if harm == "unreadable":
        file.chmod(0)
    else:
        file.rename(aside)
        file.mkdir()
    try:
        gate.start()
    except AssertionError as refused:
        assert name in str(refused)
        assert "Traceback" not in str(refused)
        gate.process = None
    else:
        assert get(gate, "/any/api/x", "bad").status in (401, 503)
        assert get(gate, "/any/api/x", key).status in (200, 401, 503)
    if harm == "unreadable":
        file.chmod(mode)
    elif file.is_dir():
        file.rmdir()
        aside.rename(file)
    if gate.process is None:
        gate.start()
    assert until(lambda: get(gate, "/any/api/x", key).status == 200), gate.log()
    gate.stop()


class Redis:
    """A server on a socket of its own that comes and goes."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            pytest.skip("redis-server is missing: make test-deps")
        self.path = folder / "r.sock"
        self._command = [program, "--port", "0", "--unixsocket", str(self.path), "--save", "", "--dir", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        assert until(self.path.exists)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.path.unlink(missing_ok=True)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    made = Redis(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.mark.parametrize("on_failure", ["closed", "local"])
def test_redis_comes_and_goes_under_a_gate(rogue: Rogue, tmp_path: Path, redis: Redis, on_failure: str) -> None:
    """`closed` refuses while it is away, `local` counts alone; either is well again by itself."""
    more = (
        f'[limits]\nengine = "redis"\nrequests = "1000/minute"\n'
        f'redis = {{ url = "unix://{redis.path}", timeout = "300ms", on_failure = "{on_failure}" }}\n'
        "[lockout]\nfailures = 1000000\n"
    )
    with Gate(tmp_path, {"any": service(rogue.url)}, more, plain=True) as gate:
        assert until(lambda: get(gate, "/any/api/x").status == 200)
        for _ in range(2):
            redis.kill()
            begun = time.monotonic()
            if on_failure == "closed":
                assert until(lambda: get(gate, "/any/api/x").status == 503)
                heard = rogue.seen["/x"]
                got = get(gate, "/any/api/x")
                assert (got.status, got.reason) == (503, "store-unavailable")
                assert got.field("retry-after") is not None
                assert rogue.seen["/x"] == heard, "nothing goes on that was not counted"
            else:
                for _ in range(20):
                    assert get(gate, "/any/api/x").status == 200
            assert get(gate, "/any/api/x", "bad").status == 401
            assert get(gate, "/health", None).status == 200
            assert time.monotonic() - begun < 5, "nobody waits for long"
            redis.start()
            assert until(lambda: get(gate, "/any/api/x").status == 200, 10), "well again by itself"
        assert "Traceback" not in gate.log(), gate.log()


def test_a_gate_that_starts_before_its_redis_waits_closed(rogue: Rogue, tmp_path: Path, redis: Redis) -> None:
    redis.kill()
    more = f'[limits]\nengine = "redis"\nrequests = "1000/minute"\nredis = {{ url = "unix://{redis.path}" }}\n'
    with Gate(tmp_path, {"any": service(rogue.url)}, more, plain=True) as gate:
        assert get(gate, "/any/api/x").status == 503
        redis.start()
        assert until(lambda: get(gate, "/any/api/x").status == 200, 10)

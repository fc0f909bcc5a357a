"""A disk that is really full, for all that the gate keeps: it goes on, closed rather than open, and is well again by itself."""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.rogue import Rogue
from tests.hostile.test_faults import get, service, until
from tests.live.gate import Gate

pytestmark = pytest.mark.live

PATIENT = '[limits]\nrequests = "1000000/day"\n[lockout]\nfailures = 1000000\n'
SIZE = 24 * 2**20


class Small:
    """A file system of 24 MiB of its own, for the data folder alone (mounting takes root)."""

    def __init__(self, folder: Path) -> None:
        self.filler = folder / "filler"

    def fill(self, gate: Gate) -> None:
        with self.filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self, gate: Gate) -> None:
        self.filler.unlink()

    def verb(self, gate: Gate, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return gate.aigate(*arguments)


class Limited:
    """Where nothing can be mounted: the kernel lets no file of the gate's grow while it is full."""

    full = False

    def fill(self, gate: Gate) -> None:
        resource.prlimit(gate.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        self.full = True

    def free(self, gate: Gate) -> None:
        resource.prlimit(gate.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.full = False

    def verb(self, gate: Gate, *arguments: str) -> "subprocess.CompletedProcess[str]":
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        if self.full:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
        try:
            return gate.aigate(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[Small | Limited]:
    data = folder / "data"
    data.mkdir(mode=0o700)
    mount = shutil.which("mount")
    mounted = mount is not None and os.geteuid() == 0
    if mounted:
        done = subprocess.run(
            [str(mount), "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "none", data], capture_output=True, check=False
        )
        mounted = done.returncode == 0
    try:
        yield Small(data) if mounted else Limited()
    finally:
        if mounted:
            subprocess.run(["umount", "-l", data], check=True)


def asked(gate: Gate, seconds: float) -> Counter[int]:
    """The statuses of good and bad keys in turn. A bad key is never let in."""
    seen: Counter[int] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen[get(gate, "/any/api/x?" + "a" * 300).status] += 1
        assert get(gate, "/any/api/x", "bad").status in (401, 503)
    return seen


def test_everything_goes_on_counts_and_is_written_down_again(rogue: Rogue, tmp_path: Path) -> None:
    with disk(tmp_path) as space, Gate(tmp_path, {"any": service(rogue.url)}, PATIENT, plain=True) as gate:
        before = asked(gate, 0.5)
        space.fill(gate)
        during = asked(gate, 4)
        assert set(during) == {200}, "what cannot be written down costs no request"
        made = space.verb(gate, "keys", "create", "--json", "--user", "full", "--service", "any")
        assert (made.returncode, made.stdout) == (1, "")
        assert "Traceback" not in made.stderr
        space.free(gate)
        # Half-written keys do not exist, and the next one works.
        assert "full" not in gate.aigate("keys", "list").stdout
        later = gate.make_key("--user", "later", "--service", "any")["key"]
        assert until(lambda: get(gate, "/any/api/x", later).status == 200)
        after = asked(gate, 0.5)
        asked_in_all = sum((before + during + after).values())
        total = 0

        def counted() -> bool:
            nonlocal total
            total = json.loads(gate.aigate("usage", "--json").stdout)["total"]["requests"]
            return total >= asked_in_all

        assert until(counted, 15), (total, asked_in_all)
        verified = gate.aigate("audit", "verify")
        assert verified.returncode == 0, verified.stderr
        for file in (gate.data / "log").glob("*.jsonl"):
            for line in file.read_bytes().splitlines():
                json.loads(line)
        # A restart in the middle of it: what was counted while there was no space is not forgotten by the next one.
        space.fill(gate)
        assert gate.process is not None
        gate.process.kill()
        gate.process.wait()
        gate.process = None
        if isinstance(space, Small):
            gate.start()
            assert get(gate, "/any/api/x", "bad").status == 401
            assert get(gate, "/any/api/x", later).status == 200
            space.free(gate)
        else:
            gate.start()
        assert until(lambda: get(gate, "/any/api/x", later).status == 200)
        assert "Traceback" not in gate.log_file.read_text()


def test_an_audit_log_that_must_be_whole_refuses_everybody_until_there_is_space(rogue: Rogue, tmp_path: Path) -> None:
    more = PATIENT + '[log]\naudit_on_full = "refuse"\n'
    with disk(tmp_path) as space, Gate(tmp_path, {"any": service(rogue.url)}, more, plain=True) as gate:
        assert set(asked(gate, 0.2)) == {200}
        space.fill(gate)
        assert until(lambda: get(gate, "/any/api/x").status == 503, 10)
        assert set(asked(gate, 1)) == {503}
        space.free(gate)
        assert until(lambda: get(gate, "/any/api/x").status == 200, 10), "well again by itself"
        assert gate.aigate("audit", "verify").returncode == 0
        assert "Traceback" not in gate.log()

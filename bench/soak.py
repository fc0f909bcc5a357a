"""A long run at moderate load: memory, descriptors and delay must stay flat. `python -m bench.soak --minutes 60`.

Every kind of traffic at once: small answers, chat, downloads, streams, WebSockets and new connections. Once a minute a
line says what the gate holds; at the end the last third is compared with the first, and the exit code is 1 where
something grew.
"""

import argparse
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from attrs import define, field, frozen

from bench.cases import CASES
from bench.load import client, wrk
from bench.machine import descriptors
from bench.peers import EVENTS, PLAIN, Gate, Peer
from bench.stub import Stub

MEMORY = 8 * 2**20
"""Bytes that the gate may have more in the last third than in the first."""
DESCRIPTORS = 16
DELAY = 2.0
"""Times the delay of the first third."""


@frozen
class Reading:
    """One look, when nothing is under way."""

    minute: float
    memory: int
    descriptors: int
    p50: float
    errors: int


@define
class Soak:
    """A gate before the stub and one before its events, since a service has one kind of upstream here."""

    whole: Peer
    events: Peer
    readings: list[Reading] = field(factory=list)
    errors: int = 0

    def lap(self) -> float:
        """A little of everything, side by side; the middle delay of small answers, in seconds."""
        p50 = 0.0

        def small() -> None:
            nonlocal p50
            load = wrk(self.whole, "/small", 8, 5)
            p50 = load.p50
            self.errors += load.errors

        def streams() -> None:
            self.errors += client(self.events, "streams", "/events", 50, 100, 40).errors

        pieces: list[Callable[[], object]] = [
            small,
            streams,
            lambda: client(self.whole, "download", "/10m", 20),
            lambda: client(self.whole, "upload", "/upload", 50),
            lambda: client(self.whole, "connections", "/small", 50, 1),
            lambda: client(self.events, "sockets", "/ws", 8, 3),
            lambda: CASES["chat"].work(self.whole, 3),
            lambda: CASES["http2"].work(self.whole, 3),
        ]
        threads = [threading.Thread(target=self._safely, args=(piece,)) for piece in pieces]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return p50

    def _safely(self, piece: Callable[[], object]) -> None:
        try:
            piece()
        except Exception as error:
            self.errors += 1
            print(f"  {error}", file=sys.stderr)

    def read(self, began: float, p50: float) -> Reading:
        """A reading, once idle connections have had the time to close."""
        time.sleep(6)
        pids = self.whole.pids + self.events.pids
        made = Reading(
            (time.monotonic() - began) / 60,
            self.whole.memory + self.events.memory,
            descriptors(pids),
            p50,
            self.errors,
        )
        self.readings.append(made)
        print(
            f"{made.minute:7.1f} min  {made.memory / 2**20:7.1f} MiB  {made.descriptors:4d} descriptors  "
            f"p50 {made.p50 * 1000:.2f} ms  {made.errors} errors",
            flush=True,
        )
        return made

    def grown(self) -> list[str]:
        """What is worse in the last third than in the first."""
        third = max(1, len(self.readings) // 3)
        first, last = self.readings[:third], self.readings[-third:]

        def middle(name: str) -> tuple[float, float]:
            return (
                statistics.median(getattr(each, name) for each in first),
                statistics.median(getattr(each, name) for each in last),
            )

        said = []
        before, after = middle("memory")
        if after - before > MEMORY:
            said.append(f"memory grew by {(after - before) / 2**20:.1f} MiB")
        before, after = middle("descriptors")
        if after - before > DESCRIPTORS:
            said.append(f"descriptors grew from {before:.0f} to {after:.0f}")
        before, after = middle("p50")
        if after > DELAY * before:
            said.append(f"the delay grew from {before * 1000:.2f} to {after * 1000:.2f} ms")
        if self.errors:
            said.append(f"{self.errors} requests failed")
        return said


def main() -> int:
    """Runs for as long as it is told."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="aigate-soak-") as folder,
        Stub(Path(folder) / "stub") as stub,
        Gate(stub, PLAIN) as whole,
        Gate(stub, EVENTS) as events,
    ):
        soak = Soak(whole, events)
        soak.lap()  # what is allocated once is no growth
        began = time.monotonic()
        while time.monotonic() - began < given.minutes * 60 or len(soak.readings) < 3:
            soak.read(began, soak.lap())
        grown = soak.grown()
    for each in grown:
        print(each)
    print("flat" if not grown else "not flat")
    return bool(grown)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())

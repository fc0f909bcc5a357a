"""Interleaved rounds: A B C A B C, so that a busy minute of the machine falls on everybody."""

import statistics
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from attrs import asdict, define, field

from bench.cases import CASES, Case
from bench.machine import cpu
from bench.peers import PEERS, Peer
from bench.stub import Stub


@define
class Round:
    """One peer's turn. `cost` is CPU seconds of the whole stack for each unit of work."""

    cost: float
    rate: float
    """Units a second."""
    p50: float
    p99: float
    errors: int
    busy: float
    """The share of a core that the stack used."""
    memory: int
    """Bytes (PSS): the most while it ran where the case asks for it, else after it."""
    more: dict[str, float] = field(factory=dict)


@define
class Result:
    """All turns of one peer at one case."""

    case: str
    peer: str
    unit: str
    idle: int
    """Bytes (PSS) before the first turn."""
    start: float
    """Seconds from the command to its port."""
    rounds: list[Round] = field(factory=list)

    def middle(self, name: str) -> float:
        """The median of a figure over the rounds."""
        return statistics.median(getattr(each, name) for each in self.rounds)

    def spread(self, name: str) -> tuple[float, float]:
        """The least and the most of it."""
        values = [getattr(each, name) for each in self.rounds]
        return min(values), max(values)


class _Memory(threading.Thread):
    """Reads the memory of a stack twice a second and keeps the most."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(daemon=True)
        self._peer = peer
        self._done = threading.Event()
        self.most = 0

    def run(self) -> None:
        while not self._done.wait(0.5):
            self.most = max(self.most, self._peer.memory)

    def end(self) -> int:
        self._done.set()
        self.join()
        return self.most


def turn(case: Case, peer: Peer, seconds: float) -> Round:
    """One measurement."""
    watch = _Memory(peer) if case.slow else None
    if watch is not None:
        watch.start()
    before, began = cpu(peer.pids), time.monotonic()
    load = case.work(peer, seconds)
    used, took = cpu(peer.pids) - before, time.monotonic() - began
    memory = watch.end() if watch is not None else peer.memory
    count = max(load.count, 1)
    return Round(
        used / count, count / load.seconds, load.p50, load.p99, load.errors, used / took, memory, dict(load.more)
    )


def measure(cases: Iterable[str], peers: Sequence[str], rounds: int, seconds: float, stub: Stub) -> list[Result]:
    """Every case, each with its peers started together and taking turns."""
    results: list[Result] = []
    for name in cases:
        case = CASES[name]
        with ExitStack() as stack:
            running: list[tuple[Peer, Result]] = []
            for key in peers:
                kind = PEERS[key]
                if key not in case.peers:
                    continue
                if why := kind.missing():
                    print(f"  {kind.name} stays out: {why}", file=sys.stderr)
                    continue
                try:
                    peer = stack.enter_context(kind(stub, case.upstream))
                    time.sleep(0.3)
                    case.work(peer, 0.2 if not case.slow else 1)
                except Exception as error:
                    print(f"  {kind.name} stays out of {name}: {error}", file=sys.stderr)
                    continue
                running.append((peer, Result(name, key, case.unit, peer.memory, peer.started_in)))
            for number in range(rounds):
                order = running if number % 2 == 0 else running[::-1]
                for peer, result in order:
                    try:
                        made = turn(case, peer, seconds)
                    except Exception as error:
                        print(f"  {peer.name}: {name}: {error}", file=sys.stderr)
                        continue
                    result.rounds.append(made)
                    print(f"  {name} {number + 1}/{rounds} {peer.name}: {made.cost * 1e6:.1f} us", file=sys.stderr)
            results += [result for _, result in running if result.rounds]
    return results


def as_json(results: Iterable[Result]) -> list[dict[str, Any]]:
    """For `--json`."""
    return [asdict(result) for result in results]

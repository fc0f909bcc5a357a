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
from bench.peers import EVENTS, PEERS, Peer
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


class _Watch(threading.Thread):
    """Reads a stack's CPU and, where asked, its memory a few times a second."""

    def __init__(self, peer: Peer, memory: bool) -> None:
        super().__init__(daemon=True)
        self._peer = peer
        self._memory = memory
        self._done = threading.Event()
        self.used: list[tuple[float, float]] = []
        self.most = 0

    def run(self) -> None:
        while not self._done.wait(0.2):
            self.used.append((time.monotonic(), self._peer.cpu))
            if self._memory:
                self.most = max(self.most, self._peer.memory)

    def end(self) -> None:
        self._done.set()
        self.join()

    def at(self, moment: float) -> float:
        """CPU seconds used up to a moment, as the reading closest to it says."""
        return min(self.used, key=lambda reading: abs(reading[0] - moment))[1]


def turn(case: Case, peer: Peer, seconds: float) -> Round:
    """One measurement."""
    watch = _Watch(peer, case.slow)
    before, began = peer.cpu, time.monotonic()
    if case.upstream == EVENTS:
        watch.start()
    load = case.work(peer, seconds)
    used, took = peer.cpu - before, time.monotonic() - began
    more = dict(load.more)
    if case.upstream == EVENTS:
        watch.end()
        # What has its connections open before it begins says when it began.
        since = more.pop("began", began)
        used -= watch.at(since) - before if since > began else 0.0
        took -= since - began
    count = max(load.count, 1)
    memory = watch.most or peer.memory
    return Round(used / count, count / load.seconds, load.p50, load.p99, load.errors, used / took, memory, more)


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
                    if not case.slow:
                        case.work(peer, 0.2)
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


def from_json(saved: Iterable[dict[str, Any]]) -> list[Result]:
    """What `as_json` made."""
    return [Result(**{**each, "rounds": [Round(**one) for one in each["rounds"]]}) for each in saved]


def as_json(results: Iterable[Result]) -> list[dict[str, Any]]:
    """For `--json`."""
    return [asdict(result) for result in results]

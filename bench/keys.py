"""Keys in figures: what a check costs at 10 and at 100,000 keys, and what a reload does to streams.

Run as `python bench/keys.py [COUNT]`. A beat every millisecond stands for the streams: the longest silence between two
beats while the keys are read again is the stall. The last figures are from a change on record to its being enforced.
"""

import gc
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.internet.threads import deferToThreadPool

from edge.core.keyrecord import KeyRecord, NewKey
from edge.core.keys import Key
from edge.core.quantities import Limit
from edge.stores.exported import ExportedKeyStore
from edge.stores.keyring import Keyring
from edge.stores.sqlite import SqliteKeyRecord
from edge.testing import secret

LIMITS = (Limit(60, "requests", "minute"), Limit(100_000, "tokens", "day"))


def fill(folder: Path, count: int) -> list[bytes]:
    """A record of `count` keys, and the secrets of some."""
    record = SqliteKeyRecord(folder, {})
    shown = []
    with record.change("bench") as changes:
        for number in range(count):
            key_id = f"{number:08x}"
            key = Key(
                id=key_id,
                user=f"user{number % 997}",
                services=frozenset({"chat", "tts"}),
                models=("gemma*",),
                limits=LIMITS,
            )
            text = secret(key_id).encode()
            changes.add(NewKey(record=KeyRecord(key=key, created=1.0), secret=text))
            if number % max(1, count // 1000) == 0:
                shown.append(text)
    record.close()
    return shown


def prices(find: Any, kinds: dict[str, list[bytes]]) -> dict[str, float]:
    """Microseconds for a look-up of each kind: the best of many rounds, taken in turns, so that a busy moment hits all alike."""
    best = dict.fromkeys(kinds, float("inf"))
    for _ in range(40):
        for name, secrets in kinds.items():
            start = time.perf_counter()
            for each in secrets:
                find(each)
            best[name] = min(best[name], (time.perf_counter() - start) / len(secrets) * 1e6)
    return best


async def measure(reactor: Any, count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shown = fill(folder, count)
        size = (folder / "keys.runtime.jsonl").stat().st_size

        def in_thread(function: Any, *args: Any) -> Deferred[Any]:
            return deferToThreadPool(reactor, reactor.getThreadPool(), function, *args)

        gate = ExportedKeyStore(reactor, folder, {}, in_thread)
        start = time.perf_counter()
        gate.startService()
        print(f"{count} keys: export {size / 2**20:.1f} MiB, first reading {time.perf_counter() - start:.2f} s")
        foreign = [secret("ffffffff").encode() for _ in shown]
        damaged = [each[:-1] + b"x" for each in shown]
        plain = [os.urandom(16).hex().encode() for _ in shown]
        kinds = {"known": shown, "unknown": foreign, "foreign form": plain, "damaged": damaged}
        print("  " + ", ".join(f"{name} {cost:.2f} us" for name, cost in prices(gate.find, kinds).items()))
        beats: list[float] = []
        beat = LoopingCall(lambda: beats.append(time.perf_counter()))
        record, stalls, delays = SqliteKeyRecord(folder, {}), [], []
        gc.collect()
        gc.freeze()
        for _ in range(5):
            heard: Deferred[float] = Deferred()
            end = gate.subscribe(lambda _ids, heard=heard: heard.callback(time.perf_counter()))
            change = in_thread(
                lambda: Keyring(record, "bench").edit([record.get("00000003")], {"weight": 2 + len(delays)})
            )
            await change
            done = time.perf_counter()
            beats.clear()
            beat.start(0.001)
            delays.append(await heard - done)
            await deferLater(reactor, 0.5, lambda: None)
            beat.stop()
            end()
            stalls.append(max(after - before for before, after in pairwise(beats)))
        print(
            f"  reload: longest stall {max(stalls) * 1000:.1f} ms (median {median(stalls) * 1000:.1f}), change counts after {max(delays):.2f} s"
        )
        await gate.stopService()
        record.close()


async def main(reactor: Any) -> None:
    reactor.seconds = time.monotonic
    for count in (10, int(sys.argv[1]) if len(sys.argv) > 1 else 100_000):
        await measure(reactor, count)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)), (), _reactor=installed)

"""CPU time that watching costs a request: `python bench/observe.py [COUNT]`.

Every sink hears the same outcomes, by itself and all together, over real files in a temporary folder; threads included.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from timeit import repeat

from edge.assemble.watching import observed
from edge.config.schema import Config
from tests.observe.made import arrival, attempt, outcome


def main(count: int, ai: bool) -> None:
    """Prints microseconds of CPU, all threads, for each outcome and its attempt; `ai` for those that cost tokens."""
    about = {} if ai else {"units": {}, "model": None}
    heads = [arrival(b"/chat/api/v1/chat/completions", id=f"d41e{number:08x}") for number in range(1000)]
    outcomes = [outcome(head, seconds=0.01 + number / 500, **about) for number, head in enumerate(heads)]
    tries = [attempt("192.168.1.7", request=head.id) for head in heads]
    with TemporaryDirectory() as folder:
        watching = observed(Config(), Path(folder))
        watching.service.startService()
        best: dict[str, float] = {}
        for _ in range(3):
            all_began = time.process_time()
            for number in range(count):
                one = outcomes[number % 1000]
                for sink in watching.sinks:
                    sink(one)
                watching.attempts.attempt(tries[number % 1000])
                if number % 2500 == 0:
                    time.sleep(0.05)
            time.sleep(1.2)
            best["all, threads included"] = min(best.get("all, threads included", 1e9), time.process_time() - all_began)
            for index, sink in enumerate(watching.sinks):
                began = time.thread_time()
                for number in range(count):
                    sink(outcomes[number % 1000])
                name = f"sink {index} ({getattr(sink, '__qualname__', type(sink).__name__)}), caller's thread"
                best[name] = min(best.get(name, 1e9), time.thread_time() - began)
                time.sleep(1.0)
            began = time.thread_time()
            for number in range(count):
                watching.attempts.attempt(tries[number % 1000])
            best["attempt, caller's thread"] = min(
                best.get("attempt, caller's thread", 1e9), time.thread_time() - began
            )
            time.sleep(1.0)
        watching.service.stopService()
    yardstick = (
        min(repeat("sha256(key)", "from hashlib import sha256; key = bytes(54)", number=20_000, repeat=20)) / 20_000
    )
    print(
        f"{yardstick * 1e6:7.2f} us  one SHA-256 of 54 bytes, for scale: 0.45 us on the machine of the other figures when quiet"
    )
    for name, seconds in best.items():
        print(f"{seconds / count * 1e6:7.2f} us  {seconds / count / yardstick * 0.45:6.2f} at that scale  {name}")


if __name__ == "__main__":
    for ai in (False, True):
        print("AI requests with tokens and a model" if ai else "plain requests")
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, ai)

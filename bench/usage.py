"""The record of use of a busy year: `python bench/usage.py [REQUESTS]`, 10 million unless told otherwise.

Requests are spread over 400 days, 20 keys, 4 services and 3 models each; every hour's sums come in one batch with the hour's
requests one by one, of which the newest are kept. Prints the file's size, the memory that the process grew by, and how long
reports take.
"""

import random
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from edge.core.use import NAMES, QUARTER, Hardware, Price, report
from edge.stores.usage import FILE, Batch, UsageStore

NOW = 1_790_000_000.0
DAYS = 400
UNITS = '{"tokens":700,"prompt_tokens":500,"completion_tokens":200}'


def main(requests: int) -> None:
    """Fills a record and reports."""
    chance = random.Random(7)
    each = requests / (DAYS * 24 * 60)
    with TemporaryDirectory() as folder:
        clock = [NOW - DAYS * 86_400.0]
        store = UsageStore(Path(folder), ZoneInfo("Europe/Berlin"), now=lambda: clock[0])
        began, total = time.process_time(), 0.0
        memory = 0
        while clock[0] < NOW:
            quarter = int(clock[0] // QUARTER)
            rows = {}
            for number in range(60):
                count = max(1.0, chance.gauss(each, each / 4))
                total += count
                key, model = f"{number % 20:08x}", f"model{number // 20}"
                sums = {
                    "requests": count,
                    "seconds": count,
                    "prompt_tokens": 500 * count,
                    "completion_tokens": 200 * count,
                }
                mark = (quarter, key, f"user{number % 7}", f"service{number % 4}", model)
                rows[mark] = tuple(sums.get(name, 0.0) for name in NAMES)
            count = round(sum(sums[0] for sums in rows.values()))
            each_one = [
                (
                    clock[0] + number, f"6f0e9a52-7b1c-4d7e-9b3a-{number:012x}", f"{number % 20:08x}", f"user{number % 7}",
                    f"service{number % 4}", f"model{number % 3}", 200, "", "complete", 5120, 412, 1.5, 0.0, UNITS,
                )
                for number in range(count)
            ]  # fmt: skip
            store.add(Batch(rows, {f"service{n}": Hardware(1800.0, 3600.0) for n in range(4)}, {}, each_one))
            clock[0] += 3600
            if quarter % 8000 == 0:
                memory = memory or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
        spent = time.process_time() - began
        size = (Path(folder) / FILE).stat().st_size
        print(
            f"{total / 1e6:.1f} million requests: {size / 2**20:.0f} MiB, {grown / 1024:.0f} MiB of memory more, {spent:.0f} s"
        )
        for by in ("user", "key", "model", "day"):
            for days in (7, 44, 400):
                began = time.perf_counter()
                since = NOW - days * 86_400.0
                made = report(store.sums(by, since), store.hardware(since, None, by), {"*": Price(watts=300)}, 0.3)
                print(
                    f"{(time.perf_counter() - began) * 1000:7.1f} ms  --by {by} --since {days}d: {len(made.lines)} lines"
                )
        for only in ({}, {"user": "user3"}, {"user": "nobody"}):
            began = time.perf_counter()
            listed = store.newest(NOW - 400 * 86_400.0, None, 100, only)
            print(f"{(time.perf_counter() - began) * 1000:7.1f} ms  --requests {only}: {len(listed)} lines")
        store.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)

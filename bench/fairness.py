"""How fairly one GPU is shared: a simulation on the queue that the gate runs, beside first come, first served.

    python bench/fairness.py

Equal callers ask with unequal zeal: each keeps a number of requests open, from 1 to 256, and sends the next one ten
milliseconds after an answer. Jain's index of the seconds that each got on the hardware is 1 where all got the same and
1/n where one got everything. Then a person asks now and then beside a batch flood: how long does the person wait?
"""

import random
import sys
from collections import Counter, deque
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edge.core.fairness import FairQueue

ROUND_TRIP = 0.01


class FirstCome:
    """What most gates have: one line for all."""

    def __init__(self):
        self.line = deque()

    def enter(self, item, caller, weight=1.0, batch=False):
        self.line.append(item)

    def next(self):
        return self.line.popleft() if self.line else None

    def done(self, item, seconds):
        pass


def simulate(queue, callers, seconds, places=1, seed=1):
    """Run a queue for simulated seconds. `callers` are {name: (open requests, pause between, batch)}.

    Returns (Counter of seconds on the hardware by caller, list of (caller, wait, longest job that ran meanwhile)).
    """
    chance, numbers, events = random.Random(seed), count(), []
    for name, (wanted, _, _) in callers.items():
        for _ in range(wanted):
            heappush(events, (chance.random() * ROUND_TRIP, next(numbers), "ask", name))
    got, waits, asked, free, now = Counter(), [], {}, places, 0.0
    running = {}
    while events and now < seconds:
        now, _, what, who = heappop(events)
        if what == "ask":
            item = (who, next(numbers))
            asked[item] = now
            queue.enter(item, who, batch=callers[who][2])
        else:
            free += 1
            spent = running.pop(who)
            queue.done(who, spent)
            got[who[0]] += spent
            heappush(events, (now + max(ROUND_TRIP, callers[who[0]][1]), next(numbers), "ask", who[0]))
        while free and (item := queue.next()) is not None:
            free -= 1
            waits.append((item[0], now - asked.pop(item), max(running.values(), default=0.0)))
            running[item] = chance.choice((0.5, 1.0, 2.0, 4.0))
            heappush(events, (now + running[item], next(numbers), "done", item))
    return got, waits


def jain(shares):
    """Jain's index of shares: 1 for equal ones, 1/n where one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


ZEAL = {f"caller with {wanted} open": (wanted, 0.0, False) for wanted in (1, 4, 16, 64, 256)}
FLOOD = {"batch": (200, 0.0, True), "person": (1, 7.0, False)}
LONGEST_JOB = 4.0


def main():
    for name, queue in (("first come, first served", FirstCome()), ("fair queue", FairQueue())):
        got, _ = simulate(queue, ZEAL, 20_000)
        print(f"{name}: Jain's index {jain([got[caller] for caller in ZEAL]):.4f}")
        for caller in ZEAL:
            print(f"    {caller:22} {got[caller] / sum(got.values()):6.1%} of the hardware")
    for name, queue in (("first come, first served", FirstCome()), ("fair queue", FairQueue())):
        _, waits = simulate(queue, FLOOD, 20_000)
        mine = sorted(wait for caller, wait, _ in waits if caller == "person")
        if not mine:
            print(f"{name}: the person was never served")
            continue
        middle, worst = mine[len(mine) // 2], mine[-1]
        print(f"{name}: a person waits {middle:.2f} s, {worst:.2f} s at worst; the longest job takes {LONGEST_JOB} s")


if __name__ == "__main__":
    main()

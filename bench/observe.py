"""CPU time that watching costs a request: `python bench/observe.py [ROUNDS]`.

The sinks of a gate as it comes (access log, metrics, record of use) and its audit log hear of the requests of a second,
over real files in a temporary folder. First each by itself, what it does on a request's path and what it does later; then all,
in their own threads, which are counted. Each figure is the least of many rounds, taken in turn: a busy machine only adds.
"""

import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.task import Clock

from edge.assemble.watching import Observed, observed
from edge.config.schema import Config
from edge.core.attempts import Attempt
from edge.core.batch import Batch, Block
from edge.core.exchange import Outcome, Session
from edge.core.headers import Fields
from edge.observe.later import SLICE, Taker
from tests.observe.made import ANSWER, FIELDS, arrival, attempt, outcome

SECOND = 1000
"""Requests between two writings of the record of use, which come every second."""
CONNECTIONS = 32
Work = Callable[[], object]


def requests(ai: bool) -> tuple[list[Outcome], list[Attempt]]:
    """What one second brings; `ai` for requests that cost tokens."""
    about = {} if ai else {"units": {}, "model": None, "queued": 0.0}
    tls = Session(772, 0x1301, True, "h2", b"gate.lan")
    # What comes again on a kept connection are the same fields.
    kept = [Fields(FIELDS) for _ in range(CONNECTIONS)]
    heads = [
        arrival(
            b"/chat/api/v1/chat/completions",
            id=f"6f0e9a52-7b1c-4d7e-9b3a-{number:012x}",
            tls=tls,
            fields=kept[number % CONNECTIONS],
        )
        for number in range(SECOND)
    ]
    # So does the head of a service's answer.
    said = Block(ANSWER)
    made = [
        outcome(head, seconds=0.01 + number / 500, answer=Batch(said, ()), length=512, **about)
        for number, head in enumerate(heads)
    ]
    return made, [attempt("192.168.1.7", request=head.id) for head in heads]


def parts(watching: Observed, made: list[Outcome], tries: list[Attempt]) -> dict[str, Work]:
    """What is measured by itself, by name."""
    (later,) = watching.sinks
    using, audit = watching.using, watching.audit
    access, metrics, use = [in_slices(take, made) for take in later.takers]
    (lines,) = (log for log in watching.logs if log.path.stem == "access")
    return {
        "on the request's path: outcome": lambda: [later(one) for one in made],
        "  told later": later.finish,
        "on the request's path: attempt": lambda: [watching.attempts.attempt(one) for one in tries],
        "later: access line": access,
        "  its line written": lines.flush,
        "later: metrics": metrics,
        "later: record of use": use,
        "  its sums and rows written": using.flush,
        "later: audit log": audit.flush,
        "one SHA-256 of 54 bytes, for scale": lambda: [sha256(_NOTHING) for _ in made],
    }


_NOTHING = bytes(54)


def in_slices(take: Taker, made: list[Outcome]) -> Work:
    """A taker's work, as `Later` has it done."""
    slices = [made[start : start + SLICE] for start in range(0, len(made), SLICE)]
    return lambda: [take(iter(each)) for each in slices]


def main(rounds: int, ai: bool) -> None:
    """Prints microseconds of CPU a request."""
    made, tries = requests(ai)
    best: dict[str, float] = {}

    def note(name: str, began: float) -> None:
        best[name] = min(best.get(name, 1e9), time.process_time() - began)

    with TemporaryDirectory() as folder:
        clock = Clock()
        watching = observed(clock, Config(), Path(folder))
        for _ in range(rounds):
            for name, work in parts(watching, made, tries).items():
                began = time.process_time()
                work()
                note(name, began)
                if name == "  told later":
                    # What follows is told again by itself, and should be written once.
                    for worker in watching.service.workers:
                        worker.work()
        (later,) = watching.sinks
        watching.service.startService()
        for _ in range(max(3, rounds // 6)):
            began = time.process_time()
            for start in range(0, SECOND, 20):
                for one, asked in zip(made[start : start + 20], tries[start : start + 20], strict=True):
                    watching.attempts.attempt(asked)
                    later(one)
                clock.advance(0.02)
                time.sleep(0.019)
            note("ALL, with the threads that write, for a second", began)
        watching.service.stopService()
        for _ in range(max(3, rounds // 6)):
            began = time.process_time()
            for _ in range(0, SECOND, 20):
                time.sleep(0.019)
            note("  of which the clock of this bench", began)
    for name, seconds in best.items():
        print(f"{seconds / SECOND * 1e6:7.2f} us  {name}")


if __name__ == "__main__":
    for ai in (False, True):
        print("AI requests with tokens and a model" if ai else "plain requests")
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 30, ai)

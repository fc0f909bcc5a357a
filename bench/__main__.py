"""`python -m bench`: the gate and its peers on the same work; tables on standard output."""

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

from bench import venv
from bench.cases import CASES
from bench.peers import PEERS, Gate, OtherGate
from bench.report import chart, table
from bench.rounds import as_json, from_json, measure
from bench.stub import Stub


def main() -> int:
    """Reads the command line, measures, reports."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES), help=f"some of {', '.join(CASES)}")
    parser.add_argument("--peers", default="gate,nginx,caddy,flask,aiohttp,fastapi,litellm", help=", ".join(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load in each round")
    parser.add_argument("--against", type=Path, help="another checkout of the gate, which takes part as `other`")
    parser.add_argument("--python", help="the interpreter of the gate, of this one's version")
    parser.add_argument("--json", action="store_true", help="figures of every round instead of tables")
    parser.add_argument("--save", type=Path, help="writes those figures to a file as well")
    parser.add_argument("--read", type=Path, action="append", help="measures nothing: shows saved figures")
    parser.add_argument("--chart", type=Path, help="writes an SVG")
    parser.add_argument("--install", action="store_true", help="installs the peers that come from PyPI")
    given = parser.parse_args()
    if given.install:
        venv.install()
    if given.python:
        Gate.python = given.python
    cases, peers = given.cases.split(","), given.peers.split(",")
    if given.against is not None:
        OtherGate.tree = given.against.resolve()
        peers = [*peers, *(["other"] if "other" not in peers else [])]
    for name, known in [*((case, CASES) for case in cases), *((peer, PEERS) for peer in peers)]:
        if name not in known:
            parser.error(f"{name} is none of {', '.join(known)}")
    if given.read:
        read = [each for file in given.read for each in from_json(json.loads(file.read_text()))]
        results = [each for each in read if each.case in cases]
    else:
        with tempfile.TemporaryDirectory(prefix="aigate-bench-") as folder, Stub(Path(folder) / "stub") as stub:
            results = measure(cases, peers, given.rounds, given.seconds, stub)
    if given.save is not None:
        given.save.write_text(json.dumps(as_json(results), indent=1))
    if given.json:
        json.dump(as_json(results), sys.stdout, indent=1)
    else:
        print(table(results))
    if given.chart is not None:
        given.chart.write_text(chart(results, cases, "CPU of the whole stack for each unit of work"))
    return 0


if __name__ == "__main__":
    # What it started is in groups of its own, so that only an orderly end takes it along.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())

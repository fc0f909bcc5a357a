"""Two gates that share their limits through a real Redis, which is stopped and started under them."""

from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live.gate import Gate, until

pytestmark = pytest.mark.live


def gate_at(folder: Path, redis: Any, failure: str) -> Gate:
    folder.mkdir()
    more = (
        '[limits]\nengine = "redis"\nrequests = "10/day"\ntimezone = "UTC"\n'
        f'[limits.redis]\nurl = "unix://{redis.path}"\non_failure = "{failure}"\ntimeout = "500ms"\n'
    )
    return Gate(folder, {"chat": {"plugin": "demo"}}, more)


def ask(gate: Gate, times: int) -> Counter[int]:
    with httpx.Client(verify=gate.context(), headers={"X-API-Key": gate.key}) as client:
        return Counter(client.get(f"{gate.url}/chat/api/v1/models").status_code for _ in range(times))


def test_two_gates_pass_as_many_together_as_one_would(tmp_path: Path, redis: Any) -> None:
    server = redis()
    with gate_at(tmp_path / "a", server, "closed") as first:
        assert ask(first, 6) == {200: 6}
        # The same key at the second gate: its store is the first one's.
        (tmp_path / "b").mkdir()
        second = gate_at(tmp_path / "c", server, "closed")
        second.data.mkdir(mode=0o700)
        for name in ("keys.sqlite", "keys.runtime.jsonl", "pepper", "first-key.header"):
            (second.data / name).write_bytes((first.data / name).read_bytes())
            (second.data / name).chmod(0o600)
        with second:
            assert second.key == first.key
            assert ask(second, 6) == {200: 4, 429: 2}
        assert ask(first, 1) == {429: 1}


def test_closed_refuses_while_redis_is_away_and_is_well_again_by_itself(tmp_path: Path, redis: Any) -> None:
    server = redis()
    with gate_at(tmp_path / "a", server, "closed") as gate:
        assert ask(gate, 1) == {200: 1}
        server.stop()
        assert until(lambda: ask(gate, 1) == {503: 1}, 10)
        server.start()
        assert until(lambda: ask(gate, 1) == {200: 1}, 15)
        assert gate.key not in gate.log()


def test_local_counts_on_alone_and_says_so(tmp_path: Path, redis: Any) -> None:
    server = redis()
    with gate_at(tmp_path / "a", server, "local") as gate:
        assert ask(gate, 1) == {200: 1}
        server.stop()
        assert until(lambda: "counting alone" in (ask(gate, 1) and gate.log()), 5)
        told = ask(gate, 12)
        assert told[429] >= 2
        assert told[503] == 0

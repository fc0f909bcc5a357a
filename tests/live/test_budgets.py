"""Budgets over a restart, a drain and a crash, with the gate as a process; and two gates that share a Redis."""

import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import pytest

from tests.live.gate import Gate, until
from tests.live.upstream import Upstream

pytestmark = pytest.mark.live
CHAT = "/chat/api/v1/chat/completions"
UTC = '[limits]\ntimezone = "UTC"\n'


def services(upstream: Upstream) -> dict[str, dict[str, Any]]:
    return {
        "chat": {"plugin": "openai", "route": "/chat/api", "upstreams": [upstream.url], "concurrency": 1},
        "free": {"plugin": "http", "route": "/free/api", "upstreams": [upstream.url]},
    }


def known(gate: Gate, *rules: str) -> dict[str, str]:
    headers = {"X-API-Key": gate.make_key("--service", "*", *rules)["key"]}
    return knows(gate, headers)


def knows(gate: Gate, headers: dict[str, str]) -> dict[str, str]:
    with httpx.Client(verify=gate.context(), headers=headers) as client:
        assert until(lambda: client.get(f"{gate.url}/status").status_code == 200, 10)
    return headers


def client(gate: Gate, headers: dict[str, str]) -> httpx.Client:
    return httpx.Client(verify=gate.context(), headers=headers, base_url=gate.url, timeout=30)


def ask(**more: Any) -> dict[str, Any]:
    return {"model": "gemma3", "messages": [], "max_tokens": 20, **more}


def left(gate: Gate, headers: dict[str, str]) -> int:
    """Tokens that the budget of 200 a day leaves, by what an answer's head says once one more is reserved."""
    with client(gate, headers) as asking:
        answer = asking.post(CHAT, json=ask(max_tokens=1, tokens=11))
    return int(answer.headers["x-ratelimit-remaining-tokens"])


def test_a_budget_survives_a_drain_that_still_spends_it(upstream: Upstream, tmp_path: Path) -> None:
    with Gate(tmp_path, services(upstream), UTC) as gate:
        headers = known(gate, "--user", "a", "--limit", "1000 tokens/day")
        told: list[int] = []

        def slow() -> None:
            with client(gate, headers) as asking:
                told.append(asking.post(CHAT, json=ask(seconds=1.5, tokens=400)).status_code)

        before = upstream.working
        asking = threading.Thread(target=slow)
        asking.start()
        assert until(lambda: upstream.working > before)
        assert gate.stop() == 0
        asking.join()
        assert told == [200]
        gate.start()
        knows(gate, headers)
        assert 400 < 1000 - left(gate, headers) < 500


def test_a_crash_gives_nobody_a_second_budget(upstream: Upstream, tmp_path: Path) -> None:
    with Gate(tmp_path, services(upstream), UTC) as gate:
        headers = known(gate, "--user", "a", "--limit", "5/day")
        with client(gate, headers) as asking:
            spent = Counter(asking.get("/free/api/x").status_code for _ in range(9))
        assert spent == {200: 5, 429: 4}
        # What is written within a second is what a crash may not lose.
        assert until(lambda: (tmp_path / "data" / "limits.sqlite-wal").stat().st_size > 0, 2)
        threading.Event().wait(1.0)
        gate.stop(signal.SIGKILL)
        gate.start()
        knows(gate, headers)
        with client(gate, headers) as asking:
            refused = asking.get("/free/api/x")
        assert refused.status_code == 429 and refused.headers["x-aigate-reason"] == "budget-spent"
        assert refused.headers["x-should-retry"] == "false"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    server = which("redis-server") or which("valkey-server")
    if server is None:
        pytest.skip("redis-server is missing: make test-deps")
    path = tmp_path / "r.sock"
    running = subprocess.Popen([server, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)])
    assert until(path.exists)
    yield f"unix://{path}"
    running.kill()
    running.wait()


def test_two_gates_share_limits_and_hardware_through_redis(upstream: Upstream, tmp_path: Path, redis: str) -> None:
    more = f'[limits]\ntimezone = "UTC"\nengine = "redis"\nredis = {{ url = "{redis}" }}\ngate = ["30/day"]\n'
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with (
        Gate(tmp_path / "one", services(upstream), more) as one,
        Gate(tmp_path / "two", services(upstream), more) as two,
    ):
        keys = [(gate, known(gate, "--user", "a")) for gate in (one, two)]
        upstream.busiest = 0
        answers: list[int] = []

        def work(gate: Gate, headers: dict[str, str]) -> None:
            with client(gate, headers) as asking:
                answers.extend(asking.post(CHAT, json=ask(seconds=0.1)).status_code for _ in range(4))
                answers.extend(asking.get("/free/api/x").status_code for _ in range(20))

        threads = [threading.Thread(target=work, args=pair) for pair in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Counter(answers) == {200: 30, 429: 18}
        assert upstream.busiest == 1

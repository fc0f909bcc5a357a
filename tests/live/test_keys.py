"""Keys against the running gate: what is changed counts within a second, for what is open too."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from edge.cli import main
from tests.live.gate import Gate

pytestmark = pytest.mark.live


@pytest.fixture
def keys(gate: Gate, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str) -> Any:
        assert main(["keys", *words, "--json", "--data", str(gate.data), "--config", str(gate.config)]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def client(gate: Gate) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gate.url, verify=gate.context(), timeout=20) as made:
        yield made


def with_key(made: Any) -> dict[str, str]:
    return {"X-API-Key": made["key"]}


def soon(true: Any, seconds: float = 3.0) -> float:
    """The seconds until `true()`."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < seconds
        time.sleep(0.02)
    return time.monotonic() - start


def status(client: httpx.Client, made: Any) -> tuple[int, str]:
    answer = client.get("/status", headers=with_key(made))
    return answer.status_code, answer.headers.get("x-aigate-reason", "")


def test_a_new_key_works_and_a_disabled_one_ends_within_a_second(client: httpx.Client, keys: Any) -> None:
    made = keys("create", "--user", "alice", "--service", "any")
    assert soon(lambda: status(client, made)[0] == 200) < 2
    keys("disable", made["id"])
    assert soon(lambda: status(client, made) == (401, "disabled-key")) < 2
    keys("delete", made["id"])
    assert soon(lambda: status(client, made) == (401, "unknown-key")) < 2


class Listener(threading.Thread):
    """Somebody who listens to a stream of events until it ends or breaks."""

    def __init__(self, gate: Gate, made: Any) -> None:
        super().__init__()
        self.gate, self.made = gate, made
        self.begun, self.broken, self.events = threading.Event(), False, 0

    def run(self) -> None:
        url = f"{self.gate.url}/any/api/events?n=160&every=0.05"
        try:
            with httpx.stream(
                "GET", url, headers=with_key(self.made), verify=self.gate.context(), timeout=20
            ) as answer:
                for line in answer.iter_lines():
                    self.events += line.startswith("data")
                    self.begun.set()
        except httpx.HTTPError:
            self.broken = True


def test_a_revoked_keys_stream_ends_and_others_go_on(gate: Gate, client: httpx.Client, keys: Any) -> None:
    made = [keys("create", "--user", user, "--service", "any") for user in ("alice", "bob", "carol")]
    for each in made:
        soon(lambda each=each: status(client, each)[0] == 200)
    revoked, changed, expiring = listeners = [Listener(gate, each) for each in made]
    for each in listeners:
        each.start()
        assert each.begun.wait(10)
    keys("edit", made[1]["id"], "--service", "chat")
    keys("expire", made[2]["id"], "--at", "1s")
    keys("disable", made[0]["id"])
    start = time.monotonic()
    revoked.join(5)
    expiring.join(5)
    assert time.monotonic() - start < 3.5
    assert revoked.broken
    assert expiring.broken
    soon(lambda: status(client, made[1])[0] == 200)
    assert changed.is_alive()
    changed.join(15)
    assert (changed.broken, changed.events) == (False, 160)


def test_a_key_fetches_its_successor_once_and_is_told_when_it_ends(client: httpx.Client, keys: Any) -> None:
    made = keys("create", "--user", "robot", "--service", "any", "--rotate-every", "90d")
    soon(lambda: status(client, made)[0] == 200)
    early = client.post("/rotate", headers=with_key(made))
    assert (early.status_code, early.headers["x-aigate-reason"]) == (403, "path-not-allowed")
    assert "x-aigate-key-expires" not in client.get("/any/api/", headers=with_key(made)).headers
    keys("expire", made["id"], "--at", "5d")
    soon(lambda: "x-aigate-key-expires" in client.get("/any/api/", headers=with_key(made)).headers)
    fetched = client.post("/rotate", headers=with_key(made))
    assert fetched.status_code == 201, fetched.text
    assert fetched.headers["cache-control"] == "no-store"
    successor = fetched.json()
    assert successor["replaces"] == made["id"]
    assert (successor["user"], successor["services"]) == ("robot", ["any"])
    soon(lambda: status(client, successor)[0] == 200)
    assert status(client, made)[0] == 200
    again = client.post("/rotate", headers=with_key(made))
    assert (again.status_code, again.headers["x-aigate-reason"]) == (403, "path-not-allowed")
    assert client.get("/rotate", headers=with_key(made)).status_code == 405
    (entry,) = [line for line in keys("history", successor["id"]) if line["action"] == "rotated"]
    assert entry["by"] == f"key:{made['id']}"


def test_a_key_that_was_not_made_to_rotate_does_not(client: httpx.Client, keys: Any) -> None:
    made = keys("create", "--user", "alice", "--service", "any", "--expires", "1d")
    soon(lambda: status(client, made)[0] == 200)
    assert client.post("/rotate", headers=with_key(made)).status_code == 403
    assert client.post("/rotate").status_code == 401

"""Limits, budgets, models and the queue, with parallel real clients against the running gate."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
import pytest

from tests.live.gate import Gate, until
from tests.live.upstream import Upstream

pytestmark = pytest.mark.live
CHAT = "/chat/api/v1/chat/completions"


@pytest.fixture(scope="module")
def gate(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    services: dict[str, dict[str, Any]] = {
        "chat": {
            "plugin": "openai",
            "route": "/chat/api",
            "upstreams": [upstream.url],
            "concurrency": 1,
            "queue": {"length": 10, "wait": "20s", "keepalive": "500ms"},
        },
        "free": {"plugin": "http", "route": "/free/api", "upstreams": [upstream.url]},
    }
    with Gate(tmp_path_factory.mktemp("gate"), services, '[limits]\ntimezone = "UTC"\n') as running:
        yield running


def key(gate: Gate, *rules: str) -> dict[str, str]:
    made = gate.make_key("--service", "*", *rules)
    # The gate takes a new key up within a second.
    with httpx.Client(verify=gate.context(), headers={"X-API-Key": made["key"]}) as client:
        assert until(lambda: client.get(f"{gate.url}/status").status_code == 200, 10)
    return {"X-API-Key": made["key"]}


def ask(**more: Any) -> dict[str, Any]:
    return {"model": "gemma3", "messages": [], "max_tokens": 20, **more}


Told = list[tuple[int, dict[str, str]]]


async def _over_http1(gate: Gate, headers: dict[str, str]) -> Told:
    connector = aiohttp.TCPConnector(ssl=gate.context(), limit=100)

    async def one(session: aiohttp.ClientSession) -> tuple[int, dict[str, str]]:
        async with session.get(f"{gate.url}/free/api/x") as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}

    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        return list(await asyncio.gather(*(one(session) for _ in range(1000))))


async def _over_http2(gate: Gate, headers: dict[str, str]) -> Told:
    limits = httpx.Limits(max_connections=20)
    async with httpx.AsyncClient(verify=gate.context(), headers=headers, http2=True, limits=limits) as client:
        answers = await asyncio.gather(*(client.get(f"{gate.url}/free/api/x", timeout=100) for _ in range(1000)))
    return [(answer.status_code, dict(answer.headers)) for answer in answers]


@pytest.mark.parametrize("ask_all", [_over_http1, _over_http2])
def test_of_a_thousand_at_one_instant_exactly_the_limit_passes(gate: Gate, ask_all: Any) -> None:
    told: Told = asyncio.run(ask_all(gate, key(gate, "--user", ask_all.__name__, "--limit", "100/day")))
    assert Counter(status for status, _ in told) == {200: 100, 429: 900}
    passed = next(headers for status, headers in told if status == 200)
    refused = next(headers for status, headers in told if status == 429)
    assert passed["x-ratelimit-limit-requests"] == "100"
    assert refused["x-aigate-reason"] in ("rate-limited", "budget-spent")
    assert int(refused["retry-after"]) >= 1


def test_a_budget_of_tokens_is_reserved_then_settled_and_cannot_be_overspent(gate: Gate, upstream: Upstream) -> None:
    headers = key(gate, "--user", "budget", "--limit", "200 tokens/day")
    with httpx.Client(verify=gate.context(), headers=headers, base_url=gate.url) as client:
        # 50 each: 40 more may be reserved beside what was settled, until 200 are spent.
        told = [client.post(CHAT, json=ask(stream=stream)).status_code for stream in (True, False, True, False, True)]
        assert told[:3] == [200, 200, 200]
        refused = client.post(CHAT, json=ask())
        assert refused.status_code == 429
        assert refused.headers["x-aigate-reason"] == "budget-spent"
        assert refused.headers["x-should-retry"] == "false"
        left = client.get("/status").json()["limits"]["chat"]
        assert any(one["limit"] == "200 tokens/day" for one in left)


def test_a_model_rule_holds_in_body_and_list(gate: Gate) -> None:
    headers = key(gate, "--user", "model", "--model", "gemma*")
    with httpx.Client(verify=gate.context(), headers=headers, base_url=gate.url) as client:
        allowed = client.post(CHAT, json=ask())
        assert (allowed.status_code, allowed.headers["x-aigate-model"]) == (200, "gemma3")
        assert client.post(CHAT, json=ask(model="llama3")).headers["x-aigate-reason"] == "model-not-allowed"
        doubled = '{"model": "gemma3", "model": "llama3", "messages": []}'
        answer = client.post(CHAT, content=doubled, headers={"Content-Type": "application/json"})
        assert answer.headers["x-aigate-reason"] == "ambiguous-body"
        listed = client.get("/chat/api/v1/models").json()["data"]
        assert [model["id"] for model in listed] == ["gemma3", "gemma3:1b"]


def test_one_at_a_time_reaches_the_hardware_and_a_greedy_user_waits_with_the_others(
    gate: Gate, upstream: Upstream
) -> None:
    greedy, modest = key(gate, "--user", "greedy"), key(gate, "--user", "modest")
    upstream.busiest, upstream.order[:] = 0, []

    async def all_at_once() -> list[int]:
        async with httpx.AsyncClient(verify=gate.context(), base_url=gate.url, timeout=60) as client:

            def post(headers: dict[str, str], name: str) -> Any:
                return client.post(CHAT, headers=headers, json=ask(seconds=0.2, name=name))

            jobs = [asyncio.create_task(post(greedy, "greedy")) for _ in range(6)]
            await asyncio.sleep(0.15)
            jobs.append(asyncio.create_task(post(modest, "modest")))
            return [(await job).status_code for job in jobs]

    assert asyncio.run(all_at_once()) == [200] * 7
    assert upstream.busiest == 1
    # The modest one came last and is served after one more of the greedy one's, at most two.
    assert upstream.order.index("modest") <= 2


def test_a_stream_that_waits_is_kept_alive_and_then_told_its_answer(gate: Gate) -> None:
    headers = key(gate, "--user", "patient")

    async def both() -> tuple[str, str]:
        async with httpx.AsyncClient(verify=gate.context(), base_url=gate.url, headers=headers, timeout=60) as client:
            first = asyncio.create_task(client.post(CHAT, json=ask(seconds=2.5)))
            await asyncio.sleep(0.3)
            second = await client.post(CHAT, json=ask(stream=True))
            assert (await first).status_code == 200
            return second.headers["content-type"], second.text

    kind, text = asyncio.run(both())
    assert kind == "text/event-stream"
    assert text.startswith(": waiting\n\n")
    assert text.count(": waiting") >= 2
    assert text.rstrip().endswith("data: [DONE]")


def test_a_client_that_leaves_the_queue_never_reaches_the_service(gate: Gate, upstream: Upstream) -> None:
    headers = key(gate, "--user", "leaver")
    before = upstream.seen["/v1/chat/completions"]

    async def leave() -> None:
        async with httpx.AsyncClient(verify=gate.context(), base_url=gate.url, headers=headers, timeout=60) as client:
            first = asyncio.create_task(client.post(CHAT, json=ask(seconds=1)))
            await asyncio.sleep(0.3)
            second = asyncio.create_task(client.post(CHAT, json=ask()))
            await asyncio.sleep(0.2)
            waiting = (await client.get("/status")).json()["waiting"]
            assert [one["position"] for one in waiting] == [1]
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
            assert (await first).status_code == 200
            assert (await client.get("/status")).json()["waiting"] == []

    asyncio.run(leave())
    assert upstream.seen["/v1/chat/completions"] == before + 1


def test_a_full_queue_is_503_with_a_time_to_come_back(gate: Gate) -> None:
    headers = key(gate, "--user", "crowd")

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(verify=gate.context(), base_url=gate.url, headers=headers, timeout=60) as client:
            return await asyncio.gather(*(client.post(CHAT, json=ask(seconds=0.1)) for _ in range(20)))

    answers = asyncio.run(all_at_once())
    told = Counter(answer.status_code for answer in answers)
    assert told[200] == 11
    assert told[503] == 9
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["x-aigate-reason"] == "queue-full"
    assert refused.headers["retry-after"]


def test_a_revoked_key_loses_its_open_stream_within_a_second(gate: Gate) -> None:
    made = json.loads(gate.aigate("keys", "create", "--json", "--service", "*", "--user", "gone").stdout)
    with httpx.Client(verify=gate.context(), headers={"X-API-Key": made["key"]}, base_url=gate.url) as client:
        assert until(lambda: client.get("/status").status_code == 200, 10)
        with pytest.raises(httpx.HTTPError), client.stream("GET", "/free/api/events?n=200&every=0.05") as answer:
            for number, _ in enumerate(answer.iter_raw()):
                if number == 3:
                    assert gate.aigate("keys", "disable", made["id"]).returncode == 0
        assert client.get("/status").headers["x-aigate-reason"] == "disabled-key"


def test_a_key_in_its_last_days_says_so_and_fetches_its_successor_once(gate: Gate) -> None:
    headers = key(gate, "--user", "rotator", "--rotate-every", "60d", "--expires", "1d")
    with httpx.Client(verify=gate.context(), headers=headers, base_url=gate.url) as client:
        assert client.get("/status").headers["x-aigate-key-expires"]
        made = client.post("/rotate")
        assert made.status_code == 201, made.text
        assert made.json()["replaces"]
        assert client.post("/rotate").status_code == 403
        successor = {"X-API-Key": made.json()["key"]}
        assert until(lambda: client.get("/status", headers=successor).status_code == 200, 10)
        assert made.json()["key"] not in gate.log()

"""A server that answers at once and draws later, as ComfyUI does: its place is held until the job has ended."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from tests.live.gate import Gate

pytestmark = pytest.mark.live
SECONDS = 1.5


class Comfy:
    """POST /prompt takes a job, GET /queue tells what is left; one job is drawn at a time, each for SECONDS.

    One with a `password` answers nobody without it.
    """

    def __init__(self, password: str = "") -> None:
        self.password = password
        self.pending: list[str] = []
        self.most = self.taken = self.port = 0
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)

    def __enter__(self) -> "Comfy":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    async def _run(self) -> None:
        app = web.Application(middlewares=[self._locked])
        app.router.add_post("/prompt", self._prompt)
        app.router.add_get("/queue", self._queue)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    @web.middleware
    async def _locked(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("X-Password", "") != self.password:
            return web.Response(status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _prompt(self, request: web.Request) -> web.Response:
        self.taken += 1
        job = f"job{self.taken}"
        self.pending.append(job)
        self.most = max(self.most, len(self.pending))
        self._loop.call_later(SECONDS, self.pending.remove, job)
        return web.json_response({"prompt_id": job, "number": self.taken, "node_errors": {}})

    async def _queue(self, request: web.Request) -> web.Response:
        entries = [[number, job, {"3": {}}] for number, job in enumerate(self.pending)]
        return web.json_response({"queue_running": entries[:1], "queue_pending": entries[1:]})


@pytest.fixture
def comfy() -> Iterator[Comfy]:
    with Comfy() as running:
        yield running


def test_the_fair_queue_holds_the_hardware_until_the_picture_is_drawn(comfy: Comfy, tmp_path: Path) -> None:
    services = {"image": {"plugin": "image", "upstreams": [f"http://127.0.0.1:{comfy.port}"]}}
    with Gate(tmp_path, services) as gate:

        async def all_at_once() -> list[Any]:
            headers = {"X-API-Key": gate.key}
            async with httpx.AsyncClient(verify=gate.context(), headers=headers, timeout=60) as client:
                posts = (client.post(f"{gate.url}/image/api/prompt", json={"prompt": {}}) for _ in range(3))
                return [answer.json() for answer in await asyncio.gather(*posts)]

        answers = asyncio.run(all_at_once())
    assert sorted(answer["prompt_id"] for answer in answers) == ["job1", "job2", "job3"]
    assert comfy.most == 1


PLUGIN = """
from attrs import frozen
from zope.interface import implementer
from edge.interfaces import IServicePlugin

@implementer(IServicePlugin)
@frozen
class Locked:
    name: str = "locked"
    api: int = 1

    def configure(self, settings, bench):
        return bench.like("image", settings["upstreams"]).with_header("X-Password", "open")

locked = Locked()
"""


def test_the_queue_of_a_server_that_asks_for_a_password_is_asked_with_it(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir(mode=0o700)
    (plugins / "locked.py").write_text(PLUGIN)
    (plugins / "locked.py").chmod(0o600)
    with Comfy("open") as comfy:
        upstreams = [f"http://127.0.0.1:{comfy.port}"]
        services = {"image": {"plugin": "locked", "route": "/image/api", "upstreams": upstreams}}
        with Gate(tmp_path, services, 'plugin_dirs = ["plugins"]\n') as gate, the_client(gate) as client:
            for _ in range(2):
                assert client.post("/prompt", json={}).status_code == 200


def test_the_place_of_a_job_is_free_once_its_server_is_down(comfy: Comfy, tmp_path: Path) -> None:
    with Comfy() as other:
        upstreams = [f"http://127.0.0.1:{each.port}" for each in (comfy, other)]
        services = {"image": {"plugin": "image", "upstreams": upstreams, "queue": {"wait": "30s"}}}
        with Gate(tmp_path, services) as gate, the_client(gate) as client:
            assert client.post("/prompt", json={}).status_code == 200
            assert all(client.get("/queue").json()["queue_running"] for _ in range(4)), "asked where it is drawn"
            dead, alive = (comfy, other) if comfy.taken else (other, comfy)
            dead.__exit__()
            began = time.monotonic()
            assert client.post("/prompt", json={}).status_code == 200
            assert alive.taken == 1 and time.monotonic() - began < 15


def the_client(gate: Gate) -> httpx.Client:
    headers = {"X-API-Key": gate.key}
    return httpx.Client(base_url=f"{gate.url}/image/api", verify=gate.context(), headers=headers, timeout=60)

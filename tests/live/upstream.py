"""A small real HTTP server (aiohttp) that streams, echoes, hangs, breaks and counts, in a thread of its own."""

import asyncio
import hashlib
import json
import threading
from collections import Counter
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from aiohttp import WSMsgType, web


class Upstream:
    """Listens on a free loopback port; `seen` counts requests by path, `gone` those whose client left early."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.gone: Counter[str] = Counter()
        self.headers: dict[str, Any] = {}
        self.raw_path = ""
        self.open = 0
        self.working = 0
        self.busiest = 0
        self.order: list[str] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._ended: Future[None] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)

    def __enter__(self) -> "Upstream":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _run(self) -> None:
        app = web.Application(client_max_size=4 * 1024**3, middlewares=[self._count])
        app.router.add_route("*", "/events", self._events)
        app.router.add_route("*", "/hash", self._hash)
        app.router.add_route("*", "/bytes/{count}", self._bytes)
        app.router.add_route("*", "/hang", self._hang)
        app.router.add_route("*", "/cut", self._cut)
        app.router.add_route("*", "/early", self._early)
        app.router.add_route("*", "/status/{status}", self._status)
        app.router.add_route("*", "/redirect", self._redirect)
        app.router.add_route("*", "/cookies", self._cookies)
        app.router.add_route("GET", "/ws", self._ws)
        app.router.add_route("POST", "/v1/chat/completions", self._chat)
        app.router.add_route("GET", "/v1/models", self._models)
        app.router.add_route("*", "/{rest:.*}", self._echo)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    @web.middleware
    async def _count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.seen[request.path] += 1
        self.open += 1
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.raw_path = request.raw_path
        try:
            answer: web.StreamResponse = await handler(request)
            return answer
        except (asyncio.CancelledError, ConnectionError):
            self.gone[request.path] += 1
            raise
        finally:
            self.open -= 1

    async def _echo(self, request: web.Request) -> web.Response:
        body = await request.read()
        return web.Response(
            text=json.dumps(
                {
                    "method": request.method,
                    "path": request.raw_path,
                    "headers": [[name, value] for name, value in request.headers.items()],
                    "body": body.decode("latin-1"),
                }
            ),
            content_type="application/json",
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        """OpenAI's chat, which costs `tokens` of the body (50) and takes `seconds` of it (0)."""
        asked = await request.json()
        self.working += 1
        self.busiest = max(self.busiest, self.working)
        try:
            await asyncio.sleep(asked.get("seconds", 0))
        finally:
            self.working -= 1
        self.order.append(asked.get("name", ""))
        cost = asked.get("tokens", 50)
        usage = {"prompt_tokens": 10, "completion_tokens": cost - 10, "total_tokens": cost}
        if not asked.get("stream"):
            return web.json_response({"choices": [{"message": {"content": "hi"}}], "usage": usage})
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n')
        await answer.write(b'data: {"choices":[],"usage":%b}\n\ndata: [DONE]\n\n' % json.dumps(usage).encode())
        await answer.write_eof()
        return answer

    async def _models(self, request: web.Request) -> web.Response:
        names = ("gemma3", "llama3", "gemma3:1b")
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """`?n=10&every=0.02`: server-sent events."""
        count, every = int(request.query.get("n", "10")), float(request.query.get("every", "0.02"))
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for number in range(count):
            await answer.write(b"data: %d\n\n" % number)
            await asyncio.sleep(every)
        await answer.write_eof()
        return answer

    async def _hash(self, request: web.Request) -> web.Response:
        digest, size = hashlib.md5(), 0
        async for part in request.content.iter_any():
            digest.update(part)
            size += len(part)
        return web.json_response({"md5": digest.hexdigest(), "size": size})

    async def _bytes(self, request: web.Request) -> web.StreamResponse:
        left = int(request.match_info["count"])
        answer = web.StreamResponse(headers={"Content-Length": str(left), "Content-Type": "application/octet-stream"})
        await answer.prepare(request)
        block = bytes(range(256)) * 256
        while left > 0:
            await answer.write(block[:left])
            left -= len(block)
        return answer

    async def _hang(self, request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("s", "600")))
        return web.Response(text="late")

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Length": "1000"} if request.query.get("how") == "length" else {}
        answer = web.StreamResponse(headers=headers)
        await answer.prepare(request)
        await answer.write(b"only a part")
        assert request.transport is not None
        request.transport.abort() if request.query.get("how") == "reset" else request.transport.close()
        return answer

    async def _early(self, request: web.Request) -> web.Response:
        return web.Response(status=413, text="too much")

    async def _status(self, request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["status"]))

    async def _redirect(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.query.get("to", "/elsewhere")})

    async def _cookies(self, request: web.Request) -> web.Response:
        answer = web.Response(text=request.headers.get("Cookie", ""))
        answer.headers.add("Set-Cookie", "a=1")
        answer.headers.add("Set-Cookie", "b=2")
        return answer

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=64 * 2**20, protocols=("chat",))
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                if message.data == "close":
                    await socket.close(code=4001, message=b"bye")
                else:
                    await socket.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        self.gone["/ws"] += 1
        return socket

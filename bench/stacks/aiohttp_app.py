"""A key check and a streaming relay on aiohttp with uvloop: `aiohttp_app.py PORT CERT KEY`."""

import os
import ssl
import sys
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

upstream = os.environ["UPSTREAM"]
key = f"Bearer {os.environ['KEY']}"
DROP = {"host", "content-length", "connection", "transfer-encoding", "authorization"}


async def relay(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Authorization") != key:
        return web.json_response({"error": "unauthorized"}, status=401)
    session: aiohttp.ClientSession = request.app["session"]
    fields = [(name, value) for name, value in request.headers.items() if name.lower() not in DROP]
    path = request.raw_path.removeprefix("/bench/api")
    async with session.request(
        request.method, upstream + path, headers=fields, data=request.content if request.body_exists else None
    ) as answer:
        back = web.StreamResponse(status=answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in DROP:
                back.headers[name] = value
        length = answer.headers.get("Content-Length")
        if length is not None:
            back.content_length = int(length)
        await back.prepare(request)
        async for data in answer.content.iter_any():
            await back.write(data)
        await back.write_eof()
        return back


async def session(app: web.Application) -> AsyncIterator[None]:
    app["session"] = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
    )
    yield
    await app["session"].close()


uvloop.install()
app = web.Application(client_max_size=4 * 1024**3)
app.cleanup_ctx.append(session)
app.router.add_route("*", "/{path:.*}", relay)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(sys.argv[2], sys.argv[3])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), ssl_context=context, access_log=None, backlog=4096)

"""A key check and a streaming relay on FastAPI and httpx, served by uvicorn."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

upstream = os.environ["UPSTREAM"]
key = f"Bearer {os.environ['KEY']}"
DROP = {"host", "content-length", "connection", "transfer-encoding", "authorization"}


@asynccontextmanager
async def life(app: FastAPI) -> AsyncIterator[None]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=512)
    async with httpx.AsyncClient(limits=limits, timeout=None) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=life)


def require_key(request: Request) -> None:
    if request.headers.get("authorization") != key:
        raise HTTPException(401)


@app.api_route("/bench/api/{path:path}", methods=["GET", "POST", "PUT", "DELETE"], dependencies=[Depends(require_key)])
async def relay(path: str, request: Request) -> StreamingResponse:
    client: httpx.AsyncClient = request.app.state.client
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    made = client.build_request(
        request.method,
        f"{upstream}/{path}",
        params=request.query_params,
        headers=[(name, value) for name, value in request.headers.items() if name not in DROP],
        content=request.stream() if has_body else None,
    )
    answer = await client.send(made, stream=True)
    fields = {name: value for name, value in answer.headers.items() if name not in DROP - {"content-length"}}

    async def body() -> AsyncIterator[bytes]:
        async for data in answer.aiter_raw():
            yield data
        await answer.aclose()

    return StreamingResponse(body(), answer.status_code, fields)

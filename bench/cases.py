"""The pieces of work. Each says what one unit of it is, and by which figure stacks are compared."""

from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from bench.load import Load, client, h2load, wrk
from bench.peers import EVENTS, PLAIN, SECURE, Gate, LiteLlm, Peer

CHAT_SCRIPT = Path(__file__).parent / "chat.lua"


@frozen
class Case:
    """One piece of work."""

    name: str
    about: str
    unit: str
    work: Callable[[Peer, float], Load]
    upstream: str = PLAIN
    peers: tuple[str, ...] = ("gate", "stock", "other", "nginx", "caddy", "flask", "aiohttp", "fastapi")
    slow: bool = False
    """Whether memory is read while it runs, since it is about what is open."""


def _chat(peer: Peer, seconds: float) -> Load:
    prefix = peer.prefix
    if isinstance(peer, Gate):
        peer.prefix = "/chat/api"
    elif not isinstance(peer, LiteLlm):
        peer.prefix = "/bench/api"
    try:
        return wrk(peer, "/v1/chat/completions", 32, seconds, CHAT_SCRIPT)
    finally:
        peer.prefix = prefix


def _repeat(count: int) -> int:
    return max(1, count)


FEW = ("gate", "stock", "other", "nginx", "caddy")
STREAMING = (*FEW, "aiohttp")

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("small-1", "1 KB JSON, 1 connection", "request", lambda p, s: wrk(p, "/small", 1, s)),
        Case("small-32", "1 KB JSON, 32 connections", "request", lambda p, s: wrk(p, "/small", 32, s)),
        Case("small-256", "1 KB JSON, 256 connections", "request", lambda p, s: wrk(p, "/small", 256, s + 3)),
        Case(
            "chat", "POST /v1/chat/completions, 32 connections", "request", _chat,
            peers=("gate", "stock", "other", "nginx", "caddy", "flask", "litellm"),
        ),
        Case("64k", "64 KB, 32 connections", "request", lambda p, s: wrk(p, "/64k", 32, s)),
        Case(
            "download", "10 MB bodies down", "MB", lambda p, s: client(p, "download", "/10m", _repeat(round(20 * s))),
            peers=STREAMING,
        ),
        Case(
            "upload", "one body up", "MB", lambda p, s: client(p, "upload", "/upload", _repeat(round(200 * s))),
            peers=STREAMING,
        ),
        Case(
            "connections", "new TLS connections, a request each", "connection",
            lambda p, s: client(p, "connections", "/small", _repeat(round(150 * s)), 0), peers=STREAMING,
        ),
        Case(
            "resumed", "resumed TLS connections, a request each", "connection",
            lambda p, s: client(p, "connections", "/small", _repeat(round(150 * s)), 1), peers=STREAMING,
        ),
        Case(
            "streams", "200 SSE streams of 50 events a second", "event",
            lambda p, s: client(p, "streams", "/events", 200, _repeat(round(50 * s)), 20),
            upstream=EVENTS, peers=STREAMING,
        ),
        Case(
            "slow-1000", "1,000 SSE streams of an event a second", "event",
            lambda p, s: client(p, "streams", "/events", 1000, max(5, round(s)), 1000),
            upstream=EVENTS, peers=STREAMING, slow=True,
        ),
        Case(
            "slow-5000", "5,000 SSE streams of an event in five seconds", "event",
            lambda p, s: client(p, "streams", "/events", 5000, max(4, round(s / 5)), 5000),
            upstream=EVENTS, peers=FEW, slow=True,
        ),
        Case(
            "http2", "1 KB JSON over HTTP/2, 4 connections of 8 streams", "request",
            lambda p, s: h2load(p, "/small", 4, 8, s), peers=FEW,
        ),
        Case(
            "http1", "1 KB JSON over HTTP/1.1 by the same client, 32 connections", "request",
            lambda p, s: h2load(p, "/small", 32, 1, s, True), peers=FEW,
        ),
        Case(
            "websocket", "WebSocket frames of 64 bytes there and back, 32 sockets", "message",
            lambda p, s: client(p, "sockets", "/ws", 32, s), upstream=EVENTS, peers=FEW,
        ),
        Case(
            "upstream-tls", "1 KB JSON, 32 connections, upstream over TLS", "request",
            lambda p, s: wrk(p, "/small", 32, s), upstream=SECURE, peers=FEW,
        ),
    )
}  # fmt: skip

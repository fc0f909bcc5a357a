"""Outcomes and attempts to tell sinks about."""

from typing import Any

from attrs import evolve

from edge.core.attempts import Attempt
from edge.core.exchange import Arrival, Caller, Exchange, Outcome, Route
from edge.core.headers import Fields, Pair
from edge.core.keys import Key

AT = 1_790_000_000.25
KEY = Key(id="1a2b3c4d", user="alice", services=frozenset({"chat"}))
ROUTE = Route("chat", b"/chat/api", frozenset({"POST"}))
FIELDS: list[Pair] = [
    (b"Host", b"gate.lan:8443"),
    (b"User-Agent", b"OpenAI/Python 1.80.0"),
    (b"Authorization", b"Bearer aig_1a2b3c4d_00112233445566778899aabbccddeeff_01234567"),
    (b"Content-Type", b"application/json"),
    (b"Accept", b"application/json"),
    (b"Content-Length", b"412"),
]
ANSWER: list[Pair] = [
    (b"Content-Type", b"application/json"),
    (b"Date", b"Sun, 22 Nov 2026 13:04:05 GMT"),
    (b"Set-Cookie", b"session=d3adbeef; HttpOnly"),
    (b"X-Request-Id", b"d41e0200000001"),
    (b"X-Aigate-Upstream", b"http://127.0.0.1:11434"),
]


def arrival(target: bytes = b"/chat/api/v1/chat/completions", pairs: list[Pair] | None = None, **about: Any) -> Arrival:
    """A request's head."""
    path, mark, query = target.partition(b"?")
    plain: dict[str, Any] = {
        "id": "d41e0200000001",
        "method": "POST",
        "host": "gate.lan",
        "target": target,
        "path": path,
        "query": query if mark else None,
        "fields": Fields(FIELDS if pairs is None else pairs),
        "peer": "192.168.1.7",
        "client": "192.168.1.7",
        "secure": True,
        "protocol": "HTTP/2.0",
        "listener": "https",
        "at": AT,
        "started": 100.0,
    }
    return Arrival(**{**plain, **about})


def outcome(
    head: Arrival | None = None, *, stranger: bool = False, model: str | None = "gemma3:4b", **about: Any
) -> Outcome:
    """A request's end: a chat that was answered, unless said otherwise."""
    exchange = Exchange(head or arrival())
    if not stranger:
        exchange = exchange.along(ROUTE).by(Caller(KEY)).to("http://127.0.0.1:11434").asking(model)
    plain: dict[str, Any] = {
        "status": 200,
        "sent": 5120,
        "received": 412,
        "seconds": 2.5,
        "first_byte": 0.3,
        "queued": 0.1,
        "overhead": 0.0002,
        "units": {"tokens": 150, "prompt_tokens": 50, "completion_tokens": 100},
    }
    return Outcome(exchange, **{**plain, **about})


def refused(reason: str = "no-key", status: int = 401, **about: Any) -> Outcome:
    """A stranger's request that was turned away."""
    plain = {"first_byte": None, "overhead": None, "units": {}, "queued": 0.0}
    return outcome(stranger=True, status=status, reason=reason, ended="refused", **{**plain, **about})


def by(made: Outcome, **about: Any) -> Outcome:
    """The same end for a key with something changed: `user`, `id`."""
    caller = made.exchange.caller
    assert caller is not None
    return evolve(made, exchange=made.exchange.by(Caller(evolve(caller.key, **about))))


def attempt(address: str = "203.0.113.7", reason: str = "", at: float = AT, **about: Any) -> Attempt:
    """An attempt to get in: let in where there is no reason."""
    plain: dict[str, Any] = {"request": "d41e0200000001", "key": "", "user": "", "service": "chat"}
    if not reason:
        plain |= {"key": KEY.id, "user": KEY.user}
    return Attempt(at=at, address=address, allowed=not reason, reason=reason, **{**plain, **about})

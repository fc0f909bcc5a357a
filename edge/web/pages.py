"""Answers of the gate itself: refusals in the dialect of whoever asks, and small JSON documents."""

import json
from collections.abc import Iterable
from typing import Final

from edge.core.cors import pairs as cors_pairs
from edge.core.dialects import answer, broken
from edge.core.headers import Pair
from edge.core.refusal import Refusal
from edge.wire.request import Request

_NO_STORE: Final = (b"Cache-Control", b"no-store")


def refusal_answer(refusal: Refusal, dialect: str, request_id: str) -> tuple[list[Pair], bytes]:
    """Header fields and body of a refusal, without framing."""
    made = answer(refusal, dialect, request_id)
    return [(b"content-type", made.content_type), *made.fields], made.body


def refuse(request: Request, refusal: Refusal, dialect: str = "openai", extra: Iterable[Pair] = ()) -> None:
    """Ends a request with a refusal. One that is under way already is broken off instead, so that it looks broken."""
    ledger = request.ledger
    ledger.reason = refusal.reason
    if not ledger.ended:
        ledger.ended = "refused"
    if request.early:
        # The head went out while the request waited: only a word in the stream can tell.
        request.send(broken(refusal, dialect, request.exchange.arrival.id, request.early, b"x"))
        request.end()
        return
    if request.answered:
        request.abort()
        return
    pairs, body = refusal_answer(refusal, dialect, request.exchange.arrival.id)
    pairs.extend(extra)
    pairs.extend(request.extra)
    if request.origin_allowed is not None:
        pairs.extend(cors_pairs(request.origin_allowed))
    request.reply(refusal.status, pairs, body)


def reply_json(request: Request, status: int, value: object, extra: Iterable[Pair] = ()) -> None:
    """Ends a request with a JSON document that nobody may keep."""
    pairs: list[Pair] = [
        (b"Content-Type", b"application/json"),
        (b"X-Request-Id", request.exchange.arrival.id.encode("ascii")),
        _NO_STORE,
        *extra,
        *request.extra,
    ]
    if request.origin_allowed is not None:
        pairs.extend(cors_pairs(request.origin_allowed))
    request.reply(status, pairs, json.dumps(value, separators=(",", ":")).encode() + b"\n")

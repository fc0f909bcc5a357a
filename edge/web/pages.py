"""Answers of the gate itself: refusals in the dialect of whoever asks, and small JSON documents."""

import json
from collections.abc import Iterable
from typing import Final

from edge.core.cors import pairs as cors_pairs
from edge.core.dialects import answer
from edge.core.headers import Pair
from edge.core.refusal import Refusal
from edge.wire.request import Request

_BEARER: Final = (b"WWW-Authenticate", b'Bearer realm="aigate"')
_NO_STORE: Final = (b"Cache-Control", b"no-store")


def refusal_answer(refusal: Refusal, dialect: str, request_id: str) -> tuple[list[Pair], bytes]:
    """Header fields and body of a refusal, without framing."""
    status_and_type = answer(refusal, dialect, request_id)
    body, content_type = status_and_type.body, status_and_type.content_type
    pairs: list[Pair] = [
        (b"Content-Type", content_type),
        (b"X-Request-Id", request_id.encode("ascii")),
        (b"X-Aigate-Reason", refusal.reason.encode("ascii")),
        _NO_STORE,
    ]
    if dialect == "anthropic":
        pairs.append((b"Request-Id", request_id.encode("ascii")))
    if refusal.status == 401:
        pairs.append(_BEARER)
    if refusal.status in (429, 503):
        wait = 1.0 if refusal.retry_after is None else refusal.retry_after
        pairs.append((b"Retry-After", b"%d" % max(1, -int(-wait // 1))))
        pairs.append((b"Retry-After-Ms", b"%d" % max(1, round(wait * 1000))))
    if not refusal.retry:
        pairs.append((b"X-Should-Retry", b"false"))
    pairs.extend(refusal.extra)
    return pairs, body


def refuse(request: Request, refusal: Refusal, dialect: str = "openai", extra: Iterable[Pair] = ()) -> None:
    """Ends a request with a refusal. One that is under way already is broken off instead, so that it looks broken."""
    ledger = request.ledger
    ledger.reason = refusal.reason
    if not ledger.ended:
        ledger.ended = "refused"
    if request.answered:
        request.abort()
        return
    pairs, body = refusal_answer(refusal, dialect, request.exchange.arrival.id)
    pairs.extend(extra)
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
    ]
    if request.origin_allowed is not None:
        pairs.extend(cors_pairs(request.origin_allowed))
    request.reply(status, pairs, json.dumps(value, separators=(",", ":")).encode() + b"\n")

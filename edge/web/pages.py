"""Answers of the gate itself: refusals in the dialect of whoever asks, and small JSON documents."""

import json
from collections.abc import Iterable, Sequence
from typing import Final

from edge.core.batch import split
from edge.core.cors import pairs as cors_pairs
from edge.core.dialects import answer, broken
from edge.core.headers import Pair
from edge.core.refusal import Refusal
from edge.wire.request import Request

_NO_STORE: Final = (b"Cache-Control", b"no-store")


NO_SWITCH: Final = Refusal("path-not-allowed", "Nothing here switches to this protocol.", retry=False)
"""An ordinary 200 to an extended CONNECT would be taken for a tunnel (RFC 8441 4)."""
DOUBT: Final = Refusal("store-unavailable", "The gate cannot judge this request now.", retry_after=5.0)
"""What is said where judging itself failed: closed on doubt."""


def refusal_answer(refusal: Refusal, dialect: str, request_id: str) -> tuple[list[Pair], bytes]:
    """Header fields and body of a refusal, without framing."""
    made = answer(refusal, dialect, request_id)
    return [(b"content-type", made.content_type), *made.fields], made.body


def said_by_gate(request: Request) -> list[Pair]:
    """What the gate adds to the head of any answer: the request's id, where its caller stands, who may read it."""
    return [*split(said_to_all(request)), *said_to_pages(request)]


def said_to_all(request: Request) -> bytes:
    """The first part of it, as lines: the request's id, and where its caller stands."""
    request_id = request.exchange.arrival.id.encode()
    return b"".join((b"X-Request-Id: ", request_id, b"\r\n", request.standing, request.extra))


def said_to_pages(request: Request) -> Sequence[Pair]:
    """The second part: that the page which asked may read the answer."""
    return () if request.origin_allowed is None else cors_pairs(request.origin_allowed)


def refuse(request: Request, refusal: Refusal) -> None:
    """Ends a request with a refusal. One that is under way already is broken off instead, so that it looks broken."""
    if request.finished:
        return
    ledger = request.ledger
    ledger.reason = refusal.reason
    if not ledger.ended:
        ledger.ended = "refused"
    request_id = request.exchange.arrival.id
    if request.early:
        # The head went out while the request waited, and signs of life since: only a word in the stream can tell.
        said = broken(refusal, request.dialect, request_id, request.early)
        request.send(said or refusal_answer(refusal, request.dialect, request_id)[1])
        request.end()
        return
    if request.answered:
        request.abort()
        return
    pairs, body = refusal_answer(refusal, request.dialect, request_id)
    pairs.extend(split(request.extra))
    pairs.extend(said_to_pages(request))
    request.reply(refusal.status, pairs, body)


def reply_json(request: Request, status: int, value: object, extra: Iterable[Pair] = ()) -> None:
    """Ends a request with a JSON document that nobody may keep."""
    pairs: list[Pair] = [
        (b"Content-Type", b"application/json"),
        _NO_STORE,
        *extra,
        *said_by_gate(request),
    ]
    request.reply(status, pairs, json.dumps(value, separators=(",", ":")).encode() + b"\n")

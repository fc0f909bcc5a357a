"""The gate's own answers, worded as the clients of a service expect them.

OpenAI's shape is what everything understands that is neither Anthropic's nor Ollama's client; SDKs read the type and the
code, Ollama's clients one string. The stable reason goes along in `x-aigate-reason` whatever the dialect.
"""

import json
import math
from typing import Final

from attrs import frozen

from edge.core.refusal import Refusal

Pair = tuple[bytes, bytes]

OPENAI: Final = "openai"
ANTHROPIC: Final = "anthropic"
OLLAMA: Final = "ollama"

JSON: Final = b"application/json"

_OPENAI_TYPES: Final[dict[int, str]] = {
    403: "permission_error",
    429: "rate_limit_error",
    502: "server_error",
    503: "server_error",
    504: "server_error",
}
"""OpenAI's `type` by status; every other one is the request's own fault."""

_OPENAI_CODES: Final[dict[str, str]] = {
    "no-key": "invalid_api_key",
    "unknown-key": "invalid_api_key",
    "disabled-key": "invalid_api_key",
    "expired-key": "invalid_api_key",
    "model-not-allowed": "model_not_found",
    "rate-limited": "rate_limit_exceeded",
    "locked-out": "rate_limit_exceeded",
    "budget-spent": "insufficient_quota",
}
"""OpenAI's `code` where its SDKs know one; elsewhere it is the reason."""

_ANTHROPIC_TYPES: Final[dict[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}


@frozen
class Answer:
    """One whole answer of the gate: what is sent, save what depends on the connection."""

    status: int
    content_type: bytes
    body: bytes
    fields: tuple[Pair, ...] = ()
    """Every further field of the head, Content-Length not among them."""


def answer(refusal: Refusal, dialect: str, request_id: str) -> Answer:
    """The answer that turns a request away, in one of the dialects; one that is not known is OpenAI's.

    Its fields: `x-aigate-reason`, `x-request-id` (and Anthropic's `request-id`), `www-authenticate` with a 401 (RFC 9110
    11.6.1), `retry-after` in whole seconds, rounded up, `x-should-retry: false` where trying again is pointless, and the
    refusal's own. None of it may be kept by a cache.
    """
    sent = request_id.encode("latin-1", "replace")
    fields: list[Pair] = [
        (b"x-aigate-reason", refusal.reason.encode()),
        (b"x-request-id", sent),
        (b"cache-control", b"no-store"),
    ]
    if dialect == ANTHROPIC:
        fields.append((b"request-id", sent))
    if refusal.status == 401:
        fields.append((b"www-authenticate", b'Bearer realm="aigate"'))
    if refusal.retry_after is not None or refusal.status in (429, 503):
        fields.append((b"retry-after", str(max(1, math.ceil(refusal.retry_after or 1))).encode()))
    if not refusal.retry:
        fields.append((b"x-should-retry", b"false"))
    body = _json(_worded(refusal, dialect, request_id)) + b"\n"
    # What the refusal says itself is more exact than what is said of its kind.
    own = {name.lower() for name, _ in refusal.extra}
    kept = [pair for pair in fields if pair[0] not in own]
    return Answer(refusal.status, JSON, body, (*kept, *refusal.extra))


def broken(refusal: Refusal, dialect: str, request_id: str, content_type: bytes, sent: bytes = b"") -> bytes:
    """What to write into a streamed answer that cannot go on, before it is cut; b"" where nothing can be said.

    `content_type` is that of the answer under way: an event for `text/event-stream`, a line for NDJSON. A client would take
    either, in any other body, for part of what it asked for. `sent` is the end of what was sent so far, one byte at least
    where there was any: Ollama's clients read an empty line as broken JSON, so a new one is begun only where it must be.
    """
    kind = content_type.partition(b";")[0].strip().lower()
    said = _json(_worded(refusal, dialect, request_id))
    if kind == b"text/event-stream":
        # The event may begin in the middle of another, which an empty line ends.
        return b"\n\n" + (b"event: error\n" if dialect == ANTHROPIC else b"") + b"data: " + said + b"\n\n"
    if kind in (b"application/x-ndjson", b"application/jsonl", b"application/ndjson"):
        return (b"" if sent[-1:] in (b"", b"\n") else b"\n") + said + b"\n"
    return b""


def _worded(refusal: Refusal, dialect: str, request_id: str) -> dict[str, object]:
    if dialect == OLLAMA:
        return {"error": refusal.message}
    if dialect == ANTHROPIC:
        kind = _ANTHROPIC_TYPES.get(refusal.status, "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": refusal.message}, "request_id": request_id}
    code = _OPENAI_CODES.get(refusal.reason, refusal.reason.replace("-", "_"))
    kind = code if code == "insufficient_quota" else _OPENAI_TYPES.get(refusal.status, "invalid_request_error")
    return {"error": {"message": refusal.message, "type": kind, "param": None, "code": code}}


def _json(value: dict[str, object]) -> bytes:
    return json.dumps(value).encode()

"""Bytes that keep a quiet stream alive while its request waits, and mean nothing to its clients."""

from typing import Final

SSE: Final = b": waiting\n\n"
"""A comment (HTML Living Standard, 9.2.6): every reader of event streams drops it."""
PING: Final = b'event: ping\ndata: {"type": "ping"}\n\n'
"""The event that Anthropic's own servers send, and their SDKs expect."""
SPACE: Final = b" "
"""White space before the next value. An empty line would do for most readers of NDJSON, but Ollama's Python client
decodes every line and fails on one that is empty; leading spaces are part of the line that follows."""


def keepalive(dialect: str, content_type: bytes, json_space: bool = False) -> bytes:
    """What to send to a client that waits for an answer of `content_type`; b"" where nothing would be harmless.

    `json_space` allows leading white space before JSON that is not streamed (RFC 8259, section 2): the head of the
    answer, and with it the status, goes out before anybody knows how the request ends.
    """
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"text/event-stream":
        return PING if dialect == "anthropic" else SSE
    if kind in (b"application/x-ndjson", b"application/ndjson", b"application/jsonl"):
        return SPACE
    return SPACE if json_space and kind == b"application/json" else b""

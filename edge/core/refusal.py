"""Why a request is turned away: a stable reason, its status, and words for a person."""

from typing import Final

from attrs import frozen

STATUS: Final[dict[str, int]] = {
    "bad-request": 400,
    "two-keys": 400,
    "ambiguous-body": 400,
    "no-key": 401,
    "unknown-key": 401,
    "disabled-key": 401,
    "expired-key": 401,
    "service-not-allowed": 403,
    "model-not-allowed": 403,
    "address-not-allowed": 403,
    "path-not-allowed": 403,
    "outside-hours": 403,
    "not-yet-valid": 403,
    "needs-scope": 403,
    "origin-not-allowed": 403,
    "no-route": 404,
    "method-not-allowed": 405,
    "request-timeout": 408,
    "body-too-large": 413,
    "wrong-host": 421,
    "head-too-large": 431,
    "rate-limited": 429,
    "budget-spent": 429,
    "locked-out": 429,
    "upstream-refused": 502,
    "upstream-broken": 502,
    "queue-full": 503,
    "shutting-down": 503,
    "upstream-asleep": 503,
    "store-unavailable": 503,
    "upstream-timeout": 504,
}
"""Reason → HTTP status; the reasons are a promise to clients and scripts."""


def sentence(words: str) -> str:
    """An error's words as a plain sentence: with a capital and a full stop."""
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")


@frozen
class Refusal:
    """One refusal. `retry_after` is in seconds; `retry` False tells SDKs that trying again is pointless."""

    reason: str
    message: str
    status: int = 0
    retry_after: float | None = None
    retry: bool = True
    extra: tuple[tuple[bytes, bytes], ...] = ()
    """Further response header fields, such as `Allow` for a 405."""

    def __attrs_post_init__(self) -> None:
        if not self.status:
            object.__setattr__(self, "status", STATUS[self.reason])

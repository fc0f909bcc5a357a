"""Jobs that go on after their request has been answered: ComfyUI says at once that it has queued a prompt, and draws later.

A job begins with the `prompt_id` of that answer. It has ended when the server's WebSocket says so, when its history
knows it, or when its queue, asked after the job began, no longer does; and, since none of these may ever come, when it
has lasted too long. Each method returns the ids that have ended with it, each id once.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import define, field

MOST: Final = 1024
"""Jobs that are followed at once; the oldest are given up beyond."""
ANSWER: Final = 1024 * 1024
"""Bytes of an answer or a message that are looked at, at the most."""
ENDS: Final = frozenset({"execution_success", "execution_error", "execution_interrupted"})


def prompt_id(body: bytes) -> str | None:
    """The id in an answer to `POST /prompt`, None where nothing was queued."""
    value = _object(body)
    found = value.get("prompt_id") if value else None
    return found if isinstance(found, str) and 0 < len(found) <= 128 else None


@define
class Jobs:
    """The jobs of one server. Times are in seconds on one clock; `longest` is the bound of a job."""

    longest: float = 3600.0
    _begun: dict[str, float] = field(factory=dict)

    def begin(self, job: str, now: float) -> list[str]:
        """A job was queued. Returns those that had to be given up for it."""
        self._begun.setdefault(job, now)
        return self._end(list(self._begun)[: max(0, len(self._begun) - MOST)])

    def heard(self, message: bytes) -> list[str]:
        """A text message of the WebSocket. `executing` without a node was the only sign of an end in older versions."""
        if b'"execut' not in message:
            return []
        value = _object(message) or {}
        data = value.get("data")
        if not isinstance(data, Mapping) or not isinstance(data.get("prompt_id"), str):
            return []
        kind = value.get("type")
        ended = kind in ENDS or (kind == "executing" and "node" in data and data["node"] is None)
        return self._end([data["prompt_id"]]) if ended else []

    def queue(self, body: bytes, asked: float) -> list[str]:
        """An answer to `GET /queue` that was asked at a time: what it does not list has ended, unless it began since."""
        value = _object(body)
        if value is None or not {"queue_running", "queue_pending"} <= value.keys():
            return []
        listed = {entry[1] for name in ("queue_running", "queue_pending") for entry in _entries(value[name])}
        return self._end([job for job, begun in self._begun.items() if begun < asked and job not in listed])

    def history(self, body: bytes) -> list[str]:
        """An answer to `GET /history` or `GET /history/ID`, which know what has ended."""
        return self._end(list(_object(body) or {}))

    def overdue(self, now: float) -> list[str]:
        """Jobs that have lasted longer than any may."""
        return self._end([job for job, begun in self._begun.items() if now - begun >= self.longest])

    def __len__(self) -> int:
        return len(self._begun)

    def _end(self, jobs: Iterable[str]) -> list[str]:
        return [job for job in jobs if self._begun.pop(job, None) is not None]


def _object(body: bytes) -> Mapping[str, Any] | None:
    if len(body) > ANSWER:
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        # What cannot be read tells of no end: the bound of a job is what remains.
        return None
    return value if isinstance(value, dict) else None


def _entries(value: object) -> list[list[Any]]:
    """Entries of ComfyUI's queue: [number, prompt_id, …]."""
    if not isinstance(value, list):
        return []
    return [entry for entry in value if isinstance(entry, list) and len(entry) > 1 and isinstance(entry[1], str)]

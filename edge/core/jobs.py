"""Jobs that go on after their request has been answered: ComfyUI says at once that it has queued a prompt, and draws later.

A job begins with the `prompt_id` of that answer. It has ended when the server's queue, asked after the job began, no
longer lists it; and, since that may never come, when it has lasted too long. Clients may choose the id: one that is
given to several jobs stands for as many places as the queue lists it times, and only its beginning is told from others.
Each method returns the ids of the jobs that have ended with it, an id as often as jobs of that name have.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field

MOST: Final = 1024
"""Jobs that are followed at once; the oldest are given up beyond."""
ANSWER: Final = 1024 * 1024
"""Bytes of an answer that are looked at, at the most."""
FORGOTTEN: Final = b'{"queue_running": [], "queue_pending": []}'
"""The queue of a server that is down: it lay in that server's memory."""
LONGEST: Final = 128
"""Characters of an id that are looked at: ids that begin alike count as one."""

# Where no more than the beginning of an answer was kept; a character is at most four bytes, or two escapes.
_BEGINNING: Final = re.compile(
    rb'\s*\{\s*"prompt_id"\s*:\s*"((?:[^"\\\x00-\x1f]|\\u[0-9a-fA-F]{4}|\\["\\/bfnrt]){0,%d})' % (4 * LONGEST)
)


def prompt_id(body: bytes) -> str | None:
    """The id in the beginning of an answer to `POST /prompt`, None where nothing was queued."""
    value = _object(body)
    if value is None and (match := _BEGINNING.match(body)):
        value = _object('{"prompt_id":"' + match[1].decode("utf-8", "replace") + '"}')
    found = value.get("prompt_id") if value else None
    return _name(found) if isinstance(found, str) else None


@define
class Jobs:
    """The jobs of one server. Times are in seconds on one clock; `longest` is the bound of a job."""

    longest: float = 3600.0
    _begun: list[tuple[str, float]] = field(factory=list)

    def begin(self, job: str, now: float) -> list[str]:
        """A job was queued. Returns those that had to be given up for it."""
        self._begun.append((job, now))
        ended = [name for name, _ in self._begun[:-MOST]]
        del self._begun[:-MOST]
        return ended

    def queue(self, body: bytes, asked: float) -> list[str]:
        """An answer to `GET /queue` that was asked at a time: what it does not list has ended, unless it began since."""
        value = _object(body)
        if value is None or not {"queue_running", "queue_pending"} <= value.keys():
            return []
        listed = Counter(_name(entry[1]) for at in ("queue_running", "queue_pending") for entry in _entries(value[at]))
        kept, ended = [], []
        for name, begun in reversed(self._begun):
            # Of those that have one name the oldest end first.
            if begun >= asked:
                kept.append((name, begun))
            elif listed[name]:
                listed[name] -= 1
                kept.append((name, begun))
            else:
                ended.append(name)
        self._begun = kept[::-1]
        return ended[::-1]

    def overdue(self, now: float) -> list[str]:
        """Jobs that have lasted longer than any may."""
        ended = [name for name, begun in self._begun if now - begun >= self.longest]
        self._begun = [one for one in self._begun if now - one[1] < self.longest]
        return ended

    def __len__(self) -> int:
        return len(self._begun)


def _name(job: str) -> str:
    return job[:LONGEST] or "-"


def _object(body: bytes | str) -> Mapping[str, Any] | None:
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

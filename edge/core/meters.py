"""What an answer cost, read from it as it passes by.

Servers tell it in one small JSON object or number, somewhere near the end: `"usage": {…}` (OpenAI's chat, completions,
responses, embeddings and transcriptions, Anthropic's messages), `"eval_count": 298` (Ollama), `"duration": 3.5`
(a transcription). A meter looks for these names in each chunk and decodes only what follows them; nothing of the
stream is kept but the last few bytes, or the object that is being read, at most 64 KiB in all. Neither a model nor a
caller can forge them: inside a JSON string the quotation marks of such a name are escaped, and what a server repeats of
a caller's own JSON (tools, their arguments, metadata) stands deeper than what it says itself.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from math import ceil
from typing import Any, Final

from edge.core import tokens
from edge.core.jobs import prompt_id
from edge.core.nesting import Nesting

PIECE: Final = 32 * 1024
"""Bytes that are looked at closely at once, where a name was seen."""
HEAD: Final = 4096
"""Bytes of an answer about pictures in which the id of a job is looked for."""
OBJECT: Final = 16 * 1024
"""The most bytes of one object; with a piece, what a meter holds stays below 64 KiB."""
TRIES: Final = 64
"""How often an object whose end is missing is tried again: one that comes byte by byte costs no more than this."""
EDGE: Final = 40
"""Bytes of a chunk's end that are looked at again with the next one: longer than every name and what stands before it."""
CHARACTERS_PER_TOKEN: Final = 4
"""The estimate where a server tells nothing and its answer is no stream of events."""
BYTES_PER_AUDIO_SECOND: Final = 16_000
"""The estimate of a recording whose length nobody tells: 128 kbit/s."""

# What stands before a name is asked for after its first bytes, which the engine finds much faster.
_NAME: Final = re.compile(rb'"(?<=[{,\s]")(usage|prompt_eval_count|eval_count|duration)"\s*:\s*')
_MODEL: Final = re.compile(rb'"model"(?<=[{,\s]"model")\s*:\s*"([^"\\\x00-\x1f]{1,128})"')
START: Final = 4096
"""Bytes at the beginning of an answer in which its model is looked for."""
_NUMBER: Final = re.compile(rb"-?\d{1,15}(?:\.\d{1,15})?(?:[eE][-+]?\d{1,2})?")
_CUT: Final = re.compile(rb"[-+.\deE]*+\Z")
_GATES: Final[Mapping[str, tuple[bytes, ...]]] = {
    "tokens": (b'"usage"', b"eval_count"),
    "transcription": (b'"usage"', b'"duration"'),
}
_COUNTS: Final = frozenset(
    {
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "input_tokens",
        "output_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "seconds",
    }
)
"""What is read of `usage`."""
_TOP: Final = b"{"
_IN_EVENT: Final = b"{{"
"""Where an event of a stream tells of an answer: `response` (OpenAI), `message` (Anthropic), `x_groq`."""
_LINES: Final = frozenset({b"text/event-stream", b"application/x-ndjson", b"application/ndjson", b"application/jsonl"})
_BRACE: Final = 0x7B
_VALUES: Final = b"{-0123456789"
"""How a value begins that tells something; nothing at all is in it as well, since that may be still to come."""
_DECODER: Final = json.JSONDecoder()


class Meter:
    """Counts one answer. `feed` it each chunk of the body, ask `result` at the end, however early that comes."""

    __slots__ = (
        "_bytes",
        "_carry",
        "_events",
        "_fields",
        "_found",
        "_gates",
        "_length",
        "_lined",
        "_lines",
        "_nesting",
        "_open",
        "_start",
        "_tries",
        "_units",
        "model",
    )

    def __init__(self, units: str, fields: Mapping[str, Any], length: int, content_type: bytes | None = None) -> None:
        """`units` names what meters the path; `fields` are judged ones of the request's body and `length` its bytes."""
        self._units = units
        self._fields = fields
        self._length = length
        self._events, self._lined = _kind(content_type)
        self._nesting = Nesting()
        self._gates = _GATES.get(units, ())
        self._bytes = 0
        self._lines = 0
        self._carry = b""
        self._open = b""
        self._tries = 0
        self._found: dict[str, float] = {}
        self._start = b""
        self.model = ""
        """The model that the answer names, "" where it names none near its beginning."""

    def feed(self, chunk: bytes) -> None:
        """Look at a chunk; never raises."""
        if self._bytes < START and not self.model:
            self._named(chunk)
        self._bytes += len(chunk)
        if not self._gates:
            if self._units == "images" and len(self._carry) < HEAD:
                self._carry += chunk[:HEAD]
            return
        self._lines += chunk.count(b"\n")
        if len(chunk) <= PIECE:
            self._look(chunk)
            return
        for at in range(0, len(chunk), PIECE):
            self._look(chunk[at : at + PIECE])

    def _named(self, chunk: bytes) -> None:
        """Look for the model in the beginning of an answer."""
        if self._units != "tokens":
            return
        start = (self._start + chunk)[:START]
        for found in _MODEL.finditer(start):
            before = start[: found.start()]
            # Most often only one bracket stands before it.
            if before.count(b"{") == 1 or _stands(before):
                self.model = found[1].decode("utf-8", "replace")
                break
        self._start = b"" if self.model or len(start) == START else start

    @property
    def told(self) -> bool:
        """Whether the server itself has said what it cost."""
        return bool(self._found)

    @property
    def job(self) -> str:
        """The id of a picture that the server has only begun; "" where its answer is the picture."""
        return (prompt_id(self._carry) or "") if self._units == "images" else ""

    def result(self, complete: bool = True) -> Mapping[str, float]:
        """What it cost by unit; prompt_tokens and completion_tokens beside tokens. Estimated where the server told nothing.

        An answer that was cut off (`complete` False) cost at least what was seen of it: Anthropic's servers tell a
        first count with the first event.
        """
        if self._units == "tokens":
            return self._tokens(complete)
        if self._units == "transcription":
            seconds = self._found.get("seconds", self._found.get("duration"))
            return {"audio_seconds": self._length / BYTES_PER_AUDIO_SECOND if seconds is None else seconds}
        if self._units == "speech":
            text = tokens.spoken(self._fields)
            return {"characters": self._length if text is None else text}
        if self._units == "images":
            images, steps = tokens.pictures(self._fields)
            return {"images": images, "steps": images * (tokens.STEPS if steps is None else steps)}
        return {}

    def _tokens(self, complete: bool) -> Mapping[str, float]:
        found = self._found
        prompt, answer = found.get("prompt_tokens"), found.get("completion_tokens")
        if prompt is None:
            prompt = found.get("prompt_eval_count")
            if prompt is None and "input_tokens" in found:
                prompt = found["input_tokens"]
                prompt += found.get("cache_creation_input_tokens", 0) + found.get("cache_read_input_tokens", 0)
        if answer is None:
            answer = found.get("output_tokens", found.get("eval_count"))
        if prompt is None and answer is None and "total_tokens" in found:
            prompt = found["total_tokens"]
        if prompt is None:
            prompt = ceil(self._length / CHARACTERS_PER_TOKEN)
        if answer is None:
            answer = 0 if found else self._estimate()
        elif not complete:
            answer = max(answer, ceil(self._lines / 3))
        return {"tokens": prompt + answer, "prompt_tokens": prompt, "completion_tokens": answer}

    def _estimate(self) -> int:
        """Tokens of an answer that tells nothing: an event or a line each, else a quarter of its bytes."""
        if self._events:
            return ceil(self._lines / 2)
        if self._lined:
            return self._lines
        return ceil(self._bytes / CHARACTERS_PER_TOKEN)

    def _look(self, piece: bytes) -> None:
        """Decode what follows each name in a piece; hold on to a name whose value has not come whole."""
        if self._open:
            held, at, read = self._open + piece, 0, 1
            if b"}" not in piece and len(held) <= OBJECT:
                # Neither an object nor the number before its end is whole without one.
                self._open = held
                return
            self._open = b""
        else:
            held, read = self._carry + piece, 0
            # The expression need not look at what stands before the names, which is most of an answer.
            first = size = len(held)
            for gate in self._gates:
                seen = held.find(gate, 0, first)
                if seen >= 0:
                    first = seen
            if first == size:
                if self._lined and held.endswith(b"\n"):
                    self._carry = b""
                    self._nesting.reset()
                else:
                    self._go_on(held, 0, 0)
                return
            at = first - EDGE // 2 if first > EDGE // 2 else 0
        while match := _NAME.search(held, at):
            start, ended = match.start(), match.end()
            if held[ended : ended + 1] in _VALUES:
                self._read(held, read, start)
                read = start
                if self._says(match[1]):
                    whole = self._value(match[1], held, ended)
                    if whole is not None:
                        read = ended = whole
                    elif len(held) - start <= OBJECT and self._tries < TRIES:
                        self._tries += 1
                        # The byte before the name belongs to it.
                        self._open = held[start - 1 :]
                        return
            self._tries = 0
            at = ended
        self._go_on(held, read, at)

    def _read(self, held: bytes, start: int, end: int) -> None:
        """See where in its text a piece leads to; each line of a stream is a text of its own."""
        if self._lined:
            line = held.rfind(b"\n", start, end) + 1
            if line:
                self._nesting.reset()
                start = line
        if start < end:
            self._nesting.read(held[start:end])

    def _go_on(self, held: bytes, read: int, at: int) -> None:
        """Keep the end of a piece, in which a name may have begun."""
        keep = max(at, len(held) - EDGE)
        if self._lined:
            keep = max(keep, held.rfind(b"\n") + 1)
        self._read(held, read, keep)
        self._carry = held[keep:]

    def _says(self, name: bytes) -> bool:
        """Whether it is the server that speaks here, and not somebody whom it repeats."""
        nesting = self._nesting
        return nesting.at(_TOP) or (self._events and name == b"usage" and nesting.at(_IN_EVENT))

    def _value(self, name: bytes, held: bytes, at: int) -> int | None:
        """Note the number or object at an offset; where it ends, or None where its end has not come yet."""
        if at < len(held) and held[at] == _BRACE:
            return self._usage(held, at) if name == b"usage" else at
        number = _NUMBER.match(held, at)
        if _CUT.match(held, at):
            return None
        if number is None:
            return at
        self._note(name.decode("ascii"), float(number[0]))
        return number.end()

    def _usage(self, held: bytes, at: int) -> int | None:
        text = held[at : at + OBJECT].decode("latin-1")
        try:
            usage, length = _DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            # Cut off, most often: the caller knows how long to wait for the rest.
            return None
        for name in _COUNTS & usage.keys():
            value = usage[name]
            if type(value) is int or type(value) is float:
                self._note(name, value)
        return at + length

    def _note(self, name: str, value: float) -> None:
        # A stream tells its count again and again, growing: the largest is the last.
        found = self._found
        if found.get(name, 0) <= value < 1e15:
            found[name] = value


@lru_cache(maxsize=64)
def _kind(content_type: bytes | None) -> tuple[bool, bool]:
    """Whether an answer is a stream of events, and whether each of its lines is a text of its own."""
    kind = (content_type or b"").partition(b";")[0].strip().lower()
    return kind == b"text/event-stream", kind in _LINES


def _stands(before: bytes) -> bool:
    """Whether the server itself speaks after the beginning of an answer."""
    nesting = Nesting()
    nesting.read(before)
    return nesting.at(_TOP) or nesting.at(_IN_EVENT)

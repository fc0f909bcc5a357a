"""What a request may cost at the most, as far as it can be told before it goes up.

Two sorts of figures: what the request itself says (`told`: max_tokens, n, steps, the characters to speak), which must
fit a limit, and what has to be guessed (`assumed`: the tokens of a prompt, an answer without max_tokens, the length of
a recording), which never asks for more than a whole limit. The truth is settled when the answer ends.
"""

import re
from collections.abc import Collection, Mapping
from math import inf
from typing import Any, Final

from attrs import field

from edge.core.value import value

BYTES_PER_TOKEN: Final = 3
"""Bytes of a request's body per prompt token at the least: English has four or five, code and other scripts about three."""
ANSWER: Final = 1024
"""Tokens assumed for an answer where the request sets no bound."""
CONTEXT: Final = 131_072
"""The most tokens that a prompt is assumed to have: a picture in the body is many bytes and few tokens."""
BYTES_PER_AUDIO_SECOND: Final = 4000
"""Bytes of a recorded second at the least: speech at 32 kbit/s."""
STEPS: Final = 30
"""Steps assumed for a picture where the request names none."""

BOUNDS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens", "options.num_predict")
"""How requests spell the bound of an answer."""
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "tokens": (*BOUNDS, "n", "best_of"),
    "speech": ("input", "text", "phonemes", "ssml"),
    "transcription": (),
    "images": ("n", "batch_size", "n_iter", "steps", "num_inference_steps"),
}
"""The fields of a body that say what it may cost, by the name of what meters it; a dot looks inside an object."""
COUNTS: Final = frozenset((*FIELDS["tokens"], *FIELDS["images"]))
"""Those of them that say how many of something."""
BEYOND: Final = 10**15
"""What no count reaches: services do not agree on whole numbers of more digits."""

_DIGITS: Final = re.compile(r"-?[0-9]{1,15}")


@value
class Worst:
    """The most that a request may cost, by unit."""

    told: Mapping[str, float] = field(factory=dict)
    assumed: Mapping[str, float] = field(factory=dict)

    def counts(self, unit: str) -> bool:
        """Whether such a request can cost any of a unit: a spent budget of tokens is no reason to refuse a list of models."""
        return unit in self.told or unit in self.assumed

    def of(self, unit: str, amount: int) -> float:
        """What to reserve under a limit of `amount`: a guess alone never makes a request larger than the whole limit."""
        told = self.told.get(unit, 0)
        return told + min(self.assumed.get(unit, 0), max(0, amount - told))


def by_length(units: str, limited: Collection[str]) -> bool:
    """Whether only the length of a body tells what it may cost of the units that are limited."""
    return units == "transcription" and "audio_seconds" in limited


def worst_case(units: str, fields: Mapping[str, Any], length: int | None) -> Worst:
    """The worst case of a request metered as `units`; `fields` are judged ones of its body, `length` its bytes if known."""
    size = length or 0
    sent = {"bytes": float(size)}
    if units == "tokens":
        prompt = min(-(-size // BYTES_PER_TOKEN), CONTEXT)
        most, times = _most(fields), max(count(fields.get("n")) or 1, count(fields.get("best_of")) or 1)
        if most is None:
            return Worst(sent, {"tokens": prompt + ANSWER * times})
        return Worst(sent | {"tokens": most * times}, {"tokens": prompt})
    if units == "speech":
        text = spoken(fields)
        return Worst(sent, {"characters": size}) if text is None else Worst(sent | {"characters": text})
    if units == "transcription":
        # One that nobody could measure may be as long as any: all of a limit is kept for it.
        return Worst(sent, {"audio_seconds": inf if length is None else length / BYTES_PER_AUDIO_SECOND})
    if units == "images":
        images, steps = pictures(fields)
        if steps is None:
            return Worst(sent | {"images": images}, {"steps": images * STEPS})
        return Worst(sent | {"images": images, "steps": images * steps})
    return Worst(sent)


def count(value: object) -> int | None:
    """A number of things that a body names (digits in a form), None for anything else: -1 means no bound to some servers."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return value if type(value) is int and value >= 0 else None


def uncounted(fields: Mapping[str, Any]) -> str | None:
    """The name of a count that services may read otherwise than the gate (8.0, " 8", true), None where there is none.

    Null and the empty text of a form say nothing, and what is below nothing is no bound.
    """
    for name, said in fields.items():
        if name not in COUNTS or said is None or said == "":
            continue
        number = int(said) if isinstance(said, str) and _DIGITS.fullmatch(said) else said
        if type(number) is not int or not -BEYOND < number < BEYOND:
            return name
    return None


def spoken(fields: Mapping[str, Any]) -> int | None:
    """The characters that a request wants spoken: of the longest text, since services differ in which one they read.
    None where there is none, or something that is no text."""
    texts = [text for name in FIELDS["speech"] if (text := fields.get(name)) is not None]
    return max(map(len, texts)) if texts and all(isinstance(text, str) for text in texts) else None


def pictures(fields: Mapping[str, Any]) -> tuple[int, int | None]:
    """(images, steps of each) that a request asks for, the most where it says them twice; steps None where it names none."""
    images = 1
    for name in ("n", "batch_size", "n_iter"):
        images *= max(1, count(fields.get(name)) or 1)
    steps = (count(fields.get(name)) for name in ("steps", "num_inference_steps"))
    return images, max((each for each in steps if each is not None), default=None)


def _most(fields: Mapping[str, Any]) -> int | None:
    """The bound that a request sets to its answer's tokens; the largest where it sets several."""
    most = None
    for name in BOUNDS:
        if name in fields and (told := count(fields[name])) is not None and (most is None or told > most):
            most = told
    return most

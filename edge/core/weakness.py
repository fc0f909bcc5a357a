"""Whether an old key is easy to guess: said at import, so that it can be given an end."""

import re
from itertools import pairwise
from typing import Final

SHORT: Final = 20
"""Fewer characters than this are searched by whoever has patience."""
FEW: Final = 8
"""Fewer different characters than this repeat themselves."""

WORDS: Final = frozenset(
    """
    access account admin administrator alice alpha api apikey apple auth backend banana bearer beta bob bot car cat change
    changeit changeme chat code computer correct cool dad default demo dev development dog dragon example family flower food
    football for gate gateway god guest hello hi home horse house image iloveyou internet kennwort key kid kids king lab
    letmein light linux live llama llm local login love machine magic master me mine mistral mom monkey moon mother music my
    nas new ninja nobody ollama open openai orange our out pass passwd password passwort personal phone pizza power prod
    production princess private proxy public qwerty qwertz red root sample secret secure security server service shadow
    simple single sk someone something stable staging star staple starwars summer sun super superman system tablet team temp
    test tester testing text that the this token tool top toy tts user very vip voice water web welcome whisper whatever
    winter wonder word work world xyz your
    abc abcd abcde abcdef abcdefg foo bar baz asdf asdfgh yxcv zxcv
    """.split()  # noqa: SIM905  # a list would take a line for each word
)
"""Words of passwords and examples, English and German."""

_LETTERS = re.compile(r"[a-z]+")


def weakness(secret: str) -> str:
    """Why a key is easy to guess, in a few words; "" for one that is not known to be."""
    if len(secret) < SHORT:
        return f"only {len(secret)} characters"
    if len(set(secret)) < FEW or _periodic(secret):
        return "repeats itself"
    text = secret.lower()
    runs = _LETTERS.findall(text)
    rest = re.sub(r"[a-z]+", "", text)
    if runs and len(re.sub(r"[^0-9]", "", rest)) <= 8 and all(_worded(run) for run in runs):
        return "made of dictionary words"
    if _counted(text):
        return "characters in order"
    return ""


def _periodic(text: str) -> bool:
    # A text of a repeated piece is found again inside its own double, not only at the ends.
    return text in (text + text)[1:-1]


def _worded(run: str) -> bool:
    """Whether a run of letters is one or several dictionary words on end."""
    reached = {0}
    for end in range(1, min(len(run), 64) + 1):
        if any(run[start:end] in WORDS for start in reached):
            reached.add(end)
    return len(run) in reached


def _counted(text: str) -> bool:
    """Whether most characters follow the one before them: abcdefgh, 12345678."""
    steps = [ord(after) - ord(before) for before, after in pairwise(text)]
    return sum(step in (0, 1, -1) for step in steps) > 0.7 * len(steps)

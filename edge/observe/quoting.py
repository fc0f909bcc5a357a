"""What others chose, as it may stand in a log: without secrets, without characters that act, and in ASCII."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Final

from edge.core.redact import AT, EQUALS, PERCENT, UNDERSCORE, printable, redacted

quoted: Final[Callable[[str], str]] = encode_basestring_ascii
"""A text as a JSON string in ASCII: no control character, quotation mark or line end of a client's survives as such."""

LONGEST: Final = 512
REMEMBERED: Final = 4096
LONGEST_KEPT: Final = 400
"""How many values are kept as they are shown, up to which length: clients send the same few again and again."""
known: Final[dict[Hashable, str]] = {}
"""From what was sent to how it is shown. Bytes, texts and tuples are never equal to each other, so one table serves."""
_KEYS: Final = re.compile(r"aig_[0-9A-Za-z_%]+")
RECENT: Final = 256
_recent: Final[dict[int, tuple[Mapping[str, float], str]]] = {}
"""What requests cost as it was just shown, by the identity of the mapping: the access log and the record of use both ask."""


def shown(raw: bytes, longest: int) -> str:
    """What a client wrote, without secrets and without characters that act."""
    # The cut comes after the masking: half a key would no longer be seen as one.
    if EQUALS in raw or UNDERSCORE in raw or PERCENT in raw or AT in raw:
        raw = redacted(raw)
    made = printable(raw, longest)
    return made if len(raw) <= longest else made.replace("…", "...")


def scrubbed(line: str) -> str:
    """A line without anything that begins like a key of ours, in whatever field it stands."""
    return _KEYS.sub("***", line) if "aig_" in line else line


def text(value: str) -> str:
    """A text as a JSON string without secrets."""
    return known.get(value) or keep(value, len(value), quoted(shown(value.encode("utf-8", "replace"), LONGEST)))


def keep(mark: Hashable, length: int, made: str) -> str:
    """Remember how something is shown that is `length` characters long; returns it."""
    if length <= LONGEST_KEPT:
        if len(known) >= REMEMBERED:
            known.clear()
        known[mark] = made
    return made


def units_text(units: Mapping[str, float]) -> str:
    """What a request cost, as a JSON object."""
    before = _recent.get(id(units))
    if before is not None and before[0] is units:
        return before[1]
    names = tuple(units)
    # Names are ours and few, so that a template for each set of them is.
    made = (known.get(names) or keep(names, 0, _template(names))) % tuple(units.values())
    if len(_recent) >= RECENT:
        _recent.clear()
    _recent[id(units)] = units, made
    return made


def _template(names: Sequence[str]) -> str:
    return "{" + ",".join(f'"{name}":%r' for name in names) + "}"

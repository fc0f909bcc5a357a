"""Lines of which each holds the hash of the one before: what was removed, moved or edited shows.

    {"n":2,"at":"2026-11-22T13:04:05.250Z","what":"attempt",…,"prev":"<hash of line 1>","hash":"<SHA-256 of this line up to here>"}

The hash is taken over the line's own bytes up to `,"hash"`, so that nothing has to be put in order again before it is
checked. Whoever may write the file can make a whole new chain; only a hash that is kept elsewhere, or signed, tells the
two apart.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final

from attrs import define, field, frozen

NOTHING: Final = "0" * 64
"""What the first line of all names as the hash before it."""
MOST_FAULTS: Final = 1000
"""So many faults are told in words; the rest is counted."""
_TAIL: Final = len(',"hash":""}') + 64


@frozen
class Link:
    """The place of a line in the chain."""

    number: int
    hash: str


START: Final = Link(0, NOTHING)


def seal(body: str, after: Link) -> tuple[str, Link]:
    """A line (with its line feed) and its place, of a JSON object's members without braces: `"at":"…","what":"…"`."""
    (line,), link = seal_all((body,), after)
    return line, link


def seal_all(bodies: Iterable[str], after: Link) -> tuple[list[str], Link]:
    """The same for many, and the place of the last: in one go, since a busy gate seals thousands a second."""
    number, before = after.number, after.hash
    lines = []
    for body in bodies:
        number += 1
        head = f'{{"n":{number},{body},"prev":"{before}"'
        before = sha256(head.encode()).hexdigest()
        lines.append(f'{head},"hash":"{before}"}}\n')
    return lines, Link(number, before)


@frozen
class Sealed:
    """A line that was read back."""

    link: Link
    before: str
    """The hash that it names as that of the line before."""
    honest: bool
    """Whether its own hash is right."""
    entry: Mapping[str, Any]


def unseal(line: bytes) -> Sealed | None:
    """A line without its line feed, None where it is none of ours."""
    try:
        entry = json.loads(line)
        link, before = Link(entry["n"], entry["hash"]), entry["prev"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if type(link.number) is not int or not isinstance(link.hash, str) or not isinstance(before, str):
        return None
    return Sealed(link, before, sha256(line[:-_TAIL]).hexdigest() == link.hash, entry)


@frozen
class Fault:
    """Something that is wrong with a chain: where it stands and what it is."""

    place: str
    """`audit.jsonl:17`."""
    say: str

    def __str__(self) -> str:
        return f"{self.place}: {self.say}"


@define
class Check:
    """Reads a chain from its beginning and tells what is wrong. `heads` are places known from elsewhere."""

    heads: Mapping[int, str] = field(factory=dict)
    first: Link | None = None
    last: Link | None = None
    lines: int = 0
    faults: list[Fault] = field(factory=list)
    further: int = 0
    """Faults beyond those that are told."""
    _gaps: list[tuple[int, int, str]] = field(factory=list, init=False)
    _start: tuple[Link, str] | None = field(default=None, init=False)
    _discarded: dict[int, str] = field(factory=dict, init=False)
    _unsure: bool = field(default=False, init=False)

    def feed(self, place: str, line: bytes) -> None:
        """Read the next line (without its line feed), which stands at `place`."""
        self.lines += 1
        sealed = unseal(line)
        if sealed is None:
            self._fault(place, "this is no line of the log: it was edited or put in")
            self._unsure = True
            return
        number = sealed.link.number
        if not sealed.honest:
            self._edited(place, sealed)
            return
        self._note(place, sealed)
        if self.last is None:
            self.first = sealed.link
            if number != 1 or sealed.before != NOTHING:
                self._start = (Link(number - 1, sealed.before), place)
            self.last = sealed.link
        elif number == self.last.number + 1:
            if sealed.before != self.last.hash and not self._unsure:
                self._fault(
                    place, f"line {number} does not follow line {number - 1}: one of them was edited and hashed anew"
                )
            self.last = sealed.link
        elif number > self.last.number:
            # Lines that cannot be read may be those that are missing here.
            if not self._unsure or number > self.last.number + 2:
                self._gaps.append((self.last.number + 1, number - 1, place))
            self.last = sealed.link
        else:
            self._moved(place, number)
        self._unsure = False

    def _edited(self, place: str, sealed: Sealed) -> None:
        """Nothing that an edited line says of itself is believed: neither its number nor its hash."""
        number = self.last.number + 1 if self.last else sealed.link.number
        self._fault(place, f"line {number} was edited")
        if self.last is None:
            self.first = sealed.link
        if sealed.link.number == number:
            self.last = sealed.link
        self._unsure = True

    def finish(self) -> None:
        """The chain is at its end."""
        for low, high, place in self._gaps:
            which = f"line {low} was" if low == high else f"lines {low} to {high} were"
            self._fault(place, f"{which} removed before this line")
        if self._start is not None:
            before, place = self._start
            attested = max((number for number in self._discarded if number >= before.number), default=None)
            if attested is None or self._discarded.get(before.number, before.hash) != before.hash:
                self._fault(place, f"the log begins with line {before.number + 1}: those before it were removed")
        end = self.last.number if self.last else 0
        for number in sorted(self.heads):
            if number > end:
                self._fault("end", f"lines {end + 1} to {number} were removed from the end")

    def _note(self, place: str, sealed: Sealed) -> None:
        number, entry = sealed.link.number, sealed.entry
        if number in self.heads and self.heads[number] != sealed.link.hash:
            self._fault(place, f"line {number} is not the one that was signed: the log was made anew up to here")
        # Only below a head: whoever can write the file could let lines go and say so.
        through = entry.get("through")
        if entry.get("what") == "discarded" and type(through) is int and number <= max(self.heads, default=number):
            self._discarded[through] = entry.get("through_hash", "")
        if entry.get("what") == "broken":
            self._fault(
                place, f"line {number} records that the log was tampered with before it: {entry.get('say', '')}"
            )

    def _moved(self, place: str, number: int) -> None:
        for at, (low, high, where) in enumerate(self._gaps):
            if low <= number <= high:
                self._gaps[at : at + 1] = [
                    gap for gap in ((low, number - 1, where), (number + 1, high, where)) if gap[0] <= gap[1]
                ]
                self._fault(place, f"line {number} stands in the wrong place")
                return
        self._fault(place, f"line {number} stands here once more")

    def _fault(self, place: str, say: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(place, say))
        else:
            self.further += 1


def check(lines: Iterable[tuple[str, bytes]], heads: Mapping[int, str] | None = None) -> Check:
    """Read a whole chain of (place, line)."""
    made = Check(heads or {})
    for place, line in lines:
        made.feed(place, line)
    made.finish()
    return made

"""Questions on a terminal: a choice by arrow keys or numbers, a line of text, yes or no."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import Final

import click

from edge.cli.tables import clean

UP: Final = "up"
DOWN: Final = "down"
ENTER: Final = "enter"
BACK: Final = "back"
_SEQUENCES: Final = {
    b"\x1b[A": UP, b"\x1bOA": UP, b"k": UP, b"\x1b[B": DOWN, b"\x1bOB": DOWN, b"j": DOWN, b"\t": DOWN,
    b"\r": ENTER, b"\n": ENTER, b"\x1b": BACK, b"q": BACK, b"\x04": BACK,
}  # fmt: skip
_PATIENCE: Final = 0.05
"""Seconds within which the rest of an arrow key's sequence follows its Escape."""
PAGE: Final = 15
"""The most entries of a choice that are shown at once."""


class GoBack(Exception):
    """The person wants back to where they came from."""


def choose(title: str, entries: Sequence[str], start: int = 0) -> int:
    """The number (from 0) of the entry that is chosen, by arrows and Enter or by typing its number. Raises GoBack for Escape or q."""
    at, typed = start, ""
    shown = 0
    with _raw():
        while True:
            _erase(shown)
            shown = _draw(title, entries, at, typed)
            pressed = _key()
            if pressed == UP:
                at, typed = (at - 1) % len(entries), ""
            elif pressed == DOWN:
                at, typed = (at + 1) % len(entries), ""
            elif pressed == ENTER:
                return at
            elif pressed == BACK:
                raise GoBack
            elif pressed.isdecimal() and pressed.isascii():
                typed = (typed + pressed)[-4:]
                if not 1 <= int(typed) <= len(entries):
                    typed = pressed if 1 <= int(pressed) <= len(entries) else ""
                if typed:
                    at = int(typed) - 1
                    # No further digit could follow: the choice is made.
                    if int(typed) * 10 > len(entries):
                        _erase(shown)
                        _draw(title, entries, at, typed)
                        return at


def line(question: str, default: str = "") -> str:
    """A line of text; an empty answer gives `default`. Raises GoBack for end of input or a single `q`."""
    told = f"{question} [{default}]: " if default else f"{question}: "
    try:
        answer = input(told).strip()
    except EOFError:
        click.echo()
        raise GoBack from None
    if answer == "q":
        raise GoBack
    return answer or default


def sure(question: str) -> bool:
    """Whether `yes` is typed in full: for what cannot be undone."""
    return line(f"{question} Type yes to go on", "no") == "yes"


def _draw(title: str, entries: Sequence[str], at: int, typed: str) -> int:
    width = get_terminal_size().columns
    first = min(max(0, at - PAGE // 2), max(0, len(entries) - PAGE))
    window = range(first, min(first + PAGE, len(entries)))
    rows = [click.style(clean(title)[: width - 1], bold=True)]
    for number in window:
        text = f"{'>' if number == at else ' '} {number + 1:>2}  {clean(entries[number])}"[: width - 1]
        rows.append(click.style(text, reverse=number == at))
    more = f"{len(entries)} in all · " if len(entries) > PAGE else ""
    rows.append(click.style(f"{more}↑ ↓ or a number, Enter; q goes back {typed}"[: width - 1], dim=True))
    click.echo("\r\n".join(rows), nl=False)
    return len(rows)


def _erase(rows: int) -> None:
    if rows:
        click.echo(f"\x1b[{rows - 1}A\r\x1b[J" if rows > 1 else "\r\x1b[J", nl=False)


def _key() -> str:
    handle = sys.stdin.fileno()
    read = os.read(handle, 1)
    if not read:
        return BACK
    if read == b"\x03":
        raise KeyboardInterrupt
    while read.startswith(b"\x1b") and len(read) < 6 and select.select([handle], [], [], _PATIENCE)[0]:
        read += os.read(handle, 1)
        if read[-1:].isalpha() and read[-1:] != b"O":
            break
    return _SEQUENCES.get(read, read.decode("ascii", "replace"))


@contextmanager
def _raw() -> Iterator[None]:
    """Single keys without echo; whatever happens, the terminal is as before afterwards."""
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    try:
        # Not the default, which would throw away what was typed ahead.
        tty.setcbreak(handle, termios.TCSADRAIN)
        click.echo("\x1b[?25l", nl=False)
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)
        click.echo("\x1b[?25h\r\n", nl=False)

"""Tables for people: ruled on a terminal, plain columns in a pipe."""

import sys
from collections.abc import Mapping, Sequence

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows below heads, on standard output. Cells are shown as they are: nothing in them is markup."""
    rows = [[clean(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        # Lines as long as they are, so that `grep` and `cut` see whole ones.
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        for row in (heads, *rows):
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, head in enumerate(heads):
        made.add_column(head, no_wrap=number == 0, overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    Console(highlight=False).print(made)


def details(values: Mapping[str, object]) -> None:
    """Names and values, one a line, on standard output."""
    width = max(map(len, values))
    for name, value in values.items():
        told = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        click.echo(f"{name.replace('_', ' '):{width}}  {clean(told)}")


def clean(text: str) -> str:
    """A text without control characters, which could rewrite what a terminal shows."""
    return "".join(char if char.isprintable() else "?" for char in text)

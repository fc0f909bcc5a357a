"""Settings that have another name now."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from edge.config.lines import show_path
from edge.config.structure import Place, Problem


@frozen
class Renamed:
    """A setting with a new name; the old one keeps working, with a warning, up to the version `until`."""

    old: tuple[str, ...]
    """Its former place; `*` stands for any one name: `("services", "*", "backend")`."""
    new: tuple[str, ...]
    """Its place now, with as many `*`, filled in order."""
    until: str


RENAMED: Final[tuple[Renamed, ...]] = ()


def apply(
    rules: tuple[Renamed, ...], raw: dict[str, Any], lines: dict[Place, int], sources: dict[Place, str]
) -> tuple[list[Problem], list[Problem]]:
    """Move what stands under a former name, and where it stands, to its name now: (warnings, errors)."""
    warnings: list[Problem] = []
    errors: list[Problem] = []
    for rule in rules:
        for old, stars in _matching(raw, rule.old):
            names = iter(stars)
            new = tuple(next(names) if part == "*" else part for part in rule.new)
            say = f"is called {show_path(new)} now"
            if _matching(raw, new):
                errors.append((old, f"{say}, which is set too; take this one out"))
                drop(raw, old)
                continue
            _move(raw, old, new)
            for places in (lines, sources):
                _keep_places(places, old, new)
            warnings.append((old, f"{say}; the old name works until version {rule.until}"))
    return warnings, errors


def drop(raw: dict[str, Any], place: Place) -> None:
    """Take the value at `place` out of the tables, or the whole list that it is in."""
    table: Any = raw
    for number, part in enumerate(place):
        if not isinstance(table, dict) or part not in table:
            return
        if number == len(place) - 1 or isinstance(table[part], list):
            del table[part]
            return
        table = table[part]


def _matching(raw: Any, pattern: tuple[str, ...]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Every place in `raw` that `pattern` fits, each with the names that its stars stand for."""
    if not pattern:
        return [((), ())]
    if not isinstance(raw, Mapping):
        return []
    names = list(raw) if pattern[0] == "*" else [pattern[0]] if pattern[0] in raw else []
    return [
        ((name, *place), ((name, *stars) if pattern[0] == "*" else stars))
        for name in names
        for place, stars in _matching(raw[name], pattern[1:])
    ]


def _move(raw: dict[str, Any], old: tuple[str, ...], new: tuple[str, ...]) -> None:
    tables = [raw]
    for part in old[:-1]:
        tables.append(tables[-1][part])
    value = tables[-1].pop(old[-1])
    # A table that held only what has moved goes with it: its name may be no section any more.
    for part, above, below in reversed(list(zip(old, tables, tables[1:], strict=False))):
        if not below:
            del above[part]
    for part in new[:-1]:
        raw = raw.setdefault(part, {})
    raw[new[-1]] = value


def _keep_places(places: dict[Place, Any], old: Place, new: Place) -> None:
    for place in [place for place in places if place[: len(old)] == old]:
        places[new + place[len(old) :]] = places[place]

"""Reads the configuration: a TOML file, the environment over it, and every error at once."""

import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen
from cattrs import ClassValidationError

from edge.config import environment
from edge.config.check import check, warn
from edge.config.lines import locate, show_path
from edge.config.renamed import RENAMED, Renamed, apply, drop
from edge.config.schema import Config
from edge.config.structure import Place, Problem, problems, structure
from edge.errors import ConfigError, ConfigErrors

ENVIRONMENT: Final = "environment"
# Python reads no whole number with more digits than this, and says so without a line.
_MOST_DIGITS: Final = sys.int_info.default_max_str_digits
_TOO_LONG: Final = re.compile(rf"[0-9_]{{{_MOST_DIGITS},}}")
_WHERE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@frozen
class Reading:
    """A configuration as read: the settings, where they came from, and what to tell the operator."""

    config: Config
    file: Path | None = None
    warnings: tuple[str, ...] = ()
    _lines: Mapping[Place, int] = field(factory=dict, repr=False)
    _sources: Mapping[Place, str] = field(factory=dict, repr=False)

    def says(self, *place: str | int) -> bool:
        """Whether something was written into the list or table at a place, right or wrong."""
        below = (at[: len(place)] == place for at in (*self._lines, *self._sources) if len(at) > len(place))
        return place in self._sources or any(below)

    def place(self, errors: ConfigErrors | ConfigError) -> ConfigErrors:
        """The same errors with the file and the line of each, as far as they are known."""
        by_text = {show_path(place): place for place in (*self._lines, *self._sources)}
        placed = []
        for error in errors.errors if isinstance(errors, ConfigErrors) else (errors,):
            path = error.path
            while path and path not in by_text:
                path = path[: max(path.rfind("."), path.rfind("["), 0)]
            placed.append(_error(by_text.get(path, ()), error.say, self.file, self._lines, self._sources, error.path))
        return ConfigErrors(tuple(placed))


def read(
    file: Path | None,
    environ: Mapping[str, str],
    *,
    further: Callable[[Reading], object] | None = None,
    renamed: tuple[Renamed, ...] = RENAMED,
) -> Reading:
    """The configuration of `file` (None: defaults) with the environment's settings over it. Raises ConfigErrors.

    `further` is asked with what could be read, wrong settings left out; the ConfigErrors that it raises join the others.
    """
    raw, lines = _load(file) if file else ({}, {})
    base = file.absolute().parent if file else Path.cwd()
    sources: dict[Place, str] = {}
    errors: list[ConfigError] = []
    for name, text in environment.settings(environ).items():
        try:
            sources[environment.overlay(raw, name, text, Config)] = name
        except ValueError as error:
            errors.append(ConfigError(name, str(error), ENVIRONMENT))
    told, doubled = apply(renamed, raw, lines, sources)
    config, wrong = _structure(raw, base)
    judged, warned = (check(config), told + warn(config)) if config else ([], told)
    errors += [_error(place, say, file, lines, sources) for place, say in doubled + wrong + judged]
    warnings = tuple(str(_error(place, say, file, lines, sources)) for place, say in warned)
    reading = Reading(config or Config(), file, warnings, lines, sources)
    if further:
        try:
            further(reading)
        except ConfigErrors as more:
            errors += more.errors
    if errors:
        errors.sort(key=lambda error: (error.file == ENVIRONMENT, error.line or 0))
        raise ConfigErrors(tuple(dict.fromkeys(errors)))
    return reading


def _load(file: Path) -> tuple[dict[str, Any], dict[Place, int]]:
    try:
        # A byte order mark is what some editors leave; TOML has no place for one.
        text = file.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text), locate(text)
    except OSError as error:
        raise ConfigErrors((ConfigError("", f"cannot be read: {error.strerror}", file),)) from None
    except UnicodeDecodeError as error:
        line = file.read_bytes().count(b"\n", 0, error.start) + 1
        raise ConfigErrors((ConfigError("", "is not UTF-8 text", file, line),)) from None
    except tomllib.TOMLDecodeError as error:
        match = _WHERE.search(str(error))
        line = int(match[1]) if match and match[1] else text.count("\n") + 1
        say = _WHERE.sub("", str(error))
        raise ConfigErrors((ConfigError("", f"is not TOML: {say}", file, line),)) from None
    except ValueError:
        number = _TOO_LONG.search(text)
        before = text[: number.start() if number else 0].split("\n")
        say = f"holds a number of more than {_MOST_DIGITS} digits"
        raise ConfigErrors((ConfigError(before[-1].partition("=")[0].strip(), say, file, len(before)),)) from None
    except RecursionError:
        raise ConfigErrors((ConfigError("", "is not a configuration: it nests too deep", file),)) from None


def _error(
    place: Place, say: str, file: Path | None, lines: Mapping[Place, int], sources: Mapping[Place, str], path: str = ""
) -> ConfigError:
    """The error at a place: told by the variable where the environment set it, else by the nearest line above it."""
    path = path or show_path(place)
    for end in range(len(place), 0, -1):
        above = place[:end]
        if above in lines and above not in sources:
            return ConfigError(path, say, file, lines[above])
        # A table that only variables have opened has no line: the first of them answers for it.
        if name := sources.get(above) or next((sources[at] for at in sources if at[:end] == above), None):
            return ConfigError(name, say if sources.get(place) == name else f"{path} {say}", ENVIRONMENT)
    return ConfigError(path, say, file)


def _structure(raw: dict[str, Any], base: Path) -> tuple[Config | None, list[Problem]]:
    """The configuration and what is wrong with it; what is wrong is left out, so that the rest can be judged too."""
    found: list[Problem] = []
    rest = deepcopy(raw)
    # Leaving a wrong value out can leave a required one missing, hence a few rounds.
    for _ in range(3):
        try:
            config = structure(rest, Config, base)
        except (ClassValidationError, ValueError) as error:
            wrong = problems(error)
            found += [problem for problem in wrong if not any(problem[0][: len(known)] == known for known, _ in found)]
            for place, say in wrong:
                drop(rest, place[:-1] if say == "is missing" else place)
        else:
            tls = config.tls
            return evolve(config, tls=evolve(tls, certs_dir=base / tls.certs_dir)), found
    return None, found

"""Plain TOML values to the frozen tree: strict types, every error at once, each with its place."""

import sys
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache, partial, reduce
from ipaddress import IPv4Network, IPv6Network, ip_network
from operator import eq, or_
from pathlib import Path
from types import GenericAlias, UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin

from attrs import fields_dict, has
from cattrs import AttributeValidationNote, BaseValidationError, ClassValidationError, Converter, IterableValidationNote
from cattrs.errors import ForbiddenExtraKeysError, StructureHandlerNotFoundError
from cattrs.gen import make_dict_structure_fn, make_mapping_structure_fn

from edge.config import kinds
from edge.config.kinds import Address, Upstream
from edge.config.lines import show_path
from edge.core.quantities import Limit, duration, limit, size
from edge.errors import ConfigError, ConfigErrors

Place = tuple[str | int, ...]
Problem = tuple[Place, str]
T = TypeVar("T")

MOST: Final = 10**9
"""The most that a count can be set to: whatever counts, or keeps as many, can do with this number."""
WANTED: Final[dict[type, str]] = {
    str: 'text in quotes, like "name"',
    bool: "true or false",
    int: "a whole number, like 20",
    dict: "a table",
    list: "a list, like [ … ]",
}


class WrongTypeError(ValueError):
    """A value of another type than the setting's; it says what is expected and never shows the value."""

    def __init__(self, value: object, wanted: str) -> None:
        given = next((name for kind, name in GIVEN.items() if isinstance(value, kind)), "a date or time")
        super().__init__(f"expects {wanted}; this is {given}")


# bool stands before int, which it is one of.
GIVEN: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}


def exactly(kind: type[T]) -> Callable[[Any, Any], T]:
    """A hook that takes values of `kind` only: no "5" for 5, no 1 for true."""

    def hook(value: Any, _: Any) -> T:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise WrongTypeError(value, WANTED[kind])
        return value

    return hook


def written(parse: Callable[[str], T], wanted: str) -> Callable[[Any, Any], T]:
    """A hook for values that are written as text and read by `parse`."""

    def hook(value: Any, _: Any) -> T:
        if not isinstance(value, str):
            raise WrongTypeError(value, wanted)
        return parse(value)

    return hook


def _number(
    kind: type[int] | type[float], least: float, most: float | None, wanted: str
) -> Callable[[Any, Any], float]:
    def hook(value: Any, _: Any) -> float:
        allowed = (int,) if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise WrongTypeError(value, wanted)
        if kind is int and value > MOST:
            raise ValueError(f"is more than {MOST}, the most that can be counted here")
        # Written so that nan, which TOML has, is no number either.
        if not (least <= value <= (sys.float_info.max if most is None else most)):
            raise ValueError(f"expects {wanted}")
        return kind(value)

    return hook


def _duration(text: str) -> float:
    if (seconds := duration(text)) <= 0:
        raise ValueError(f"{text!r}: a duration is more than 0")
    return seconds


def _size(value: Any, _: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise WrongTypeError(value, 'a size, like "64 KiB"')
    if (count := size(str(value))) < 1:
        raise ValueError(f"{value!r}: a size is at least 1 B")
    return count


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is not a network; write it like 192.168.1.0/24 or fd00::/8") from None
    raise ValueError(f"{text!r} has address bits behind its prefix; did you mean {str(meant)!r}?")


def _path(text: str, base: Path) -> Path:
    if "\0" in text:
        raise ValueError("a path holds no NUL character")
    try:
        return base / Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{text!r}: this machine knows no such user's home") from None


def _listen(value: Any, _: Any) -> tuple[Address, ...]:
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if isinstance(entry, bool) or not isinstance(entry, (int, str)):
            raise WrongTypeError(entry, 'a port, "HOST:PORT", "unix:/PATH", or a list of those')
    return tuple(Address.parse(entry) for entry in entries if entry != "")


def _choice(value: Any, kind: Any) -> Any:
    choices = get_args(kind)
    if value not in choices or not isinstance(value, str):
        raise ValueError(f"expects one of {', '.join(map(repr, choices))}")
    return value


def _off(parse: Callable[[Any, Any], T]) -> Callable[[Any, Any], T | None]:
    return lambda value, kind: None if value == "" else parse(value, kind)


def optional_of(kind: Any) -> Any:
    """What an optional type holds when it holds something; None for any other type."""
    if get_origin(kind) not in (Union, UnionType) or type(None) not in get_args(kind):
        return None
    return reduce(or_, (part for part in get_args(kind) if part is not type(None)))


def _made_of(origin: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) is origin


# Making one writes and compiles code for every class, which is most of what reading costs.
@lru_cache(maxsize=4)
def make_converter(base: Path) -> Converter:
    """A converter whose relative paths count from the folder `base`."""
    made = Converter(detailed_validation=True, forbid_extra_keys=True)
    for kind in (str, bool, int):
        made.register_structure_hook(kind, exactly(kind))
    made.register_structure_hook(float, _number(float, -sys.float_info.max, None, "a number, like 0.5"))
    seconds = written(_duration, 'a duration, like "10m"')
    by_kind: dict[Any, Callable[[Any, Any], Any]] = {
        kinds.Duration: seconds,
        kinds.DurationOrOff: _off(seconds),
        kinds.Size: _size,
        kinds.Count: _number(int, 1, None, "a whole number from 1"),
        kinds.CountOrNone: _number(int, 0, None, "a whole number from 0"),
        kinds.Amount: _number(float, 0, None, "a number from 0"),
        kinds.Share: _number(float, 0, 1, "a number from 0 to 1"),
        tuple[Address, ...]: _listen,
        IPv4Network | IPv6Network: written(_network, 'a network, like "192.168.1.0/24"'),
    }
    for kind, hook in by_kind.items():
        made.register_structure_hook_func(partial(eq, kind), hook)
    made.register_structure_hook(Limit, written(limit, 'a limit, like "60/minute"'))
    made.register_structure_hook(Upstream, written(Upstream.parse, 'an address, like "http://127.0.0.1:11434"'))
    made.register_structure_hook(Path, written(lambda text: _path(text, base), 'a path, like "certs"'))
    made.register_structure_hook_func(_made_of(Literal), _choice)

    def optional(kind: Any) -> Callable[[Any, Any], Any]:
        inner = optional_of(kind)
        return lambda value, _: None if value == "" else made.structure(value, inner)

    def tables(kind: Any) -> Callable[[Any, Any], Any]:
        made_of = make_dict_structure_fn(kind, made, _cattrs_forbid_extra_keys=True)
        return lambda value, asked: made_of(exactly(dict)(value, dict), asked)

    def mappings(kind: Any) -> Callable[[Any, Any], Any]:
        made_of = make_mapping_structure_fn(kind, made)
        return lambda value, asked: made_of(exactly(dict)(value, dict), asked)

    def tuples(kind: Any) -> Callable[[Any, Any], Any]:
        as_list: Any = GenericAlias(list, get_args(kind)[:1])
        return lambda value, _: tuple(made.structure(exactly(list)(value, list), as_list))

    made.register_structure_hook_factory(
        lambda kind: optional_of(kind) is not None and kind != kinds.DurationOrOff, optional
    )
    made.register_structure_hook_factory(has, tables)
    made.register_structure_hook_factory(_made_of(dict), mappings)
    made.register_structure_hook_factory(
        lambda kind: _made_of(tuple)(kind) and get_args(kind) != (Address, ...), tuples
    )
    return made


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or what there is where nothing is near."""
    known = list(known)
    if near := get_close_matches(name, known, 1, 0.6):
        return f'; did you mean "{near[0]}"?'
    return f"; here are known: {', '.join(known)}" if known else ""


def problems(error: BaseException, place: Place = ()) -> list[Problem]:
    """Every single thing wrong that `error`, raised by a converter, is made of."""
    if isinstance(error, BaseValidationError):
        found: list[Problem] = []
        for inner in error.exceptions:
            step: Place = ()
            for note in getattr(inner, "__notes__", ()):
                if isinstance(note, AttributeValidationNote):
                    step = (note.name,)
                elif isinstance(note, IterableValidationNote):
                    step = (note.index,)
            found += problems(inner, place + step)
        return found
    if isinstance(error, ForbiddenExtraKeysError):
        known = list(fields_dict(error.cl))
        return [
            (place + (name,), f"is not a setting{nearest(name, known)}") for name in sorted(error.extra_fields, key=str)
        ]
    if isinstance(error, KeyError):
        return [(place, "is missing")]
    if isinstance(error, StructureHandlerNotFoundError):
        return [(place, "has a type that settings cannot have: mend the plugin's options class")]
    # What attrs' own validators raise holds a sentence first, then objects.
    return [(place, str(error.args[0]) if error.args else type(error).__name__)]


def structure(raw: Mapping[str, Any], cls: type[T], base: Path) -> T:
    """The `cls` value of `raw`. Raises whatever `problems` takes apart."""
    return make_converter(base).structure(raw, cls)


def structure_options(cls: type[T], raw: Mapping[str, Any], path: str, base: Path | None = None) -> T:
    """A plugin's own settings, `raw`, as a value of its attrs class `cls`.

    `path` is where they stand, `services.chat.options`; relative paths count from `base`. Raises ConfigErrors,
    whose files and lines `Reading.place` fills in.
    """
    try:
        return structure(raw, cls, base or Path.cwd())
    except (ClassValidationError, StructureHandlerNotFoundError, ValueError) as error:
        raise ConfigErrors(
            tuple(ConfigError(".".join(filter(None, (path, show_path(place)))), say) for place, say in problems(error))
        ) from None

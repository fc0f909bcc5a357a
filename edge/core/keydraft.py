"""The rules of a key as people give them (options, a CSV line, a file of old keys), judged all at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from edge.core.hours import Hours, hours
from edge.core.keys import ALL, Key
from edge.core.networks import network
from edge.core.quantities import duration, limit
from edge.core.times import moment

SCOPES: Final = ("manage", "admin")
MOST: Final = 100
"""The most values of one kind of rule."""
NEVER: Final = "never"
_SERVICE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_METHOD = re.compile(r"[A-Z]{3,20}")

Raw = Mapping[str, Any]
"""Option name → text, list of texts or bool. None: not given. "" or an empty list clears, `never` clears a time."""


def blank(key_id: str) -> Key:
    """A key that nothing is known of yet; `redrafted` fills it."""
    return Key(id=key_id, user="", services=frozenset())


def redrafted(key: Key, raw: Raw, now: float, zone: str) -> Key:
    """A key with what `raw` gives changed. `zone` is the time zone of hours that come without one.

    Raises ValueError with a line for every problem, each naming its option.
    """
    problems: list[str] = []
    changes: dict[str, Any] = {}

    def take(option: str, attribute: str, read: Callable[[Any], Any]) -> None:
        if (given := raw.get(option)) is not None:
            try:
                changes[attribute] = read(given)
            except ValueError as error:
                problems.append(f"--{option}: {error}")

    take("user", "user", _user)
    take("service", "services", lambda given: frozenset(_each(given, _service)))
    take("scope", "scopes", lambda given: frozenset(_each(given, _scope)))
    take("model", "models", lambda given: _each(given, _pattern))
    take("method", "methods", lambda given: frozenset(_each(given, _method)))
    take("path", "paths", lambda given: _each(given, _path))
    take("allow", "networks", lambda given: _each(given, network))
    take("limit", "limits", lambda given: _each(given, limit))
    take("expires", "expires", lambda given: _moment(given, now))
    take("not-before", "not_before", lambda given: _moment(given, now))
    take("rotate-every", "rotate_every", _rotation)
    take("weight", "weight", _weight)
    take("batch", "batch", bool)
    take("hours", "hours", lambda given: _hours(given, raw.get("tz") or (key.hours.zone if key.hours else zone)))
    if raw.get("tz") and raw.get("hours") is None:
        if key.hours is None:
            problems.append("--tz: says where --hours are counted, and there are none")
        else:
            take("tz", "hours", lambda given: hours(key.hours.text if key.hours else "", given))
    if changes.get("rotate_every") and raw.get("expires") is None:
        # What must be rotated must end, or nobody would.
        changes["expires"] = now + changes["rotate_every"]
    made = evolve(key, **changes)
    if not made.services and not any(line.startswith("--service:") for line in problems):
        problems.append("--service: name at least one service; '*' is all, and those added later")
    if not made.user and not any(line.startswith("--user:") for line in problems):
        problems.append("--user: say whose key it is")
    if made.expires is not None and made.not_before is not None and made.not_before >= made.expires:
        problems.append("--not-before: the key would end before it begins")
    if problems:
        raise ValueError("\n".join(problems))
    return made


def user_name(text: str) -> str:
    """A person's or device's name: 1 to 64 printable characters without surrounding space. Raises ValueError."""
    if not text or text != text.strip() or len(text) > 64 or not text.isprintable():
        raise ValueError(f"{text[:80]!r} is not a name; it has 1 to 64 printable characters")
    return text


def _user(given: Any) -> str:
    return user_name(str(given))


def _each(given: str | Sequence[str], read: Callable[[str], Any]) -> tuple[Any, ...]:
    texts = [given] if isinstance(given, str) else list(given)
    texts = [text for text in texts if text]
    if len(texts) > MOST:
        raise ValueError(f"{len(texts)} values are too many; at most {MOST}")
    return tuple(dict.fromkeys(map(read, texts)))


def _service(text: str) -> str:
    if text != ALL and not _SERVICE.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of a service; names look like chat or my-tts, '*' is all")
    return text


def _scope(text: str) -> str:
    if text not in SCOPES:
        raise ValueError(f"{text!r} is not a scope; the scopes are {', '.join(SCOPES)}")
    return text


def _method(text: str) -> str:
    if not _METHOD.fullmatch(text.upper()):
        raise ValueError(f"{text!r} is not a method; write it like GET or POST")
    return text.upper()


def _pattern(text: str) -> str:
    if len(text) > 200 or not text.isprintable():
        raise ValueError(f"{text[:80]!r} is not a pattern; it has up to 200 printable characters")
    return text


def _path(text: str) -> str:
    if not text.startswith(("/", "*")):
        raise ValueError(
            f"{text!r} is not a path; it begins with / and counts below the service's own address, like /v1/*"
        )
    return _pattern(text)


def _moment(text: str, now: float) -> float | None:
    return None if text in ("", NEVER) else moment(text, now)


def _rotation(text: str) -> float | None:
    if text in ("", NEVER):
        return None
    if (seconds := duration(text)) < 3600:
        raise ValueError(f"{text!r} is too often; at most once an hour")
    return seconds


def _weight(given: Any) -> float:
    try:
        weight = float(given)
    except ValueError:
        weight = 0.0
    if not 0.01 <= weight <= 100:
        raise ValueError(f"{given!r} is not a weight; it lies between 0.01 and 100")
    return weight


def _hours(text: str, zone: str) -> Hours | None:
    return hours(text, zone) if text else None

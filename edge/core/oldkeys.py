"""Files of simple keys, as people have them: their format is detected and every key in them found.

One a line · JSON `{key: user}` · JSON `{key: {user, service, …}}` · a JSON list of keys or of objects · `.env`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from attrs import field, frozen

from edge.core.secrets import strangeness
from edge.core.weakness import weakness

LARGEST: Final = 64 * 2**20
MOST: Final = 100_000

_ENV = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW", re.IGNORECASE)
_NAMES: Final[Mapping[str, str]] = {
    "user": "user", "username": "user", "name": "user", "owner": "user",
    "service": "service", "services": "service",
    "model": "model", "models": "model",
    "description": "description", "note": "description", "comment": "description",
    "expires": "expires", "expires_at": "expires", "expiry": "expires", "expiration": "expires",
    "limit": "limit", "limits": "limit", "rate_limit": "limit",
    "allow": "allow", "networks": "allow", "allowed_ips": "allow", "ips": "allow",
    "scope": "scope", "scopes": "scope",
    "method": "method", "methods": "method",
    "path": "path", "paths": "path",
}  # fmt: skip
_SECRETS: Final = ("key", "api_key", "apikey", "token", "secret")
_SWITCHES: Final[Mapping[str, bool]] = {"enabled": True, "active": True, "disabled": False, "revoked": False}


@frozen
class OldKey:
    """One key of a file. `raw` are rules as `edge.core.keydraft` reads them."""

    place: str
    """Where it stands, `line 3` or `entry 3`: what is said of it in place of the key."""
    secret: str = field(repr=False)
    raw: Mapping[str, Any]
    description: str = ""
    disabled: bool = False
    weak: str = ""
    ignored: tuple[str, ...] = ()
    """Fields that are not understood."""
    problem: str = ""
    """Why it cannot be taken over, "" where it can."""


@frozen
class OldKeys:
    """What a file holds: the format in words, and its keys."""

    format: str
    keys: tuple[OldKey, ...]


def read(text: str, file_name: str) -> OldKeys:
    """The keys of a file's text. A key that names no user gets the file's name, one that names no service gets all of them.

    Raises ValueError where no keys can be made out.
    """
    user = re.sub(r"(?<=[^.])\.[a-z]{1,5}$", "", file_name).strip(". ")[:64] or "imported"
    text = text.removeprefix("\ufeff")
    stripped = text.lstrip()
    if not stripped:
        raise ValueError("the file is empty")
    if stripped[0] in "{[":
        told, found = _json(stripped, user)
    elif _is_env(text, file_name):
        told, found = ".env", list(_env(text, user))
    else:
        told, found = "one key a line", list(_lines(text, user))
    if not found:
        raise ValueError(f"read as {told}, the file holds no keys")
    if len(found) > MOST:
        raise ValueError(f"the file holds {len(found)} keys; at most {MOST} are taken at once")
    return OldKeys(told, tuple(_without_doubles(found)))


def _json(text: str, user: str) -> tuple[str, list[OldKey]]:
    try:
        document = json.loads(text, object_pairs_hook=_pairs)
    except (ValueError, RecursionError):
        raise ValueError("the file begins like JSON and is not") from None
    if isinstance(document, _Object):
        if (
            len(document) == 1
            and document[0][0] in ("keys", "api_keys", "tokens")
            and isinstance(document[0][1], list | _Object)
        ):
            document = document[0][1]
        if isinstance(document, _Object):
            plain = all(isinstance(value, str) for _, value in document)
            found = [
                _made(f"entry {number}", secret, {"user": value} if isinstance(value, str) else value, user)
                for number, (secret, value) in enumerate(document, 1)
            ]
            return "JSON, key: user" if plain else "JSON, key: {user, service, …}", found
    found = []
    for number, entry in enumerate(document, 1):
        about = entry
        secret: Any = entry
        if isinstance(entry, _Object):
            named = [name for name, _ in entry if name.lower() in _SECRETS]
            secret = dict(entry).get(named[0]) if len(named) == 1 else None
            about = _Object((name, value) for name, value in entry if name not in named)
        found.append(_made(f"entry {number}", secret, about if isinstance(about, _Object) else {}, user))
    return "JSON list", found


class _Object(tuple[tuple[str, Any], ...]):
    __slots__ = ()


def _pairs(pairs: list[tuple[str, Any]]) -> _Object:
    return _Object(pairs)


def _is_env(text: str, file_name: str) -> bool:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    matches = [_ENV.fullmatch(line) for line in lines]
    if not lines or not all(matches):
        return False
    # A list of Base64 keys ends in `=` as well: only names in capitals, or a file that says so, are variables.
    return ".env" in file_name or all(match and match[1].isupper() and match[2].strip("= ") for match in matches)


def _env(text: str, user: str) -> Iterator[OldKey]:
    for number, line in enumerate(text.splitlines(), 1):
        match = _ENV.fullmatch(line.strip())
        if match is None or not _SECRET_NAME.search(match[1]):
            continue
        value = match[2].strip()
        value = (
            value[1:-1]
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            else value.split(" #")[0].strip()
        )
        for secret in filter(None, (part.strip() for part in value.split(","))):
            yield _made(f"line {number}", secret, {"description": match[1]}, user)


def _lines(text: str, user: str) -> Iterator[OldKey]:
    for number, line in enumerate(text.splitlines(), 1):
        secret, _, note = line.partition(" #")
        if secret.strip() and not secret.lstrip().startswith("#"):
            yield _made(f"line {number}", secret.strip(), {"description": note.strip()} if note.strip() else {}, user)


def _made(place: str, secret: Any, about: Any, user: str) -> OldKey:
    if not isinstance(secret, str):
        return OldKey(place, "", {}, problem="it holds no key, or several")
    problem = strangeness(secret)
    pairs = about.items() if isinstance(about, Mapping) else about
    if not isinstance(about, Mapping | _Object):
        return OldKey(place, secret, {}, problem=problem or "what is said of it is neither a user nor an object")
    raw: dict[str, Any] = {"user": user, "service": ["*"]}
    description, disabled, ignored = "", False, []
    for name, value in pairs:
        low = name.lower().replace("-", "_")
        told = _NAMES.get(low)
        if value is None or value == "":
            continue
        if low in _SWITCHES and isinstance(value, bool):
            disabled = disabled or value != _SWITCHES[low]
        elif told == "description" and isinstance(value, str):
            description = "".join(char if char.isprintable() else " " for char in value)[:200]
        elif told == "expires" and isinstance(value, int | float) and not isinstance(value, bool):
            raw["expires"] = _from_unix(value)
        elif told in ("user", "expires") and isinstance(value, str):
            raw[told] = value.strip()
        elif told and isinstance(value, str):
            raw[told] = [part for part in re.split(r"[,;]\s*", value) if part]
        elif told and isinstance(value, list) and all(isinstance(part, str) for part in value):
            raw[told] = value
        else:
            ignored.append(name)
    return OldKey(place, secret, raw, description, disabled, weakness(secret), tuple(ignored), problem)


def _from_unix(value: float) -> str:
    # Milliseconds are what JavaScript writes.
    seconds = value / 1000 if value > 1e11 else value
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return str(value)


def _without_doubles(found: list[OldKey]) -> Iterator[OldKey]:
    seen: dict[str, str] = {}
    for old in found:
        if old.secret and old.secret in seen:
            yield OldKey(old.place, old.secret, old.raw, problem=f"it is the same key as {seen[old.secret]}")
        else:
            seen[old.secret] = old.place
            yield old

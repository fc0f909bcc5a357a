"""The rules of a key as plain JSON values and back: one spelling for the record, the export and `--json`."""

from collections.abc import Mapping
from typing import Any, Final

from edge.core.hours import hours
from edge.core.keys import Key
from edge.core.networks import network
from edge.core.quantities import limit

FIELDS: Final = frozenset({
    "user", "services", "scopes", "models", "methods", "paths", "networks", "hours", "tz", "not_before", "expires",
    "limits", "weight", "batch", "disabled", "rotate_every",
})  # fmt: skip


def to_rules(key: Key) -> dict[str, Any]:
    """The rules of a key without its id: JSON values only, what has its default left out. Times are Unix seconds."""
    rules: dict[str, Any] = {"user": key.user, "services": sorted(key.services)}
    for name, value in (
        ("scopes", sorted(key.scopes)),
        ("models", list(key.models)),
        ("methods", sorted(key.methods)),
        ("paths", list(key.paths)),
        ("networks", list(map(str, key.networks))),
        ("limits", list(map(str, key.limits))),
        ("batch", key.batch),
        ("disabled", key.disabled),
    ):
        if value:
            rules[name] = value
    if key.hours:
        rules |= {"hours": key.hours.text, "tz": key.hours.zone}
    for name in ("not_before", "expires", "rotate_every"):
        if (when := getattr(key, name)) is not None:
            rules[name] = when
    if key.weight != 1.0:
        rules["weight"] = key.weight
    return rules


def to_key(key_id: str, rules: Mapping[str, Any]) -> Key:
    """A key from its id and rules as `to_rules` makes them.

    Raises ValueError for a rule that is unknown or cannot be read: a rule that is passed over may be the one that
    should have refused.
    """
    if unknown := rules.keys() - FIELDS:
        raise ValueError(f"key {key_id} has rules that this version does not know: {', '.join(sorted(unknown))}")
    if missing := {"user", "services"} - rules.keys():
        raise ValueError(f"key {key_id} has no {' and no '.join(sorted(missing))}")
    try:
        return Key(
            id=key_id,
            user=_text(rules["user"]),
            services=frozenset(_texts(rules, "services")),
            scopes=frozenset(_texts(rules, "scopes")),
            models=_texts(rules, "models"),
            methods=frozenset(_texts(rules, "methods")),
            paths=_texts(rules, "paths"),
            networks=tuple(map(network, _texts(rules, "networks"))),
            hours=hours(_text(rules["hours"]), _text(rules["tz"])) if "hours" in rules else None,
            not_before=_number(rules, "not_before"),
            expires=_number(rules, "expires"),
            limits=tuple(map(limit, _texts(rules, "limits"))),
            weight=_number(rules, "weight", 1.0) or 1.0,
            batch=_flag(rules, "batch"),
            disabled=_flag(rules, "disabled"),
            rotate_every=_number(rules, "rotate_every"),
        )
    except KeyError as error:
        raise ValueError(f"key {key_id} has hours without a time zone") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def _texts(rules: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = rules.get(name, ())
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name}: {value!r} is not a list")
    return tuple(map(_text, value))


def _number(rules: Mapping[str, Any], name: str, default: float | None = None) -> float | None:
    value = rules.get(name, default)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{name}: {value!r} is not a number")
    return value


def _flag(rules: Mapping[str, Any], name: str) -> bool:
    value = rules.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name}: {value!r} is neither true nor false")
    return value

"""What a key may do: one decision after the other, in an order that is a promise.

| step | asks | refusal |
|---|---|---|
| state | is the key switched on? | `disabled-key` |
| expiry | has it not ended? | `expired-key` |
| start | has it begun? | `not-yet-valid` |
| address | does the client come from an allowed network? | `address-not-allowed` |
| service | does it name the service? | `service-not-allowed` |
| scope | does it hold the scope that the path needs? | `needs-scope`, or `path-not-allowed` where no scope helps |
| method | is the method among its own? | `path-not-allowed` |
| path | is the path among its own? | `path-not-allowed` |
| hours | is it the hour? | `outside-hours` |

The two 401s come first, since they end the question who is asking. The model is judged later, on the body.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from edge.core.exchange import Exchange
from edge.core.keys import Key
from edge.core.networks import within
from edge.core.refusal import Refusal
from edge.core.routing import forms
from edge.core.service import Rule
from edge.core.times import stamp

ANYTHING: Final = Rule(frozenset(), "*")
"""A rule that asks for nothing but a valid key: the gate's own resources."""
Step = tuple[str, str, Refusal | None]
"""A step's name, what it found in words, and the refusal if it refuses."""


def judge(key: Key, exchange: Exchange, rule: Rule, now: float) -> Refusal | None:
    """The first refusal that the key's rules give for a request at `now` (Unix seconds), None when all let it pass.

    Beside `steps`, which says the same at length, because this is asked for every request.
    """
    if not (key.ruled or rule.scope or (key.expires is not None and now >= key.expires)):
        # Only the services are left to ask for; what is left out here would say nothing.
        return _service(key, exchange)
    return (
        _state(key)
        or _expiry(key, now)
        or _start(key, now)
        or _address(key, exchange)
        or _service(key, exchange)
        or _scope(key, rule)
        or _method(key, exchange)
        or _path(key, exchange)
        or _hours(key, now)
    )


def steps(key: Key, exchange: Exchange, rule: Rule, now: float) -> Iterator[Step]:
    """Every decision of `judge`, in its order and by the same functions, each with what the key says about it."""
    yield "state", "disabled" if key.disabled else "enabled", _state(key)
    yield "expiry", "no end" if key.expires is None else f"ends at {stamp(key.expires)}", _expiry(key, now)
    yield "start", "no start" if key.not_before is None else f"starts at {stamp(key.not_before)}", _start(key, now)
    yield "address", ", ".join(map(str, key.networks)) or "any address", _address(key, exchange)
    yield "service", ", ".join(sorted(key.services)), _service(key, exchange)
    yield (
        "scope",
        f"the path needs {rule.scope or 'none'}; the key has {', '.join(sorted(key.scopes)) or 'none'}",
        _scope(key, rule),
    )
    yield "method", ", ".join(sorted(key.methods)) or "any method", _method(key, exchange)
    yield "path", ", ".join(key.paths) or "any path that the service offers", _path(key, exchange)
    yield "hours", f"{key.hours.text} {key.hours.zone}" if key.hours else "any hour", _hours(key, now)


def ended(key: Key, now: float) -> bool:
    """Whether what the key has open must be closed: it is disabled or its time is over."""
    return key.disabled or (key.expires is not None and now >= key.expires)


def _state(key: Key) -> Refusal | None:
    return Refusal("disabled-key", "This key is switched off.", retry=False) if key.disabled else None


def _expiry(key: Key, now: float) -> Refusal | None:
    if key.expires is None or now < key.expires:
        return None
    return Refusal("expired-key", "This key has expired.", retry=False)


def _start(key: Key, now: float) -> Refusal | None:
    if key.not_before is None or now >= key.not_before:
        return None
    return Refusal("not-yet-valid", "This key is not valid yet.", retry=False)


def _address(key: Key, exchange: Exchange) -> Refusal | None:
    if not key.networks or within(exchange.arrival.client, key.networks):
        return None
    return Refusal("address-not-allowed", "This key may not be used from your address.", retry=False)


def _service(key: Key, exchange: Exchange) -> Refusal | None:
    service = exchange.route.service if exchange.route else ""
    if not service or key.serves(service):
        return None
    return Refusal("service-not-allowed", f"This key does not cover the service {service!r}.", retry=False)


def _scope(key: Key, rule: Rule) -> Refusal | None:
    if not rule.scope or (rule.scope in key.scopes and rule.scope != "never"):
        return None
    if rule.scope == "never":
        return Refusal("path-not-allowed", "This path is closed to everyone.", retry=False)
    return Refusal("needs-scope", f"This path needs a key with the scope {rule.scope!r}.", retry=False)


def _method(key: Key, exchange: Exchange) -> Refusal | None:
    method = exchange.arrival.method
    # A key's methods and paths are those of its services; the gate's own addresses are for every valid key.
    if (
        exchange.route is None
        or not key.methods
        or method in key.methods
        or (method == "HEAD" and "GET" in key.methods)
    ):
        return None
    return Refusal("path-not-allowed", f"This key may not use the method {method}.", retry=False)


def _path(key: Key, exchange: Exchange) -> Refusal | None:
    if exchange.route is None or not key.paths or _allowed(key.paths, exchange):
        return None
    return Refusal("path-not-allowed", "This key may not use this path.", retry=False)


def _allowed(patterns: tuple[str, ...], exchange: Exchange) -> bool:
    prefix = exchange.route.prefix if exchange.route else b""
    judged = forms(exchange.arrival.path[len(prefix) :] or b"/")
    # A path with two readings must be allowed in both, and one that leads elsewhere is in none.
    return not isinstance(judged, Refusal) and all(
        any(fnmatchcase(path, pattern) for pattern in patterns) for path in judged
    )


def _hours(key: Key, now: float) -> Refusal | None:
    if key.hours is None or key.hours.covers(now):
        return None
    return Refusal("outside-hours", "This key may not be used at this hour.", retry=False)

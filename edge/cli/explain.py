"""`aigate explain`: each decision about a request, by the code that the server runs."""

import json
import time
from collections.abc import Iterator

import click
from attrs import asdict, frozen

from edge.cli.check import judge as judge_configuration
from edge.cli.common import Places, common
from edge.cli.keyring import as_json, keyring
from edge.cli.models import kinds_of
from edge.cli.tables import clean
from edge.config.read import Reading
from edge.config.services import Settled
from edge.core.exchange import Arrival, Exchange
from edge.core.headers import fields
from edge.core.inspect import models_in_head
from edge.core.keys import Key
from edge.core.models import judge_model
from edge.core.networks import address
from edge.core.refusal import Refusal
from edge.core.routing import NO_ROUTE, OWN, Match, Routes, forms, method_not_allowed, needed_rule, route_to
from edge.core.rules import ANYTHING, steps
from edge.core.service import Rule, Traits
from edge.core.times import moment, stamp


@frozen
class Said:
    """One decision: `ok` False is where the request ends."""

    step: str
    ok: bool
    words: str
    reason: str = ""
    status: int | None = None


@click.command("explain")
@click.argument("method")
@click.argument("path")
@click.option("--key", "start", metavar="ID", required=True, help="The key's id, or the beginning of it.")
@click.option("--from", "client", metavar="IP", required=True, help="The client's address.")
@click.option("--at", "at", metavar="TIME", default="now", help="When; default: now.")
@click.option("--model", metavar="NAME", help="The model that the request's body asks for.")
@click.option("--host", metavar="NAME", default="localhost", help="The host that the request is for.")
@as_json
@common()
def command(
    places: Places,
    method: str,
    path: str,
    start: str,
    client: str,
    at: str,
    model: str | None,
    host: str,
    as_json: bool,
) -> None:
    """Tell why a request would pass or not, step by step. Exit 0: it passes, 1: it does not."""
    if not path.startswith("/") or not path.isascii():
        raise click.UsageError("PATH begins with / and is encoded as in a URL.", click.get_current_context())
    if address(client) is None:
        raise click.UsageError(f"{client!r} is not an address.", click.get_current_context())
    # The registry brings in Twisted's plugins, so it is asked for once the words are known to be right.
    settled: dict[str, Settled] = {}
    traits: dict[str, Traits | None] = {}

    def further(reading: Reading) -> None:
        settled.update(judge_configuration(reading))
        traits.update(kinds_of(reading))

    places.read(further)
    with keyring(places, writing=False) as ring:
        key, now = ring.pick(start).key, moment(at, time.time())
    routes = Routes(tuple(route_to(name, one.route) for name, one in settled.items() if one.route))
    unsaid = [name for name, one in settled.items() if not one.route]
    arrival = _arrival(method.upper(), path.encode(), host.lower(), str(address(client)), now)
    said = list(_steps(key, arrival, routes, unsaid, traits, model, now))
    passes = all(each.ok for each in said)
    if as_json:
        click.echo(
            json.dumps(
                {"passes": passes, "key": key.id, "at": stamp(now), "steps": [asdict(each) for each in said]}, indent=2
            )
        )
    else:
        width = max(len(each.step) for each in said)
        for each in said:
            end = f"  → {each.status} {each.reason}" if each.reason else ""
            click.echo(f"{'yes' if each.ok else 'NO ':3} {each.step:{width}}  {clean(each.words)}{end}")
        verdict = (
            "passes"
            if passes
            else "is refused"
            if any(each.reason for each in said)
            else "cannot be told before the start"
        )
        click.echo(f"{arrival.method} {clean(path)} with key {key.id} at {stamp(now)}: {verdict}")
    raise click.exceptions.Exit(0 if passes else 1)


def _steps(
    key: Key,
    arrival: Arrival,
    routes: Routes,
    unsaid: list[str],
    traits: dict[str, Traits | None],
    model: str | None,
    now: float,
) -> Iterator[Said]:
    judged = forms(arrival.path)
    if isinstance(judged, Refusal):
        yield _no("path", judged)
        return
    yield Said(
        "path",
        True,
        f"can be read in one way: {judged[0]}" if len(judged) == 1 else "can be read in two ways; both are judged",
    )
    exchange, rule, mapped = Exchange(arrival), ANYTHING, b""
    found = routes.match(arrival.host, arrival.path, arrival.method)
    if (own := _own(arrival.path, found)) is not None:
        if arrival.method not in own:
            yield _no("route", method_not_allowed(own))
            return
        if arrival.path == b"/health":
            yield Said("route", True, "the gate's own, for anyone: no key is asked for")
            return
        yield Said("route", True, "the gate's own, for any valid key")
    elif isinstance(found, Refusal) and found is NO_ROUTE and unsaid:
        say = f"none that is known here; the plugin of {', '.join(unsaid)} names its own when the gate starts, or `route = …` does"
        yield Said("route", False, say)
        return
    elif isinstance(found, Refusal):
        yield _no("route", found)
        return
    else:
        name = found.route.service
        exchange = exchange.along(found.route)
        yield Said("route", True, f"goes to the service {name}")
        kind = traits.get(name)
        if kind is None:
            yield Said("rule", True, "the plugin says only at run time what its paths need")
        else:
            mapped = kind.map(found.rest)
            needed = needed_rule(kind, arrival.method, mapped)
            if isinstance(needed, Refusal):
                yield _no("rule", needed)
                return
            rule = needed
            yield Said("rule", True, f"is {arrival.method} {mapped.decode()} there, which {_needs(rule)}")
    for step, words, refusal in steps(key, exchange, rule, now):
        yield Said(step, True, words) if refusal is None else _no(step, refusal, words)
    if key.models and exchange.route is not None:
        yield _model(key, rule, mapped, arrival.query, model)


def _model(key: Key, rule: Rule, mapped: bytes, query: bytes | None, model: str | None) -> Said:
    """Whether the key may use the model: the one that the path or the query names, else the one that `--model` does."""
    if not mapped:
        return Said("model", True, "the plugin says only at run time where its requests tell their model")
    if not rule.model:
        return Said("model", True, "such a request does not tell its model, so the key's model rule counts for nothing")
    models = (model,) if rule.model.startswith(("json:", "form:")) else models_in_head(mapped, query, rule.model)
    if isinstance(models, Refusal):
        return _no("model", models)
    words = f"{' or '.join(filter(None, models)) or 'none named'}; the key may use {', '.join(key.models)}"
    refused = next((refusal for each in models if (refusal := judge_model(key, each))), None)
    return Said("model", True, words) if refused is None else _no("model", refused, words)


def _own(path: bytes, found: Match | Refusal) -> frozenset[str] | None:
    """The methods of the gate's own address `path`, None where the routes lead elsewhere."""
    # A host that a page has to itself is all its own, save where the page fetches its tickets.
    elsewhere = isinstance(found, Match) and not (path == b"/ticket" and found.route.prefix == b"")
    return None if elsewhere else OWN.get(path.decode("ascii"))


def _no(step: str, refusal: Refusal, words: str = "") -> Said:
    return Said(
        step, False, f"{words}: {refusal.message}" if words else refusal.message, refusal.reason, refusal.status
    )


def _needs(rule: Rule) -> str:
    if rule.scope == "never":
        return "nobody may do"
    return f"needs the scope {rule.scope}" if rule.scope else "any key of the service may do"


def _arrival(method: str, target: bytes, host: str, client: str, now: float) -> Arrival:
    path, mark, query = target.partition(b"?")
    return Arrival(
        id="explain",
        method=method,
        host=host,
        target=target,
        path=path,
        query=query if mark else None,
        fields=fields([]),
        peer=client,
        client=client,
        secure=True,
        protocol="HTTP/1.1",
        listener="https",
        at=now,
        started=0.0,
    )

"""Finding the AI servers on this machine, and writing down what was found."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Final

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IAgent

from edge.backends.health import recognised
from edge.core.service import Question, Traits

PATIENCE: Final = 0.4
"""Seconds that a server on this machine has for its answer; all are asked at once."""

DEMO: Final = "demo"
DEMO_AT: Final = ("chat", "whisper", "tts", "image")
"""Where the demo stands on a machine with no AI at all."""


@frozen
class Discovered:
    """One service that was found, or the demo in its place."""

    name: str
    plugin: str
    upstreams: tuple[str, ...]
    route: str


async def discover(
    agent: IAgent,
    clock: IReactorTime,
    kinds: Iterable[tuple[str, Traits]],
    host: str = "127.0.0.1",
    patience: float = PATIENCE,
) -> list[Discovered]:
    """The services on this machine, by each plugin's question on its usual ports; the demo's where there are none.

    `kinds` are (plugin name, traits) in the order that decides between plugins that want the same name: the first has it.
    Takes at most `patience` seconds.
    """
    probes = [(name, traits, port, question) for name, traits in kinds for port, question in traits.probes]
    asked = [
        Deferred.fromCoroutine(recognised(agent, clock, f"http://{host}:{port}", question, patience))
        for _, _, port, question in probes
    ]
    answers = await DeferredList(asked, consumeErrors=True)
    # Several kinds may see themselves in one server, an OpenAI-style list of models above all: who asked more wins.
    best: dict[int, tuple[int, str, Traits]] = {}
    for (name, traits, port, question), (_, yes) in zip(probes, answers, strict=True):
        if yes is True and (port not in best or _asks_for(question) > best[port][0]):
            best[port] = (_asks_for(question), name, traits)
    order = [(name, port) for name, _, port, _ in probes]
    found = [
        (name, best[port][2], f"http://{host}:{port}")
        for name, port in dict.fromkeys(order)
        if port in best and best[port][1] == name
    ]
    return named(found) or demo()


def named(found: Sequence[tuple[str, Traits, str]]) -> list[Discovered]:
    """(plugin, traits, base address) with a name and a route each: the plugin's own route for the first that wants it, then
    the plugin's name, then that with a number."""
    taken: set[str] = set()

    def places(plugin: str, traits: Traits) -> Iterator[tuple[str, str]]:
        if traits.route.startswith("/"):
            yield traits.route.split("/")[1], traits.route
        yield plugin, f"/{plugin}/api"
        for number in count(2):
            yield f"{plugin}-{number}", f"/{plugin}-{number}/api"

    services = []
    for plugin, traits, base in found:
        name, route = next(place for place in places(plugin, traits) if place[0] not in taken)
        taken.add(name)
        services.append(Discovered(name, plugin, (base,), route))
    return services


def demo() -> list[Discovered]:
    """The demo at each of the usual routes."""
    return [Discovered(name, DEMO, (), f"/{name}/api") for name in DEMO_AT]


def rendered(services: Iterable[Discovered]) -> str:
    """The services as TOML, to be put at the end of a configuration."""
    parts = []
    for service in services:
        lines = [f"[services.{service.name}]", f"plugin = {_text(service.plugin)}", f"route = {_text(service.route)}"]
        if service.upstreams:
            lines.append(f"upstreams = [{', '.join(map(_text, service.upstreams))}]")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _asks_for(question: Question) -> int:
    return 2 * bool(question.text or question.header) + bool(question.key)


def _text(value: str) -> str:
    # A TOML basic string takes every escape that JSON writes.
    return json.dumps(value)

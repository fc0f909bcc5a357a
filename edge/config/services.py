"""The services of a configuration beside what their plugins say beforehand."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from edge.config.read import Reading
from edge.config.routes import check_routes
from edge.config.structure import nearest, structure_options
from edge.core.service import SAY_WHERE, Traits
from edge.errors import ConfigError, ConfigErrors


@frozen
class Settled:
    """One service as far as its configuration and its plugin's traits settle it."""

    route: str
    """"" where neither the configuration nor the plugin names one yet."""
    options: Any
    """An object of the attrs class that the traits name; without one, the table as written."""


def default_route(name: str, traits: Traits) -> str:
    """Where a service of that kind lives unless the configuration says otherwise."""
    return traits.route or f"/{name}/api"


def settle(reading: Reading, known: Mapping[str, Traits | None]) -> dict[str, Settled]:
    """Each service's route and options, by name; `known` has every plugin's traits, None where it says none beforehand.

    Raises ConfigErrors, with file and line, for unknown plugins, missing upstreams, wrong options, and routes that clash.
    """
    found: list[ConfigError] = []
    settled: dict[str, Settled] = {}
    base = reading.file.absolute().parent if reading.file else None
    for name, service in reading.config.services.items():
        if service.plugin not in known:
            say = f'"{service.plugin}" is not a plugin{nearest(service.plugin, known)}'
            found.append(ConfigError(f"services.{name}.plugin", say))
            continue
        traits = known[service.plugin]
        needed = traits is not None and traits.needs_upstreams and not service.upstreams
        # One that was wrong is told of already.
        if needed and not reading.says("services", name, "upstreams"):
            found.append(ConfigError(f"services.{name}.upstreams", SAY_WHERE))
        options: Any = service.options
        if traits is not None and traits.options is not None:
            try:
                options = structure_options(traits.options, options, f"services.{name}.options", base)
            except ConfigErrors as errors:
                found += errors.errors
        elif traits is not None and options:
            found.append(
                ConfigError(f"services.{name}.options", f'the plugin "{service.plugin}" has no settings of its own')
            )
        settled[name] = Settled(service.route or (default_route(name, traits) if traits else ""), options)
    routes = {name: each.route for name, each in settled.items() if each.route}
    for place, say in check_routes(routes):
        found.append(ConfigError(".".join(map(str, place)), say))
    if found:
        raise reading.place(ConfigErrors(tuple(found)))
    return settled

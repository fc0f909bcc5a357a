"""`aigate check`: the configuration judged, every error at once."""

import json
from typing import Final

import click

from edge.cli.common import Places, common
from edge.config.read import Reading
from edge.config.services import Settled, settle
from edge.errors import ConfigError, ConfigErrors, HomeError, PluginError
from edge.home import refuse_strange_plugins, shipped

NO_SERVICE: Final = "there are no services yet: the gate starts once one is there, such as [services.chat]"


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@common()
def command(places: Places, as_json: bool) -> None:
    """Judge the configuration: every error at once, each with file, line and path."""
    settled: dict[str, Settled] = {}
    try:
        reading = places.read(lambda reading: settled.update(judge(reading)))
    except ConfigErrors as errors:
        if not as_json:
            raise
        click.echo(json.dumps({"ok": False, "errors": [_plain(error) for error in errors.errors]}))
        raise click.exceptions.Exit(78) from None
    if as_json:
        file = str(reading.file) if reading.file else None
        services = {
            name: {
                "plugin": service.plugin,
                "route": settled[name].route or None,
                "upstreams": [str(upstream) for upstream in service.upstreams],
            }
            for name, service in reading.config.services.items()
        }
        warnings = [*reading.warnings, *([NO_SERVICE] if reading.file and not services else [])]
        click.echo(json.dumps({"ok": True, "file": file, "errors": [], "warnings": warnings, "services": services}))
        return
    click.echo(f"{reading.file}: good" if reading.file else "no configuration file: the defaults hold")
    if reading.file and not reading.config.services:
        click.echo(NO_SERVICE)
    for line in table(rows(reading, settled)):
        click.echo(line)
    if unsaid := [name for name, one in settled.items() if not one.route]:
        click.echo(f"only the start tells whether the route of {', '.join(unsaid)} is free; `route = …` names one here")


def judge(reading: Reading) -> dict[str, Settled]:
    """What `settle` says with every plugin that the gate would load. Raises ConfigErrors."""
    # Imported here: loading the plugins brings in Twisted, which a wrong file need not wait for.
    from edge.registry import Registry

    # One that is missing is an error of its own already.
    folders = [folder for folder in reading.config.plugin_dirs if folder.is_dir()]
    try:
        for folder in folders:
            refuse_strange_plugins(folder)
        registry = Registry.load(shipped("plugins"), folders)
    except HomeError as error:
        raise ConfigErrors((ConfigError("", str(error)),)) from None
    except PluginError as error:
        raise ConfigErrors((ConfigError("", error.say, error.file),)) from None
    return settle(reading, {found.name: found.traits for found in registry})


def rows(reading: Reading, settled: dict[str, Settled]) -> list[tuple[str, str, str, str]]:
    """Name, plugin, route and upstreams of each service."""
    unsaid = "(the plugin's own)"
    return [
        (name, service.plugin, settled[name].route or unsaid, " ".join(map(str, service.upstreams)) or unsaid)
        for name, service in reading.config.services.items()
    ]


def table(cells: list[tuple[str, str, str, str]]) -> list[str]:
    """The rows below a heading, in columns."""
    if not cells:
        return []
    cells = [("SERVICE", "PLUGIN", "ROUTE", "UPSTREAMS"), *cells]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]) for row in cells
    ]


def _plain(error: ConfigError) -> dict[str, object]:
    return {"file": str(error.file) if error.file else None, "line": error.line, "path": error.path, "say": error.say}

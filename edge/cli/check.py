"""`aigate check`: the configuration judged, every error at once."""

import json

import click

from edge.cli.common import Places, common
from edge.config.schema import Config
from edge.errors import ConfigError, ConfigErrors


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@common()
def command(places: Places, as_json: bool) -> None:
    """Judge the configuration: every error at once, each with file, line and path."""
    try:
        reading = places.reading
    except ConfigErrors as errors:
        if not as_json:
            raise
        click.echo(json.dumps({"ok": False, "errors": [_plain(error) for error in errors.errors]}))
        raise click.exceptions.Exit(78) from None
    config = reading.config
    if as_json:
        services = {name: {"plugin": each.plugin, **_lives(name, config)} for name, each in config.services.items()}
        file = str(reading.file) if reading.file else None
        click.echo(
            json.dumps({"ok": True, "file": file, "errors": [], "warnings": reading.warnings, "services": services})
        )
        return
    click.echo(f"{reading.file}: good" if reading.file else "no configuration file: the defaults hold")
    for line in table(config):
        click.echo(line)


def table(config: Config) -> list[str]:
    """The services in columns: name, plugin, route, upstreams."""
    rows = [("SERVICE", "PLUGIN", "ROUTE", "UPSTREAMS")]
    for name, service in config.services.items():
        lives = _lives(name, config)
        rows.append(
            (name, service.plugin, str(lives["route"]), " ".join(map(str, service.upstreams)) or "(the plugin's own)")
        )
    if len(rows) == 1:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows]


def _lives(name: str, config: Config) -> dict[str, object]:
    service = config.services[name]
    return {
        "route": service.route or "(the plugin's own)",
        "upstreams": [str(upstream) for upstream in service.upstreams],
    }


def _plain(error: ConfigError) -> dict[str, object]:
    return {"file": str(error.file) if error.file else None, "line": error.line, "path": error.path, "say": error.say}

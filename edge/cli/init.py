"""`aigate init`: an annotated configuration to begin with."""

import os
from pathlib import Path

import click

from edge.cli.common import Places, common
from edge.config.starter import starter
from edge.config.timezone import system_timezone
from edge.files import make_folder, write_atomically
from edge.home import shipped, user_configuration


@click.command("init")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@common()
def command(places: Places, force: bool) -> None:
    """Write an annotated configuration: to --config, or to where the gate looks for one."""
    target = _target(places.config)
    if target.exists() and not force:
        raise click.ClickException(f"{target} is there already; --force replaces it, --config FILE writes another")
    example = (shipped("conf") / "aigate.example.toml").read_text("utf-8")
    data_dir = places.data.absolute() if places.data else None
    make_folder(target.parent, 0o755)
    write_atomically(target, starter(example, timezone=system_timezone(), data_dir=data_dir).encode(), 0o600)
    suffix = f" --config {target}" if places.config else ""
    click.echo(f"{target}: written\nNext: put your services in, then `aigate check{suffix}` and `aigate run{suffix}`")


def _target(given: Path | None) -> Path:
    if written := given or os.environ.get("AIGATE_CONFIG"):
        return Path(written).absolute()
    return user_configuration(os.environ)

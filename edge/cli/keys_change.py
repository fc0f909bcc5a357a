"""`aigate keys edit`, `disable`, `enable`, `expire` and `delete`."""

import time
from collections.abc import Callable
from typing import Any

import click

from edge.cli.common import Places, common
from edge.cli.keyring import as_json, ask, choose, chosen, keyring, tell_records, warn_of_services
from edge.cli.keys_create import raw, rules
from edge.cli.models import warn_of_models
from edge.core.keyrecord import KeyRecord
from edge.core.times import moment
from edge.stores.keyring import Keyring


@click.command("edit")
@chosen()
@click.option("--to-user", metavar="NAME", help="Give the key to somebody else.")
@rules
@as_json
@common()
def edit(
    places: Places,
    start: str | None,
    user: str | None,
    to_user: str | None,
    as_json: bool,
    description: str | None,
    **options: Any,
) -> None:
    """Change the rules of a key. What is given takes the place of what was; '' clears it, 'never' clears a time."""
    given = dict(raw(options))
    if to_user is not None:
        given["user"] = to_user
    if not given and description is None:
        raise click.UsageError(
            "say what to change; the options are those of `aigate keys create`.", click.get_current_context()
        )
    with keyring(places) as ring:
        changed = ring.edit(choose(ring, start, user), given, description)
    tell_records(changed, as_json, user is None)
    if "service" in given:
        warn_of_services(places, {name for record in changed for name in record.key.services})
    if {"service", "model"} & given.keys():
        warn_of_models(places, changed)


def _simple(name: str, words: str, act: Callable[[Keyring, list[KeyRecord]], list[KeyRecord]]) -> click.Command:
    def run(places: Places, start: str | None, user: str | None, as_json: bool) -> None:
        with keyring(places) as ring:
            changed = act(ring, choose(ring, start, user))
        tell_records(changed, as_json, user is None)

    return click.command(name, help=words)(chosen()(as_json(common()(run))))


disable = _simple("disable", "Switch a key off; what it has open ends within a second.", Keyring.disable)
enable = _simple("enable", "Switch a key on again.", Keyring.enable)


@click.command("expire")
@chosen()
@click.option(
    "--at", "at", metavar="TIME", default="now", help="2026-12-31T18:00, 7d (from now), now (default) or never."
)
@as_json
@common()
def expire(places: Places, start: str | None, user: str | None, at: str, as_json: bool) -> None:
    """Set when a key ends."""
    with keyring(places) as ring:
        when = None if at == "never" else moment(at, time.time())
        changed = ring.expire(choose(ring, start, user), when)
    tell_records(changed, as_json, user is None)


@click.command("delete")
@chosen()
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@common()
def delete(places: Places, start: str | None, user: str | None, yes: bool, as_json: bool) -> None:
    """Take a key off the record for good; its history stays. On a terminal it asks first."""
    with keyring(places) as ring:
        records = choose(ring, start, user)
        told = ", ".join(f"{record.id} of {record.key.user}" for record in records[:5])
        more = f" and {len(records) - 5} more" if len(records) > 5 else ""
        if not yes and not ask(f"Delete {told}{more}? This cannot be undone."):
            raise click.Abort
        gone = ring.delete(records)
    if as_json:
        tell_records(gone, True, user is None)
    else:
        for record in gone:
            click.echo(f"{record.id}  {record.key.user}: deleted")

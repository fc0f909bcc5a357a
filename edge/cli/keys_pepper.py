"""`aigate keys pepper`: what digests of keys are made with, shown, renewed and retired."""

import click

from edge.cli.common import Places, common
from edge.cli.keyring import as_json, ask, keyring, tell_json
from edge.stores.pepper import HIGHEST


@click.command("pepper")
@click.option("--new", is_flag=True, help="Begin a new pepper; keys move to it as they are used.")
@click.option(
    "--retire", type=click.IntRange(1, HIGHEST), metavar="NUMBER", help="End an old pepper that no key needs any more."
)
@click.option("--force", is_flag=True, help="With --retire: keys that still need it are deleted, and listed.")
@as_json
@common()
def pepper(places: Places, new: bool, retire: int | None, force: bool, as_json: bool) -> None:
    """Show the live peppers and how many keys need each; renew or retire one."""
    if new and retire is not None:
        raise click.UsageError("--new and --retire are two steps.", click.get_current_context())
    with keyring(places, writing=new or retire is not None) as ring:
        record = ring.record
        if new:
            record.renew_pepper(ring.by)
        gone = []
        if retire is not None:
            needing = record.needing(retire)
            if needing and force and not ask(f"{len(needing)} keys will die with pepper {retire}. Go on?"):
                raise click.Abort
            gone = record.retire_pepper(retire, ring.by, force=force)
        live = record.live_peppers()
        told = [
            {"number": number, "current": number == max(live), "keys": len(record.needing(number))}
            for number in sorted(live)
        ]
    if retire is not None:
        click.echo(
            f"aigate: keys that were deleted under pepper {retire} are not known any more: "
            "importing a file that still has one would bring it back",
            err=True,
        )
    if as_json:
        tell_json({"peppers": told, "deleted": [each.to_json() for each in gone]})
        return
    for each in gone:
        click.echo(f"{each.id}  {each.key.user}: died with pepper {retire}")
    for line in told:
        click.echo(f"pepper {line['number']}{' (current)' if line['current'] else ''}: {line['keys']} keys need it")

"""`aigate keys import`."""

import time
from pathlib import Path

import click

from edge.cli.common import Places, common
from edge.cli.keyring import as_json, ask, keyring, tell_json, warn_of_services
from edge.cli.tables import table
from edge.core import oldkeys
from edge.core.times import moment, stamp
from edge.stores.takeover import NEW, SKIPPED, Step, carry_out, plan


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option("--service", metavar="NAME", multiple=True, help="For keys that name no service; default '*'.")
@click.option("--expires", metavar="TIME", help="For keys that name no end.")
@click.option("--weak-expires", metavar="TIME", help="When keys that are easy to guess end, such as 30d.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@common()
def import_(
    places: Places,
    file: Path,
    dry_run: bool,
    service: tuple[str, ...],
    expires: str | None,
    weak_expires: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Take over simple keys, which go on working unchanged: one a line; JSON {key: user}; JSON {key: {user, service, …}}; JSON list; .env.

    The plan is shown first, and on a terminal it asks. Each key comes in once, however often this runs. The file is not copied.
    """
    old = _read(file)
    defaults = {name: value for name, value in (("service", list(service)), ("expires", expires)) if value}
    with keyring(places, writing=not dry_run, empty=True) as ring:
        weak_end = None if weak_expires is None else moment(weak_expires, time.time())
        steps = plan(ring, old, defaults, weak_end)
        fresh = [step for step in steps if step.verdict == NEW]
        if not as_json:
            _show(file, old.format, steps)
        if fresh and not dry_run:
            if not (yes or as_json or ask(f"Take over {len(fresh)} keys?")):
                raise click.Abort
            records = carry_out(ring, steps)
        else:
            records = []
    if as_json:
        tell_json(
            {
                "format": old.format,
                "dry_run": dry_run,
                "imported": [record.to_json() for record in records],
                "plan": [step.to_json() for step in steps],
            }
        )
    else:
        _close(file, dry_run, len(records), len(fresh), weak_expires is None and any(step.weak for step in fresh))
    warn_of_services(places, {name for step in fresh if step.key for name in step.key.services})
    if any(step.verdict == SKIPPED for step in steps):
        raise click.exceptions.Exit(1)


def _read(file: Path) -> oldkeys.OldKeys:
    if file.stat().st_size > oldkeys.LARGEST:
        raise click.ClickException(f"{file}: is larger than {oldkeys.LARGEST} bytes")
    try:
        return oldkeys.read(file.read_text("utf-8"), file.name)
    except UnicodeDecodeError:
        raise click.ClickException(f"{file}: is not text in UTF-8") from None
    except ValueError as error:
        raise click.ClickException(f"{file}: {error}") from None


def _show(file: Path, told: str, steps: list[Step]) -> None:
    click.echo(f"{file}: {told}, {len(steps)} keys", err=True)
    rows = []
    for step in steps:
        notes = [step.words] if step.words else []
        if step.weak:
            notes.append(f"weak: {step.weak}")
        if step.ignored:
            notes.append(f"not understood: {', '.join(step.ignored)}")
        key = step.key
        services = " ".join(sorted(key.services)) if key else ""
        rows.append(
            (
                step.place,
                step.verdict,
                key.user if key else "",
                services,
                (stamp(key.expires) if key else "") or "",
                "; ".join(notes),
            )
        )
    table(("WHERE", "PLAN", "USER", "SERVICES", "ENDS", "NOTES"), rows)


def _close(file: Path, dry_run: bool, done: int, fresh: int, weak: bool) -> None:
    if dry_run:
        click.echo(f"{fresh} keys would be taken over; nothing was changed.", err=True)
        return
    click.echo(f"{done} keys taken over; they go on working unchanged.", err=True)
    if weak:
        click.echo(
            "Weak ones are easy to guess: give them an end with `aigate keys expire ID --at 30d`, or rotate them.",
            err=True,
        )
    click.echo(
        f"The file still holds every key in plain text. When all is well: `shred -u {file}`; on an SSD or a copying file system "
        "that may leave traces, and so do backups, so rotate what matters.",
        err=True,
    )

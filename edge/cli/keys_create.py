"""`aigate keys create`."""

import csv
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from edge.cli.common import Places, common
from edge.cli.keyring import as_json, keyring, tell_made, warn_of_services
from edge.cli.models import warn_of_models
from edge.config.timezone import system_timezone
from edge.core.keydraft import Raw, blank, redrafted
from edge.stores.keyring import MOST_AT_ONCE

Function = TypeVar("Function", bound=Callable[..., Any])

_MANY: Final = ("service", "allow", "limit", "model", "method", "path", "scope")
_ONE: Final = ("user", "expires", "not-before", "hours", "tz", "rotate-every", "weight", "batch")
LARGEST: Final = 64 * 2**20

_OPTIONS: Final = (
    ("--service", "NAME", True, "A service that the key may use; again for more, '*' for all and those added later."),
    ("--description", "TEXT", False, "What the key is for."),
    ("--expires", "TIME", False, "When it ends: 30d, 2026-12-31T18:00, never."),
    ("--not-before", "TIME", False, "When it begins."),
    ("--hours", "HOURS", False, "When it may be used: 'mon-fri 15:00-20:00, sat 10:00-22:00'."),
    ("--tz", "ZONE", False, "The time zone of --hours; default: this machine's."),
    ("--allow", "CIDR", True, "A network that it may be used from."),
    ("--limit", "LIMIT", True, "60/minute, '100000 tokens/day', concurrent=2."),
    ("--model", "PATTERN", True, "A model that it may use, 'gemma*'."),
    ("--method", "METHOD", True, "A method that it may use."),
    ("--path", "PATTERN", True, "A path below the service that it may use, '/v1/*'."),
    ("--scope", "SCOPE", True, "manage: change services. admin: the gate itself."),
    ("--rotate-every", "TIME", False, "It ends after so long, and may fetch its successor in its last days."),
    ("--weight", "NUMBER", False, "Its share when services are busy; default 1."),
)


def rules(function: Function) -> Function:
    """Give a verb the options that set rules; it receives them as `rules`, by option name."""
    for name, metavar, many, words in reversed(_OPTIONS):
        function = click.option(name, metavar=metavar, multiple=many, default=None, help=words)(function)
    return click.option("--batch/--no-batch", default=None, help="It waits behind people when services are busy.")(
        function
    )


def raw(options: Mapping[str, Any]) -> Raw:
    """What was given of the options, by their names as typed."""
    named = {name.replace("_", "-"): value for name, value in options.items()}
    return {name: value for name, value in named.items() if value is not None and value != () and name != "description"}


@click.command("create")
@click.option("--user", metavar="NAME", help="Whose key it is.")
@rules
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE.csv",
    help="Make a key for each line; columns are named like the options, ';' stands between several values.",
)
@as_json
@common()
def create(places: Places, file: Path | None, as_json: bool, description: str | None, **options: Any) -> None:
    """Make a key. It is shown once, on standard output, and stored nowhere."""
    given = raw(options)
    drafts = _from_csv(file, given, description or "") if file else [(given, description or "")]
    if file is None:
        _judged(given)
    with keyring(places) as ring:
        made = ring.create_all(drafts) if file is None else _numbered(ring.create_all, drafts, file)
        tell_made(ring, made, as_json, file is None)
    warn_of_services(places, {name for each in made for name in each.record.key.services})
    warn_of_models(places, [each.record for each in made])


def _judged(given: Raw) -> None:
    """Tells what is wrong with the options before a folder is made or spoken of."""
    try:
        redrafted(blank("00000000"), given, time.time(), system_timezone())
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from None


def _from_csv(file: Path, given: Raw, description: str) -> list[tuple[Raw, str]]:
    if file.stat().st_size > LARGEST:
        raise click.ClickException(f"{file}: is larger than {LARGEST} bytes")
    drafts: list[tuple[Raw, str]] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True, skipinitialspace=True)
            names = [name.strip().lower().replace("_", "-") for name in reader.fieldnames or ()]
            if unknown := [name for name in names if name not in (*_MANY, *_ONE, "description")]:
                known = ", ".join((*_ONE, "description", *_MANY))
                raise click.ClickException(f"{file}:1: {unknown[0]!r} is no column; the columns are {known}")
            reader.fieldnames = names
            for line in reader:
                if None in line:
                    raise click.ClickException(
                        f"{file}:{reader.line_num}: the line has more cells than there are columns"
                    )
                cells = {name: (cell or "").strip() for name, cell in line.items()}
                if any(cells.values()):
                    drafts.append(_draft(cells, given, description))
                if len(drafts) > MOST_AT_ONCE:
                    raise click.ClickException(f"{file}: has more than {MOST_AT_ONCE} lines; split it")
    except (UnicodeDecodeError, csv.Error) as error:
        raise click.ClickException(f"{file}: is no CSV file in UTF-8: {error}") from None
    if not drafts:
        raise click.ClickException(f"{file}: names no key; the first line names the columns, such as user,service")
    return drafts


def _draft(cells: Mapping[str, str], given: Raw, description: str) -> tuple[Raw, str]:
    said: dict[str, Any] = dict(given)
    for name, cell in cells.items():
        if not cell or name == "description":
            continue
        if name in _MANY:
            said[name] = [part.strip() for part in cell.split(";")]
        else:
            said[name] = cell.lower() in ("1", "true", "yes", "x") if name == "batch" else cell
    return said, cells.get("description") or description


def _numbered(create_all: Callable[..., Any], drafts: list[tuple[Raw, str]], file: Path) -> Any:
    problems = []
    for number, (given, _) in enumerate(drafts, 1):
        try:
            redrafted(blank("00000000"), given, time.time(), system_timezone())
        except ValueError as error:
            problems += [f"{file}: key {number}: {line}" for line in str(error).splitlines()]
    if problems:
        raise ValueError("\n".join(problems[:50]))
    return create_all(drafts)

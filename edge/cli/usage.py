"""`aigate usage`: who used what, and what it cost."""

import csv
import io
import json
import re
import time
from datetime import tzinfo
from typing import Any

import click

from edge.cli.common import Places, common
from edge.cli.tables import clean, table
from edge.config.schema import Config
from edge.core.quantities import duration
from edge.core.times import moment, span
from edge.core.use import NAMES, UNITS, Line, Report
from edge.stores.usage import BY
from edge.stores.usage_requests import NAMES as REQUEST
from edge.used import prices, requests_json, usage_json, usage_report, usage_store

_FORMULA = re.compile("(?:^|(?<=;))(?=[=+@＝＋－＠-])")  # noqa: RUF001
_HEADS = ("requests", "errors", "prompt", "answer", "audio", "characters", "images", "hardware")
_EACH = ("at", "user", "key", "service", "model", "status", "seconds", "bytes", "units", "reason")


@click.command("usage")
@click.option("--by", type=click.Choice(list(BY)), default="user", show_default=True, help="What a line stands for.")
@click.option("--since", default="7d", show_default=True, metavar="TIME", help="From when on: 24h, 7d, 2026-11-01.")
@click.option("--until", metavar="TIME", help="Up to when, not included; the same forms. Default: now.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option("--requests", is_flag=True, help="List the last requests one by one instead, newest first.")
@click.option(
    "--limit", type=click.IntRange(1, 10**9), default=100, show_default=True, help="With --requests: how many."
)
@click.option("--user", metavar="NAME", help="With --requests: this person's.")
@click.option("--key", metavar="ID", help="With --requests: those with this key.")
@click.option("--service", metavar="NAME", help="With --requests: those to this service.")
@common()
def command(
    places: Places,
    by: str,
    since: str,
    until: str | None,
    as_json: bool,
    as_csv: bool,
    requests: bool,
    limit: int,
    **only: str | None,
) -> None:
    """Report who used what. Whole hours for the last 45 days, whole days before.

    A date is the midnight that begins it, so that --since 2026-11-01 --until 2026-12-01 is November.
    """
    narrowed = {name: value for name, value in only.items() if value is not None}
    for name, value in narrowed.items():
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise click.UsageError(f"--{name} is no UTF-8 text.", click.get_current_context())
    if narrowed and not requests:
        raise click.UsageError(f"--{min(narrowed)} goes with --requests.", click.get_current_context())
    if as_json and as_csv:
        raise click.UsageError("--json or --csv, not both.", click.get_current_context())
    config = places.reading.config
    store = usage_store(config, places.folder)
    if not store.exists:
        raise click.ClickException(f"{places.folder} holds no record of use yet; --data DIR names another folder")
    try:
        begin, end = back(since, store.zone), None if until is None else back(until, store.zone)
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from None
    try:
        if requests:
            _requests(requests_json(store, begin, end, limit, narrowed), as_json, as_csv)
            return
        made = usage_report(store, config, by, begin, end)
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps(usage_json(made, config, by, begin, end), indent=2))
    elif as_csv:
        _csv(made, by)
    else:
        _table(made, config, by)


def back(text: str, zone: tzinfo) -> float:
    """Unix seconds of `7d` (ago), or of a time, in `zone` where it has no offset. Raises ValueError."""
    now = time.time()
    try:
        return now - duration(text)
    except ValueError:
        return moment(text, now, zone)


def _table(made: Report, config: Config, by: str) -> None:
    costs = bool(prices(config))
    heads = (by, *_HEADS, *((config.usage.currency, "kWh") if costs else ()))
    lines = [*made.lines, *((made.total,) if len(made.lines) > 1 else ())]
    table(heads, [_cells(line, costs) for line in lines])
    if costs and made.idle_kwh:
        click.echo(f"\nidle: {made.idle_cost:.2f} {config.usage.currency}, {made.idle_kwh:.3f} kWh while nobody asked")


def _cells(line: Line, costs: bool) -> list[str]:
    use = line.use
    return [
        line.name or "-",
        f"{use.requests:.0f}",
        f"{use.errors:.0f}",
        f"{use.prompt_tokens:.0f}",
        f"{use.completion_tokens:.0f}",
        span(use.audio_seconds) if use.audio_seconds else "0",
        f"{use.characters:.0f}",
        f"{use.images:.0f}",
        span(use.seconds) if use.seconds >= 1 else "0",
        *((f"{line.cost:.4f}", f"{line.kwh:.3f}") if costs else ()),
    ]


def _requests(made: dict[str, Any], as_json: bool, as_csv: bool) -> None:
    listed = made["requests"]
    if as_json:
        click.echo(json.dumps(made, indent=2))
    elif as_csv:
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow((*REQUEST[:-1], *UNITS))
        for one in listed:
            cells = [_cell(value) if isinstance(value := one[name], str) else value for name in REQUEST[:-1]]
            writer.writerow((*cells, *(one["units"].get(unit, "") for unit in UNITS)))
        click.echo(out.getvalue(), nl=False)
    else:
        table(_EACH, [_told(one) for one in listed])


def _told(one: dict[str, Any]) -> list[str]:
    units = ", ".join(f"{amount:g} {unit}" for unit, amount in one["units"].items())
    how = one["reason"] or ("" if one["ended"] == "complete" else one["ended"])
    who = (one["at"], one["user"], one["key"], one["service"], one["model"] or "-")
    return [*who, f"{one['status']}", f"{one['seconds']:.3f}", f"{one['sent']}", units or "-", how or "-"]


def _cell(text: str) -> str:
    # What begins like a formula would be one in a spreadsheet, some of which begin a cell after a semicolon too.
    return _FORMULA.sub("'", clean(text))


def _csv(made: Report, by: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow((by, *NAMES, "cost", "kwh"))
    for line in made.lines:
        writer.writerow(
            (_cell(line.name), *(getattr(line.use, each) for each in NAMES), f"{line.cost:.6f}", f"{line.kwh:.6f}")
        )
    click.echo(out.getvalue(), nl=False)

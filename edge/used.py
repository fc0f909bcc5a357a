"""What was used, as configured: where the record lies, what things cost, and how a report is shown as JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from attrs import asdict, fields

from edge.config.schema import Config
from edge.core.times import stamp
from edge.core.use import Line, Price, Report, report
from edge.stores.usage import UsageStore


def usage_store(config: Config, data: Path) -> UsageStore:
    """The record of a data folder; nothing is opened yet."""
    usage = config.usage
    return UsageStore(data, ZoneInfo(config.limits.timezone), usage.keep, usage.requests, usage.requests_keep)


def prices(config: Config) -> Mapping[str, Price]:
    """Prices by service, `*` for the others."""
    names = [attribute.name for attribute in fields(Price)]
    return {
        service: Price(**{name: getattr(one, name) for name in names}) for service, one in config.usage.prices.items()
    }


def usage_report(store: UsageStore, config: Config, by: str, since: float, until: float | None) -> Report:
    """Who used what from `since` up to, not including, `until` (Unix seconds; None: now). Raises StoreError."""
    return report(store.sums(by, since, until), store.hardware(since, until, by), prices(config), config.usage.kwh)


def usage_json(made: Report, config: Config, by: str, since: float, until: float | None) -> dict[str, Any]:
    """A report as `aigate usage --json` and the ops listener's `/usage` show it."""
    return {
        "by": by,
        "since": stamp(since),
        "until": stamp(until),
        "currency": config.usage.currency,
        "lines": [_line(line) for line in made.lines],
        "total": _line(made.total),
        "idle": {"kwh": round(made.idle_kwh, 6), "cost": round(made.idle_cost, 6)},
    }


def requests_json(
    store: UsageStore, since: float, until: float | None, limit: int, only: Mapping[str, str]
) -> dict[str, Any]:
    """The last requests one by one, newest first, as `aigate usage --requests --json` and `/usage?requests=100` show them."""
    found = store.newest(since, until, limit, only)
    return {
        "since": stamp(since),
        "until": stamp(until),
        "requests": [{**asdict(one), "at": stamp(one.at)} for one in found],
    }


def _line(line: Line) -> dict[str, Any]:
    return {"name": line.name, **asdict(line.use), "cost": round(line.cost, 6), "kwh": round(line.kwh, 6)}

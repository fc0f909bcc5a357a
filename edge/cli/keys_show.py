"""`aigate keys list`, `show`, `history`, `validate` and `export`."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from edge.cli.common import Places, common
from edge.cli.keyring import as_json, choose, chosen, keyring, state, tell_json
from edge.cli.tables import details, table
from edge.core.keyrecord import HistoryEntry, KeyRecord
from edge.core.keys import Key
from edge.core.secrets import LONGEST, possible
from edge.core.times import span, stamp
from edge.stores import export as runtime


@click.command("list")
@click.option("--user", metavar="NAME", help="The keys of this person only.")
@as_json
@common()
def list_(places: Places, user: str | None, as_json: bool) -> None:
    """All keys, or those of a person; never a secret."""
    with keyring(places, writing=False) as ring:
        records = ring.record.find(user=user)
    if as_json:
        tell_json([record.to_json() for record in records])
        return
    table_of_keys(records)


@click.command("show")
@chosen()
@as_json
@common()
def show(places: Places, start: str | None, user: str | None, as_json: bool) -> None:
    """Everything that is known of a key; never the secret, which is stored nowhere."""
    with keyring(places, writing=False) as ring:
        records = choose(ring, start, user)
    if as_json:
        told = [record.to_json() for record in records]
        tell_json(told if user is not None else told[0])
        return
    tell_details(records)


@click.command("history")
@chosen()
@as_json
@common()
def history(places: Places, start: str | None, user: str | None, as_json: bool) -> None:
    """Every change of a key, or of all; a deleted key is named by its whole id."""
    with keyring(places, writing=False) as ring:
        if user is not None:
            entries = [entry for record in ring.of(user) for entry in ring.record.history(record.id)]
        elif start is None:
            entries = ring.record.history()
        else:
            entries = ring.record.history(start.lower()) or ring.record.history(ring.pick(start).id)
    if as_json:
        tell_json([entry.to_json() for entry in entries])
        return
    tell_history(entries)


@click.command("validate")
@click.argument("key", required=False)
@as_json
@common()
def validate(places: Places, key: str | None, as_json: bool) -> None:
    """Whether a key would be let in now, by its state and times. '-' reads it from standard input. Exit 0: yes, 1: no."""
    if key is None and sys.stdin.isatty():
        key = click.prompt("Key", hide_input=True, err=True)
    elif key is None or key == "-":
        key = sys.stdin.readline(LONGEST + 2)
    else:
        click.echo(
            "aigate: that key is in this shell's history now; `aigate keys validate -` reads it from standard input",
            err=True,
        )
    secret = key.strip().encode("utf-8", "replace")
    reason, record = "unknown-key", None
    if possible(secret):
        with keyring(places, writing=False) as ring:
            known = ring.record.known(secret)
            record = ring.record.get(known.key) if known and not known.deleted else None
        if record is not None:
            reason = _reason(record.key, time.time())
    if as_json:
        told = {"id": record.id, "user": record.key.user, "services": sorted(record.key.services)} if record else {}
        tell_json({"valid": not reason, "reason": reason or None, **told})
    elif record is None:
        damaged = secret.startswith(b"aig_") and not possible(secret)
        click.echo(
            "this is no key: its checksum does not hold; was it cut or mistyped?"
            if damaged
            else "this key is not known here"
        )
    else:
        click.echo(f"key {record.id} of {record.key.user}: {state(record, time.time())}")
    raise click.exceptions.Exit(1 if reason else 0)


@click.command("export")
@click.option("--runtime", "runtime_wanted", is_flag=True, help="Make the gate's own export anew.")
@as_json
@common()
def export(places: Places, runtime_wanted: bool, as_json: bool) -> None:
    """All keys' metadata as JSON, without secrets; or the gate's own export, made anew."""
    if not runtime_wanted:
        with keyring(places, writing=False) as ring:
            tell_json([record.to_json() for record in ring.record.find()])
        return
    with keyring(places) as ring:
        ring.record.export(always=True)
        path = ring.record.folder / runtime.FILE
        header, _, _ = runtime.read(path)
    if as_json:
        tell_json({"file": str(path), "generation": header.generation, "keys": header.count})
    else:
        click.echo(f"{path}: {header.count} keys, generation {header.generation}")


def table_of_keys(records: Sequence[KeyRecord]) -> None:
    """Keys, one a line."""
    now = time.time()
    rows = [
        (each.id, each.key.user, " ".join(sorted(each.key.services)), state(each, now), _rules(each), each.description)
        for each in records
    ]
    table(("ID", "USER", "SERVICES", "STATE", "RULES", "DESCRIPTION"), rows)


def tell_details(records: Sequence[KeyRecord]) -> None:
    """All that is known of keys."""
    now = time.time()
    for number, record in enumerate(records):
        if number:
            click.echo()
        known = record.to_json() | {"state": state(record, now)}
        details({name: value for name, value in known.items() if value not in (None, "", [], False)})


def tell_history(entries: Sequence[HistoryEntry]) -> None:
    """Changes, one a line."""
    rows = [(stamp(entry.at) or "", entry.key, entry.action, entry.by, _told(entry.detail)) for entry in entries]
    table(("WHEN", "KEY", "ACTION", "BY", "WHAT"), rows)


def _reason(key: Key, now: float) -> str:
    if key.disabled:
        return "disabled-key"
    if key.expires is not None and now >= key.expires:
        return "expired-key"
    return "not-yet-valid" if key.not_before is not None and now < key.not_before else ""


def _rules(record: KeyRecord) -> str:
    key = record.key
    parts = [
        *sorted(key.scopes),
        *key.models,
        *sorted(key.methods),
        *key.paths,
        *map(str, key.networks),
        *map(str, key.limits),
    ]
    if key.hours:
        parts.append(f"{key.hours.text} {key.hours.zone}")
    if key.batch:
        parts.append("batch")
    if record.weak:
        parts.append(f"weak: {record.weak}")
    return ", ".join(parts)


def _told(detail: Mapping[str, Any]) -> str:
    return "; ".join(f"{name.replace('_', ' ')}: {_said(name, value)}" for name, value in detail.items())


def _said(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"{_said(name, value.get('from'))} → {_said(name, value.get('to'))}"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if name in ("expires", "not_before") and isinstance(value, int | float):
        return stamp(value) or ""
    if name == "rotate_every" and isinstance(value, int | float):
        return span(value)
    return "none" if value in (None, "") else str(value)

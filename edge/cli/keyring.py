"""What the verbs of `aigate keys` share: the keyring, the choice of keys, and how they are shown."""

import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from edge.cli.common import Places
from edge.config.timezone import system_timezone
from edge.core.keyrecord import KeyRecord
from edge.core.times import stamp
from edge.errors import AigateError, ConfigErrors, StoreError
from edge.observe.audit import ENDLESS
from edge.observe.keychanges import key_changes
from edge.stores.keyring import Keyring, Made
from edge.stores.sqlite import SqliteKeyRecord

Function = TypeVar("Function", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@contextmanager
def keyring(places: Places, *, writing: bool = True, empty: bool = False) -> Iterator[Keyring]:
    """The keys of the data folder that a verb works with. Rules that cannot be are told as a usage error.

    A verb that only reads needs keys to be there, unless `empty` will do.
    """
    folder = places.writing() if writing else places.folder
    record = SqliteKeyRecord(folder, audit=key_changes(folder, places.audit_max if writing else ENDLESS, places.warn))
    if not (writing or empty or record.exists):
        raise click.ClickException(
            f"{folder} holds no keys yet; `aigate keys create` makes one, --data DIR names another folder"
        )
    try:
        yield Keyring(record, actor(), system_timezone())
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from None
    finally:
        record.close()


def actor() -> str:
    """Who makes a change, for the history: `cli:alice`, `cli:root for alice` under sudo."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    behind = os.environ.get("SUDO_USER", "")
    return f"cli:{name} for {behind}" if behind and behind != name else f"cli:{name}"


def chosen() -> Callable[[Function], Function]:
    """Give a verb the argument ID and the option --user; it receives `start` and `user`, and asks `choose`."""

    def decorate(function: Function) -> Function:
        option = click.option("--user", metavar="NAME", help="All keys of this person.")
        argument = click.argument("start", metavar="[ID]", required=False)
        return argument(option(function))

    return decorate


def choose(ring: Keyring, start: str | None, user: str | None) -> list[KeyRecord]:
    """The keys that ID or --user mean: exactly one of the two must be said."""
    if (start is None) == (user is None):
        raise click.UsageError(
            "say which key by its ID, or --user NAME for all of a person.", click.get_current_context()
        )
    return ring.of(user) if user is not None else [ring.pick(start or "")]


def tell_json(value: object) -> None:
    """JSON on standard output, indented, since people read it too."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def tell_records(records: Sequence[KeyRecord], json_wanted: bool, single: bool) -> None:
    """What a change made of keys: one line each, or JSON (an object for a single key)."""
    if json_wanted:
        told = [record.to_json() for record in records]
        tell_json(told[0] if single else told)
        return
    now = time.time()
    for record in records:
        click.echo(f"{record.id}  {record.key.user}: {state(record, now)}")


def made_json(made: Made) -> dict[str, Any]:
    """The one place where a secret is put into JSON."""
    return {"id": made.record.id, "key": made.secret, **{k: v for k, v in made.record.to_json().items() if k != "id"}}


def tell_made(ring: Keyring, made: Sequence[Made], json_wanted: bool, single: bool) -> None:
    """Show new keys, once: secrets on standard output, words on standard error.

    Where they cannot be shown they are taken back, since nobody would know of them. Raises AigateError then.
    """
    try:
        _show_made(made, json_wanted, single)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no such characters here"
        told = f"key{'s' if len(made) > 1 else ''} {', '.join(each.record.id for each in made[:5])}"
        told += f"{', …' if len(made) > 5 else ''} could not be shown ({why})"
        try:
            ring.take_back(made)
        except StoreError as refused:
            raise AigateError(
                f"{told} and not be taken back ({refused}): `aigate keys delete ID` ends what nobody saw"
            ) from error
        raise AigateError(f"{told} and {'are' if len(made) > 1 else 'is'} taken back") from error


def _show_made(made: Sequence[Made], json_wanted: bool, single: bool) -> None:
    if json_wanted:
        told = [made_json(each) for each in made]
        tell_json(told[0] if single else told)
        return
    now = time.time()
    for each in made:
        key = each.record.key
        whom = f", successor of {each.record.replaces}" if each.record.replaces else ""
        click.echo(
            f"key {key.id} for {key.user}{whom}: {', '.join(sorted(key.services))}, {state(each.record, now)}", err=True
        )
        click.echo(each.secret)
    it = "It is" if len(made) == 1 else "They are"
    click.echo(f"{it} shown this once and stored nowhere: keep {'it' if len(made) == 1 else 'them'} now.", err=True)


def state(record: KeyRecord, now: float) -> str:
    """In a few words, whether a key works."""
    key = record.key
    if key.disabled:
        return "disabled"
    if key.expires is not None and key.expires <= now:
        return f"expired {stamp(key.expires)}"
    if key.not_before is not None and key.not_before > now:
        return f"begins {stamp(key.not_before)}"
    if key.expires is not None:
        return f"{'replaced, ' if record.replaced_by else ''}ends {stamp(key.expires)}"
    return "no end"


def warn_of_services(places: Places, services: Iterable[str]) -> None:
    """Say on standard error which services the configuration does not know: a typing error would show only as a 403."""
    try:
        known = set(places.reading.config.services)
    except ConfigErrors:
        return  # a broken configuration is the gate's to tell; keys can be made all the same
    for name in sorted(set(services) - known - {"*"}):
        if known:
            click.echo(
                f"aigate: the configuration has no service {name!r} yet (it has {', '.join(sorted(known))})", err=True
            )


def ask(question: str) -> bool:
    """Whether the person at the terminal agrees; without a terminal nobody is asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    return click.confirm(question, err=True)

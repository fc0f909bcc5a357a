"""`aigate keys` on a terminal: what the verbs do, by choosing."""

import time
from collections.abc import Callable
from typing import Any

import click

from edge.cli.common import Places
from edge.cli.keyring import actor, state, tell_made
from edge.cli.keys_show import table_of_keys, tell_details, tell_history
from edge.cli.models import warn_of_models
from edge.cli.terminal import GoBack, choose, line, sure
from edge.config.timezone import system_timezone
from edge.core.keydraft import SCOPES
from edge.core.keyrecord import KeyRecord
from edge.core.quantities import duration
from edge.core.times import moment
from edge.errors import AigateError, ConfigErrors
from edge.observe.keychanges import key_changes
from edge.stores.keyring import Keyring
from edge.stores.sqlite import SqliteKeyRecord

ALL = "all of them, and those added later"


def menu(places: Places) -> None:
    """Ask and do until the person leaves. What goes wrong is said in a line, and the menu goes on."""
    folder = places.writing()
    record = SqliteKeyRecord(folder, audit=key_changes(folder, places.audit_max, places.warn))
    try:
        Menu(places, Keyring(record, actor(), system_timezone())).run()
    finally:
        record.close()


class Menu:
    """The questions, over one keyring."""

    def __init__(self, places: Places, ring: Keyring) -> None:
        self.places, self.ring = places, ring

    def run(self) -> None:
        actions: list[tuple[str, Callable[[], None]]] = [
            ("Make a key for a person, a device or a script", self.create),
            ("See all keys", self.overview),
            ("Look at a key, change it or end it", self.one),
            ("A lost device: end a key now", self.lost),
        ]
        at = 0
        while True:
            try:
                at = choose("Keys", [*(words for words, _ in actions), "Leave"], at)
            except GoBack:
                return
            if at == len(actions):
                return
            self.attempt(actions[at][1])

    def attempt(self, action: Callable[[], None]) -> None:
        """Do one thing; what cannot be is told, and nothing ends but that."""
        try:
            action()
        except GoBack:
            return
        except (ValueError, AigateError) as error:
            for told in str(error).splitlines():
                click.echo(told, err=True)

    def create(self) -> None:
        raw: dict[str, Any] = {"user": line("Whose key is it (a name)"), "service": self.services()}
        description = line("What is it for (phone, laptop, …)", "")
        raw["expires"] = line("When does it end (30d, 2026-12-31, never)", "never")
        if line("More rules (hours, models, limits, addresses)? y/n", "n").lower().startswith("y"):
            raw |= self.rules()
        made = self.ring.create(raw, description)
        tell_made(self.ring, [made], False, True)
        warn_of_models(self.places, [made.record])

    def services(self) -> list[str]:
        try:
            names = sorted(self.places.reading.config.services)
        except ConfigErrors as error:
            click.echo(f"The configuration cannot be read ({error.errors[0]}); type the services' names.", err=True)
            names = []
        if not names:
            return line("Which services (names with spaces between, * for all)", "*").split()
        at = choose("Which service", [*names, ALL, "several: type their names"])
        if at < len(names):
            return [names[at]]
        return ["*"] if at == len(names) else line(f"Names out of {', '.join(names)}, with spaces between").split()

    def rules(self) -> dict[str, Any]:
        asked = {
            "hours": line("At which hours (mon-fri 15:00-20:00), empty for any", ""),
            "model": line("Which models (gemma* llama3*), empty for any", "").split(),
            "limit": [
                part.strip() for part in line("Limits (60/minute, 100000 tokens/day), empty for none", "").split(",")
            ],
            "allow": line("From which addresses (192.168.1.0/24), empty for any", "").split(),
            "scope": [scope for scope in SCOPES if line(f"May it {_MAY[scope]}? y/n", "n").lower().startswith("y")],
        }
        return {name: value for name, value in asked.items() if value}

    def overview(self) -> None:
        records = self.ring.record.find()
        if records:
            table_of_keys(records)
        else:
            click.echo("There are no keys yet.")

    def pick(self, title: str) -> KeyRecord:
        records, now = self.ring.record.find(), time.time()
        if not records:
            raise ValueError("There are no keys yet.")
        entries = [
            f"{each.key.user:<16} {each.description or '-':<16} {' '.join(sorted(each.key.services))}  {state(each, now)}  ({each.id})"
            for each in records
        ]
        return records[choose(title, entries)]

    def one(self) -> None:
        record = self.pick("Which key")
        while True:
            tell_details([record])
            switch = "Switch it on again" if record.key.disabled else "Switch it off"
            at = choose(
                f"{record.key.user}, {record.id}",
                [switch, "Change when it ends", "New key in its place", "History", "Delete it", "Back"],
            )
            if at == 0:
                (record,) = (self.ring.enable if record.key.disabled else self.ring.disable)([record])
            elif at == 1:
                told = line("When does it end (30d, 2026-12-31, now, never)")
                (record,) = self.ring.expire([record], None if told == "never" else moment(told, time.time()))
            elif at == 2:
                grace = duration(line("How long does the old key live on (24h, 0s)", "24h"))
                tell_made(self.ring, self.ring.rotate([record], grace), False, True)
                return
            elif at == 3:
                tell_history(self.ring.record.history(record.id))
            elif at == 4:
                if sure(f"Delete key {record.id} of {record.key.user}? This cannot be undone."):
                    self.ring.delete([record])
                    click.echo("deleted")
                    return
            else:
                return

    def lost(self) -> None:
        record = self.pick("Which device was lost")
        if not sure(f"End key {record.id} of {record.key.user} now?"):
            return
        # At once: the next question may never be answered.
        self.ring.disable([record])
        click.echo("It is switched off; what it has open ends within a second.")
        if not record.replaced_by and line("Make a new key with the same rules? y/n", "y").lower().startswith("y"):
            tell_made(self.ring, self.ring.rotate([record], 0.0, lost=True), False, True)


_MAY = {"manage": "change services (pull and delete models)", "admin": "look after the gate itself"}

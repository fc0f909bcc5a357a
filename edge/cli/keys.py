"""`aigate keys`: the verbs, each loaded when it is asked for; alone on a terminal, a menu."""

import sys
from importlib import import_module
from typing import Final

import click

from edge.cli.common import Places, common

VERBS: Final[dict[str, tuple[str, str]]] = {
    "create": ("keys_create", "Make a key, or many from a CSV file."),
    "list": ("keys_show", "All keys, or those of a person."),
    "show": ("keys_show", "Everything that is known of a key."),
    "edit": ("keys_change", "Change the rules of a key."),
    "disable": ("keys_change", "Switch a key off; what it has open ends within a second."),
    "enable": ("keys_change", "Switch a key on again."),
    "rotate": ("keys_rotate", "Make a key's successor; the old one lives on for the grace time."),
    "expire": ("keys_change", "Set when a key ends."),
    "delete": ("keys_change", "Take a key off the record for good."),
    "history": ("keys_show", "Every change of a key."),
    "validate": ("keys_show", "Whether a key would be let in."),
    "import": ("keys_import", "Take over simple keys from a file."),
    "export": ("keys_show", "Metadata without secrets, or the gate's own export made anew."),
    "pepper": ("keys_pepper", "Show, renew and retire what digests of keys are made with."),
}


class KeyVerbs(click.Group):
    """The verbs of `aigate keys`; the function for `create` is `create` in `edge/cli/keys_create.py`, those for `import` and `list` end in an underscore."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module = import_module(f"edge.cli.{VERBS[name][0]}")
        command = getattr(module, f"{name}_" if name in ("import", "list") else name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The stock method imports every verb to read its help.
        with formatter.section("Verbs"):
            formatter.write_dl([(name, words) for name, (_, words) in VERBS.items()])


@click.group("keys", cls=KeyVerbs, invoke_without_command=True)
@common()
@click.pass_context
def command(ctx: click.Context, places: Places) -> None:
    """Make, change and end keys. Alone on a terminal: a menu.

    An ID may be the unique beginning of one; --user NAME takes all keys of a person.
    """
    if ctx.invoked_subcommand is not None:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("say what to do with keys; the menu needs a terminal.", ctx)
    # Imported here: a terminal's modules are of no use to scripts.
    from edge.cli.keys_menu import menu

    menu(places)

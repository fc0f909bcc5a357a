"""The command `aigate`: one file per verb, loaded when it is asked for."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from traceback import extract_tb
from typing import Final

import click

from edge import __version__
from edge.cli import streams
from edge.cli.common import common
from edge.errors import AigateError, ConfigError, ConfigErrors

NO: Final = 1
USAGE: Final = 2
CONFIGURATION: Final = 78
"""EX_CONFIG of sysexits.h."""

VERBS: Final[dict[str, str]] = {
    "run": "Start the gate in the foreground.",
    "init": "Write an annotated configuration to begin with.",
    "check": "Judge the configuration: every error at once.",
    "explain": "Tell why a request would pass or not.",
    "keys": "Make, change and end keys; alone, a menu.",
    "certs": "Show the gate's own certificate authority.",
    "audit": "Prove that the audit log is whole.",
    "usage": "Report who used what.",
}
LATER: Final = frozenset({"doctor", "reload", "backup", "restore", "plugins"})


class Verbs(click.Group):
    """The verbs, each in `edge/cli/NAME.py` as `command`; only the one that is asked for is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in VERBS if find_spec(f"edge.cli.{name}")]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in LATER:
            raise click.UsageError(f"`aigate {name}` is not built yet.", ctx)
        if name not in VERBS or not find_spec(f"edge.cli.{name}"):
            return None
        command = import_module(f"edge.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The stock method imports every verb to read its help.
        with formatter.section("Verbs"):
            formatter.write_dl([(name, VERBS[name]) for name in self.list_commands(ctx)])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="aigate", message="%(prog)s %(version)s")
@common(passed=False)
def aigate() -> None:
    """The door of a home AI server: HTTPS, a key for each person and device, and nothing exposed that was not meant to be."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (None: the process's own) and tell its exit code: 0 yes, 1 no, 2 usage, 78 configuration."""
    streams.complete()
    try:
        code = aigate.main(None if argv is None else list(argv), prog_name="aigate", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.UsageError as error:
        _tell(error.format_message())
        _tell(f"`{error.ctx.command_path if error.ctx else 'aigate'} --help` shows what there is")
        return USAGE
    except click.ClickException as error:
        _tell(error.format_message())
        return error.exit_code
    except (ConfigError, ConfigErrors) as error:
        # Without our name before it, so that editors and terminals make a link of FILE:LINE.
        click.echo(str(error), err=True)
        return CONFIGURATION
    except AigateError as error:
        _tell(str(error))
        return NO
    except (KeyboardInterrupt, EOFError, click.Abort):
        click.echo(err=True)
        return NO
    except BrokenPipeError:
        # Whoever read our output has left.
        return NO
    except OSError as error:
        where = error.filename or ("" if streams.let_go() else "standard output")
        _tell(": ".join(str(part) for part in (where, error.strerror or error) if part))
        return NO
    except Exception as error:
        if os.environ.get("AIGATE_TRACEBACK"):
            raise
        at = extract_tb(error.__traceback__)[-1]
        # Its text is left out: nobody has judged whether it holds a secret.
        _tell(
            f"a fault of aigate itself: {type(error).__name__} at {Path(at.filename).name}:{at.lineno}; AIGATE_TRACEBACK=1 shows all"
        )
        return NO
    finally:
        streams.let_go()
    return code if isinstance(code, int) else 0


def _tell(text: str) -> None:
    for line in text.splitlines():
        click.echo(f"aigate: {line}", err=True)

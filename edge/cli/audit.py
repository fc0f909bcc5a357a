"""`aigate audit`: is the audit log whole, and which line was its last?"""

import json
from pathlib import Path

import click

from edge.cli.common import Places, common
from edge.observe.audit import AuditTrail
from edge.observe.auditproof import Verdict
from edge.observe.heads import Head


@click.group("audit")
@common(passed=False)
def command() -> None:
    """Prove that the audit log is whole."""


@command.command("verify")
@click.option(
    "--head", "saved", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True,
    metavar="FILE", help="A signed head that was kept elsewhere (`aigate audit head`), one or more lines; may be repeated.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common()
def verify(places: Places, saved: tuple[Path, ...], as_json: bool) -> int:
    """Read the whole audit log: every line that was removed, moved or edited is named. Exit code 1 where one was."""
    verdict = AuditTrail(places.folder).verify([head for file in saved for head in _heads(file)])
    if as_json:
        click.echo(json.dumps(_told(verdict), indent=2))
    else:
        _say(verdict)
    return 0 if verdict.whole else 1


@command.command("head")
@common()
def head(places: Places) -> None:
    """Print the signed head, one line of JSON: kept on another machine, it shows later that nothing before it was changed."""
    folder = places.folder
    if not (folder / "log").is_dir():
        raise click.ClickException(f"{folder} holds no audit log yet; --data DIR names another folder")
    click.echo(AuditTrail(folder, places.audit_max).sign().to_json(), nl=False)


def _heads(file: Path) -> list[Head]:
    context = click.get_current_context()
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise click.UsageError(f"{file}: this is no text, and so no signed head of an audit log", context) from None
    heads = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                heads.append(Head.from_json(line))
            except ValueError as error:
                raise click.UsageError(f"{file}:{number}: {error}", context) from None
    if not heads:
        raise click.UsageError(f"{file}: holds no signed head", context)
    return heads


def _say(verdict: Verdict) -> None:
    check = verdict.check
    for problem in verdict.problems:
        click.echo(problem)
    for fault in check.faults:
        click.echo(str(fault))
    if check.further:
        click.echo(f"and {check.further} more")
    ends = check.first, check.last
    span = f"lines {ends[0].number} to {ends[1].number}" if ends[0] and ends[1] else "no lines"
    if verdict.whole:
        signed = (
            f"signed up to line {verdict.head.link.number} at {verdict.head.at}" if verdict.head else "not signed yet"
        )
        after = f"; {verdict.unsigned} lines since then hang on the chain alone" if verdict.unsigned else ""
        click.echo(f"whole: {span}, {signed}{after}")
    else:
        click.echo(f"NOT whole: {span}, {len(check.faults) + check.further + len(verdict.problems)} faults")


def _told(verdict: Verdict) -> dict[str, object]:
    check, head = verdict.check, verdict.head
    return {
        "whole": verdict.whole,
        "lines": check.lines,
        "first": check.first.number if check.first else None,
        "last": check.last.number if check.last else None,
        "signed": {"line": head.link.number, "at": head.at, "key": head.key} if head else None,
        "unsigned": verdict.unsigned,
        "problems": list(verdict.problems),
        "faults": [{"place": fault.place, "say": fault.say} for fault in check.faults],
        "further_faults": check.further,
    }

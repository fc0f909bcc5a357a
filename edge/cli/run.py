"""`aigate run`: the gate in the foreground."""

import sys
from typing import Any

import click

from edge.cli.common import Places, common
from edge.errors import AigateError
from edge.transport.settle import hurry


@click.command("run")
@common()
def command(places: Places) -> None:
    """Start the gate in the foreground; Ctrl-C finishes what is open and ends it."""
    hurry()
    from twisted.logger import globalLogBeginner

    from edge.observe.gatelog import gate_log
    from edge.start import bind, prepare
    from edge.transport.reactor import install_or_adapt

    prepared = prepare(places.config, places.data)
    said = install_or_adapt(prepared.reading.config.transport.fast)
    from twisted.internet import reactor as running

    reactor: Any = running
    log = prepared.reading.config.log
    observer = gate_log(_print, log.level, log.console)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    service = bind(prepared, reactor, console=sys.stdout.fileno())
    if said:
        click.echo(f"aigate: {said}", err=True)
    failed: list[BaseException] = []

    def start() -> None:
        try:
            service.privilegedStartService()
            service.startService()
        except BaseException as error:
            failed.append(error)
            reactor.stop()

    reactor.callWhenRunning(start)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    if failed:
        raise failed[0] if isinstance(failed[0], AigateError) else AigateError(str(failed[0])) from failed[0]


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

"""`aigate run`: the gate in the foreground."""

import sys
from typing import Any, TextIO

import click
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
)
from zope.interface import provider

from edge.cli.common import Places, common
from edge.errors import AigateError
from edge.transport.reactor import install_or_adapt


@click.command("run")
@common()
def command(places: Places) -> None:
    """Start the gate in the foreground; Ctrl-C finishes what is open and ends it."""
    from edge.start import bind, prepare

    prepared = prepare(places.config, places.data)
    said = install_or_adapt(prepared.reading.config.transport.fast)
    from twisted.internet import reactor as running

    reactor: Any = running
    log = prepared.reading.config.log
    begin_log(sys.stdout, log.level, log.console)
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


def begin_log(out: TextIO, level: str, shape: str = "human") -> None:
    """Log lines on `out`: "human" or "json", or none with "off"."""
    from edge.observe.console import console_json, console_line

    line = console_json if shape == "json" else console_line

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        out.write(line(event))
        out.flush()

    predicate = LogLevelFilterPredicate(LogLevel.levelWithName(level))
    observers = [] if shape == "off" else [FilteringLogObserver(observe, [predicate])]
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False)

"""`twistd aigate`: options and service."""

import sys
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from edge.errors import AigateError
from edge.transport.reactor import install_or_adapt


class Options(usage.Options):
    """twistd's options of the gate."""

    optParameters = [  # noqa: RUF012 - twisted's own way
        ["config", "c", None, "The configuration file."],
        ["data", "d", None, "The data folder."],
    ]

    def postOptions(self) -> None:
        """Judges everything before twistd forks, so that what is wrong is one line and an exit code."""
        from edge.start import prepare

        config, data = (Path(self[name]) if self[name] else None for name in ("config", "data"))
        try:
            self.prepared = prepare(config, data)
        except AigateError as error:
            raise usage.UsageError(str(error)) from None
        self.said = install_or_adapt(self.prepared.reading.config.transport.fast)
        self._settle_files()

    def _settle_files(self) -> None:
        """A daemon's pid and log go to the data folder unless they were given."""
        parent: Any = self.parent
        if parent is None or "pidfile" not in parent:
            return
        if parent["pidfile"] == "twistd.pid":
            parent["pidfile"] = "" if parent["nodaemon"] else str(self.prepared.data / "gate.pid")
        if not parent["nodaemon"] and not parent["logfile"]:
            folder = self.prepared.data / "log"
            folder.mkdir(mode=0o700, exist_ok=True)
            parent["logfile"] = str(folder / "gate.log")

    def console(self) -> int | None:
        """Where requests are shown: standard output of a gate in the foreground that was given no log file."""
        parent: Any = self.parent
        foreground = parent is not None and parent.get("nodaemon") and not parent.get("logfile")
        return 1 if foreground else None


def makeService(options: Options) -> IService:
    """The gate, bound. What cannot be bound is a usage error: twistd prints it and exits before it forks."""
    from twisted.internet import reactor

    from edge.start import bind

    try:
        service: IService = bind(options.prepared, reactor, console=options.console())
    except AigateError as error:
        sys.exit(f"aigate: {error}")
    return service

"""`twistd aigate`: options and service."""

import sys
from pathlib import Path
from typing import Any, TextIO

from twisted.application.service import IService, MultiService
from twisted.logger import ILogObserver
from twisted.python import usage
from twisted.python.components import Componentized

from edge.errors import AigateError, ConfigError, ConfigErrors
from edge.transport.reactor import install_or_adapt
from edge.transport.settle import hurry


class Options(usage.Options):
    """twistd's options of the gate."""

    optParameters = [  # noqa: RUF012 - twisted's own way
        ["config", "c", None, "The configuration file."],
        ["data", "d", None, "The data folder."],
    ]

    def postOptions(self) -> None:
        """Judges everything before twistd forks, so that what is wrong is one line and an exit code."""
        hurry()
        from edge.start import prepare

        config, data = (Path(self[name]) if self[name] else None for name in ("config", "data"))
        try:
            self.prepared = prepare(config, data)
        except AigateError as error:
            # A UsageError would bury the line under twistd's list of options.
            sys.exit(told(error))
        self.said = install_or_adapt(self.prepared.reading.config.transport.fast)
        parent: Any = self.parent
        self.daemon = parent is not None and "pidfile" in parent and not parent["nodaemon"]
        self.observer: ILogObserver | None = None
        if parent is not None:
            self._settle_files(parent)

    def _settle_files(self, parent: Any) -> None:
        """A daemon's pid and log go to the data folder unless they were given; the log has our lines and bounds."""
        if "pidfile" not in parent:
            # `python -m twisted`, which stays in the foreground.
            parent["fileLogObserverFactory"] = self._printed
            return
        data: Path = self.prepared.data
        if parent["pidfile"] == "twistd.pid":
            pid = data / "gate.pid"
            parent["pidfile"] = str(pid) if self.daemon else ""
            if self.daemon:
                # Whoever wrote it is gone, since the folder's lock is ours; its number may be somebody else's by now.
                pid.unlink(missing_ok=True)
        if not parent["logfile"] and not parent["logger"] and not parent["syslog"]:
            # The stream as it is now: twistd is about to put one of its own in its place, which leads here.
            self.observer = self._kept(data / "log") if self.daemon else self._printed(sys.stdout)

    def _kept(self, folder: Path) -> ILogObserver:
        """A daemon's words go to `gate.log`."""
        from edge.files import make_folder
        from edge.observe.gatelog import LARGEST, LogFile, gate_log

        log = self.prepared.reading.config.log
        file = LogFile(make_folder(folder) / "gate.log", min(log.rotate_size, LARGEST), log.rotate_keep or 5)
        return gate_log(file.write, log.level)

    def _printed(self, out: TextIO) -> ILogObserver:
        """Words in the foreground go to a stream."""
        from edge.observe.gatelog import gate_log

        def write(text: str) -> None:
            out.write(text)
            out.flush()

        log = self.prepared.reading.config.log
        return gate_log(write, log.level, log.console)

    def console(self) -> int | None:
        """Where requests are shown: standard output of a gate in the foreground that was given no log file."""
        parent: Any = self.parent
        elsewhere = parent is None or parent.get("logfile") or parent.get("logFile", sys.stdout) is not sys.stdout
        return None if self.daemon or elsewhere else 1


class Observed(MultiService):
    """The gate as a child of twistd's application, which takes its log observer from there."""

    def __init__(self, observer: ILogObserver | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._observer = observer

    def setServiceParent(self, parent: Any) -> None:
        """See IService."""
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]


def told(error: AigateError) -> str:
    """An error for standard error; one of the configuration without our name, so that terminals make a link of FILE:LINE."""
    return str(error) if isinstance(error, ConfigError | ConfigErrors) else f"aigate: {error}"


def makeService(options: Options) -> IService:
    """The gate, bound. What cannot be bound is one line, and twistd exits with 1 before it forks."""
    from twisted.internet import reactor

    from edge.start import bind

    command = "twistd aigate" if options.daemon else "twistd -n aigate"
    try:
        gate = bind(options.prepared, reactor, console=options.console(), command=command)
    except AigateError as error:
        sys.exit(told(error))
    service = Observed(options.observer)
    gate.setServiceParent(service)
    return service

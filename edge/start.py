"""From a command line to a gate that is bound: what `twistd aigate` and `aigate run` share."""

import os
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.application.service import MultiService, Service
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from edge import __version__, firststart
from edge.assemble import Gate, assemble
from edge.assemble.in_order import InOrder
from edge.config.load import load
from edge.config.read import Reading
from edge.errors import ConfigError, ConfigErrors, HomeError
from edge.home import Lock, find_data, open_data, refuse_strangers, shipped
from edge.registry import Registry
from edge.transport.settle import settle

log = Logger(namespace="aigate")

SETTLING = 0.5
"""Seconds from the start until memory is settled: who waits for the gate is served first."""


@frozen
class Prepared:
    """Everything that was judged before anything is bound."""

    reading: Reading
    registry: Registry
    data: Path
    lock: Lock
    found: firststart.FoundServices | None


def prepare(config: Path | None, data: Path | None, environ: Mapping[str, str] = os.environ) -> Prepared:
    """Reads and judges configuration, plugins and data folder, and takes the folder's lock. Raises AigateError."""
    # Whatever is written from here on is nobody else's to read, unless its mode is set to something wider.
    os.umask(0o077)
    # A crash must not leave keys and the pepper in a file either.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    reading = load(config, environ)
    folders = reading.config.plugin_dirs
    for folder in folders:
        refuse_strangers(folder, "a plugin folder")
    registry = Registry.load(shipped("plugins"), folders)
    folder = open_data(find_data(data, environ, reading.config.data_dir))
    lock = Lock.take(folder)
    found = None
    if reading.file is None and not reading.config.services:
        try:
            found = firststart.write_configuration(registry, environ)
        except OSError as error:
            raise HomeError(f"{error.filename}: the first configuration cannot be written: {error.strerror}") from error
        reading = load(found.file, environ)
    if not reading.config.services:
        raise ConfigErrors(
            (ConfigError("services", "there are no services; add one, such as [services.chat]", reading.file),)
        )
    return Prepared(reading, registry, folder, lock, found)


def bind(
    prepared: Prepared,
    reactor: Any,
    environ: Mapping[str, str] = os.environ,
    console: int | None = None,
    command: str = "aigate run",
) -> MultiService:
    """A gate whose ports are bound, which shows requests on the descriptor `console`. Raises AigateError.

    `command` is what the operator typed, for the advice in errors.
    """
    say(f"aigate {__version__}; configuration {prepared.reading.file}; data {prepared.data}")
    if prepared.found is not None:
        say(prepared.found.told)
    for warning in prepared.reading.warnings:
        log.warn("{warning}", warning=warning)
    header = firststart.make_first_key(prepared.data, environ, prepared.reading.config.log.audit_max)
    gate = assemble(reactor, prepared.reading, prepared.data, prepared.registry, environ, console, command)
    whole = InOrder()  # type: ignore[no-untyped-call]
    for one in (Holding(prepared.lock), gate.service, Greeting(reactor, prepared, gate, header, environ)):
        one.setServiceParent(whole)  # type: ignore[no-untyped-call]
    return whole


class Holding(Service):
    """Signs the lock as the process that serves, and lets it go when everything else has ended, the drain as well."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._lock.sign()

    def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        self._lock.release()
        say("ended")


class Greeting(Service):
    """Says where routes lead once everything listens, and settles memory."""

    def __init__(
        self, reactor: Any, prepared: Prepared, gate: Gate, header: Path | None, environ: Mapping[str, str]
    ) -> None:
        self._environ = environ
        self._reactor = reactor
        self._prepared = prepared
        self._gate = gate
        self._header = header
        self._settling: IDelayedCall | None = None

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(self._greet)

    def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        if self._settling is not None and self._settling.active():
            self._settling.cancel()

    def _greet(self) -> None:
        prepared = self._prepared
        services = prepared.reading.config.services
        routes = {route.service: route for route in self._gate.routes}
        for name, one in services.items():
            place = (routes[name].host or "") + routes[name].prefix.decode("ascii")
            at = f" at {' '.join(map(str, one.upstreams))}" if one.upstreams else ""
            say(f"{place or '/'} leads to {name} (plugin {one.plugin}{at})")
        if self._header is not None and self._gate.https:
            listed = {name: (one.plugin, routes[name].prefix.decode("ascii")) for name, one in services.items()}
            model = prepared.found.model if prepared.found is not None else ""
            line = firststart.curl_line(prepared.data, self._header, self._gate.https, listed, model)
            say(f"try it:\n\n  {line}\n")
            command = firststart.command(prepared.reading, prepared.data, self._environ)
            say(
                f"that key ends 24 hours after the first start; a lasting one: {command} keys create --user NAME --service '*'"
            )
        self._settling = self._reactor.callLater(SETTLING, settle)


def say(text: str) -> None:
    """A line for the operator."""
    log.info("{text}", text=text)

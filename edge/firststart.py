"""The first start: the services of this machine are found and written down, and a first key is made."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure

from edge.backends.client import upstream_client
from edge.backends.discovery import DEMO, Discovered, discover
from edge.config.starter import starter
from edge.config.timezone import system_timezone
from edge.errors import AigateError
from edge.files import make_folder, write_atomically
from edge.home import shipped, user_configuration
from edge.observe.keychanges import key_changes
from edge.registry import Registry
from edge.stores.keyring import Keyring
from edge.stores.sqlite import SqliteKeyRecord
from edge.tls.upstream import upstream_creator

HEADER = "first-key.header"
LIVES = "24h"


@frozen
class FoundServices:
    """What a first start found, and the file it was written to."""

    file: Path
    services: tuple[Discovered, ...]


def write_configuration(registry: Registry, environ: Mapping[str, str]) -> FoundServices:
    """Looks for services on this machine and writes a configuration with them. Raises OSError where it cannot be written."""
    services = look_around(registry)
    example = (shipped("conf") / "aigate.example.toml").read_text("utf-8")
    tables: dict[str, dict[str, object]] = {}
    for one in services:
        tables[one.name] = {"plugin": one.plugin, "route": one.route}
        if one.upstreams:
            tables[one.name]["upstreams"] = list(one.upstreams)
    file = user_configuration(environ)
    make_folder(file.parent, 0o755)
    text = starter(example, timezone=system_timezone(), services=tables)
    write_atomically(file, text.encode(), 0o600)
    return FoundServices(file, tuple(services))


def look_around(registry: Registry) -> list[Discovered]:
    """The services on this machine's usual ports, asked before the gate's own reactor runs; half a second at most."""
    # A reactor of its own for the moment: the one that serves can be run only once, and later.
    reactor = SelectReactor()
    client = upstream_client(reactor, False, upstream_creator)
    found: list[Discovered] = []

    async def ask() -> None:
        found.extend(await discover(client._agent, reactor, list(registry.kinds.items())))

    failures: list[Failure] = []
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(ask()).addErrback(failures.append).addBoth(_stop, reactor))
    reactor.run(installSignalHandlers=False)
    if failures:
        raise AigateError(f"cannot look for services on this machine: {failures[0].getErrorMessage()}")
    return found


def _stop(_: object, reactor: SelectReactor) -> None:
    reactor.stop()


def make_first_key(data: Path, environ: Mapping[str, str]) -> Path | None:
    """Makes the first key where there has never been one; the header file that holds it, None where there is none."""
    header = data / HEADER
    record = SqliteKeyRecord(data, environ, audit=key_changes(data))
    try:
        if record.exists and (record.count() or record.history(limit=1)):
            return header if header.exists() else None
        ring = Keyring(record, "gate", system_timezone())
        made = ring.create({"user": "first", "service": ("*",), "expires": LIVES}, "made by the first start")
        write_atomically(header, b"Authorization: Bearer " + made.secret.encode() + b"\n", 0o600)
    finally:
        record.close()
    return header


def curl_line(data: Path, header: Path, port: int, services: Mapping[str, tuple[str, str]]) -> str:
    """A `curl` line that works as pasted. `services` are name → (plugin, route)."""
    ca = shlex.quote(str(data / "ca" / "root.pem"))
    start = f"curl --cacert {ca} -H @{shlex.quote(str(header))}"
    base = f"https://localhost:{port}"
    for plugin, route in services.values():
        if plugin == DEMO and route.startswith("/") and "chat" in route:
            body = shlex.quote('{"model": "demo", "stream": true, "messages": [{"role": "user", "content": "Hello!"}]}')
            return f"{start} -N {base}{route}/v1/chat/completions -H 'Content-Type: application/json' -d {body}"
    for plugin, route in services.values():
        if plugin in ("ollama", "openai") and route.startswith("/"):
            return f"{start} {base}{route}/v1/models"
    return f"{start} {base}/status"

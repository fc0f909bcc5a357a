"""The first start: the services of this machine are found and written down, and a first key is made."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure
from twisted.web.iweb import IAgent

from edge.backends.client import upstream_client
from edge.backends.discovery import DEMO, Discovered, discover
from edge.backends.health import LONGEST, Reader
from edge.config.read import Reading
from edge.config.starter import starter
from edge.config.timezone import system_timezone
from edge.core.secrets import id_in
from edge.errors import AigateError, HomeError
from edge.files import make_folder, write_atomically
from edge.home import find_configuration, find_data, shipped, user_configuration
from edge.observe.keychanges import key_changes
from edge.registry import Registry
from edge.stores.database import MissingError
from edge.stores.keyring import Keyring
from edge.stores.sqlite import SqliteKeyRecord
from edge.tls.upstream import upstream_creator

HEADER: Final = "first-key.header"
LIVES: Final = "24h"
CHATS: Final = ("ollama", "openai")
"""Plugins whose services answer OpenAI-style questions at `/v1`."""
PATIENCE: Final = 1.0
"""Seconds that a service has to name its models."""


@frozen
class FoundServices:
    """What a first start found, the file it was written to, and a model that chats ("" where none is known)."""

    file: Path
    services: tuple[Discovered, ...]
    model: str = ""

    @property
    def told(self) -> str:
        """What was found, for the operator."""
        if all(one.plugin == DEMO for one in self.services):
            found = "found no AI service on this machine's usual ports: a built-in demo answers in its place"
            after = "; once one runs, delete that file and start again, or name it there"
        else:
            found = "found " + ", ".join(f"{one.plugin} at {' '.join(one.upstreams)}" for one in self.services)
            after = ""
        return f"{found}; written to {self.file}{after}"


def write_configuration(registry: Registry, environ: Mapping[str, str]) -> FoundServices:
    """Looks for services on this machine and writes a configuration with them. Raises OSError where it cannot be written."""
    services, model = look_around(registry)
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
    return FoundServices(file, tuple(services), model)


def look_around(registry: Registry) -> tuple[list[Discovered], str]:
    """The services on this machine's usual ports and a model that chats, asked before the gate's own reactor runs.

    Takes two seconds at most, half of one where there is nothing.
    """
    # A reactor of its own for the moment: the one that serves can be run only once, and later.
    reactor = SelectReactor()
    client = upstream_client(reactor, False, upstream_creator)
    found: list[Discovered] = []
    models: list[str] = []

    async def ask() -> None:
        found.extend(await discover(client._agent, reactor, list(registry.kinds.items())))
        chat = next((one for one in found if one.plugin in CHATS), None)
        if chat is not None:
            models.extend(await chat_models(client._agent, reactor, chat.upstreams[0]))

    failures: list[Failure] = []
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(ask()).addErrback(failures.append).addBoth(_stop, reactor))
    reactor.run(installSignalHandlers=False)
    if failures:
        raise AigateError(f"cannot look for services on this machine: {failures[0].getErrorMessage()}")
    return found, models[0] if models else ""


async def chat_models(agent: IAgent, clock: Any, base: str) -> Sequence[str]:
    """The names in a server's OpenAI-style list of models, without those that are told by name to embed; () on any failure."""

    async def ask() -> bytes:
        response = await agent.request(b"GET", base.rstrip("/").encode("ascii") + b"/v1/models", None, None)
        reader = Reader(LONGEST)
        response.deliverBody(reader)
        return await reader.done

    asking = Deferred.fromCoroutine(ask())
    asking.addTimeout(PATIENCE, clock)
    try:
        names = [str(one["id"]) for one in json.loads(await asking)["data"]]
    except Exception:
        # The line to try is then one that needs no model.
        return ()
    return [name for name in names if "embed" not in name.lower() and name.isprintable()]


def _stop(_: object, reactor: SelectReactor) -> None:
    reactor.stop()


def make_first_key(data: Path, environ: Mapping[str, str], audit_max: int) -> Path | None:
    """Makes the first key where there has never been one; the header file that holds it, None where it no longer opens anything."""
    header = data / HEADER
    record = SqliteKeyRecord(data, environ, audit=key_changes(data, audit_max))
    try:
        if record.exists and (record.count() or record.history(limit=1)):
            return header if _opens(record, header) else None
        ring = Keyring(record, "gate", system_timezone())
        made = ring.create({"user": "first", "service": ("*",), "expires": LIVES}, "made by the first start")
        write_atomically(header, b"Authorization: Bearer " + made.secret.encode() + b"\n", 0o600)
    except MissingError:
        # The keys of the export are served, and the watch over them says what is wrong.
        return None
    finally:
        record.close()
    return header


def _opens(record: SqliteKeyRecord, header: Path) -> bool:
    """Whether the key in the header file is still good."""
    try:
        words = header.read_bytes().split()
    except FileNotFoundError:
        return False
    found = record.get(id_in(words[-1] if words else b"") or "")
    return found is not None and not found.key.disabled and (found.key.expires or 0) > record.clock()


def curl_line(data: Path, header: Path, at: str, services: Mapping[str, tuple[str, str]], model: str = "") -> str:
    """A `curl` line that works as pasted, for the gate `at` HOST:PORT. `services` are name → (plugin, route); `model` is one that chats, if any is known."""
    ca = shlex.quote(str(data / "ca" / "root.pem"))
    start = f"curl --cacert {ca} -H @{shlex.quote(str(header))}"
    base = f"https://{at}"
    plain = {plugin: route for plugin, route in reversed(list(services.values())) if route.startswith("/")}
    for plugin in CHATS:
        if plugin in plain:
            url = f"{base}{plain[plugin]}/v1"
            return f"{start} {_chat(url, model)}" if model else f"{start} {url}/models"
    for name, (plugin, route) in services.items():
        if plugin == DEMO and name == "chat" and route.startswith("/"):
            return f"{start} {_chat(f'{base}{route}/v1', DEMO)}"
    return f"{start} {base}/status"


def command(reading: Reading, data: Path, environ: Mapping[str, str]) -> str:
    """How a person types `aigate` in a shell of their own, for this configuration and data folder."""
    beside = Path(sys.executable).with_name("aigate")
    typed = "aigate"
    if which("aigate", path=environ.get("PATH", "")) is None and beside.is_file():
        typed = shlex.quote(str(beside))
    # What the gate was told by its own environment or options, another shell does not know.
    theirs = {name: value for name, value in environ.items() if name == "HOME" or name.startswith("XDG_")}
    try:
        found = find_configuration(None, theirs).file
    except HomeError:
        found = None
    if reading.file is not None and found != reading.file:
        typed += f" --config {shlex.quote(str(reading.file))}"
    if find_data(None, theirs, reading.config.data_dir) != data:
        typed += f" --data {shlex.quote(str(data))}"
    return typed


def _chat(url: str, model: str) -> str:
    said = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello!"}]}
    return f"-N {url}/chat/completions -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(said))}"

"""One connection to a Redis or Valkey server that heals itself, and never keeps anybody waiting for long."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from attrs import define, field, frozen
from OpenSSL import crypto
from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates
from twisted.internet.task import deferLater
from twisted.logger import Logger

from edge.errors import StoreError

log = Logger(namespace="aigate.redis")

PENDING: Final = 4096
"""Commands that may wait for their answers at once; more means that the server does not keep up."""
DEFAULT_PORT: Final = 6379


class UnansweredError(StoreError):
    """A command was sent, and nobody knows whether the server has done it."""


@frozen
class Where:
    """Where a server is: `path` for a unix socket, else host and port."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    db: int = 0
    tls: bool = False
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def where(url: str) -> Where:
    """A Where from `redis://HOST:PORT/DB`, `rediss://…` (TLS) or `unix:///PATH?db=N`. Raises ValueError; a password in
    the URL is refused, since it would end in logs and backups of the configuration."""
    parts = urlsplit(url)
    if parts.password or parts.username:
        raise ValueError("a Redis URL holds no user name or password; name the file with the password in password_file")
    try:
        if parts.scheme == "unix":
            return Where(path=unquote(parts.path), db=int(parts.query.removeprefix("db=") or 0))
        if parts.scheme not in ("redis", "rediss"):
            raise ValueError(parts.scheme)
        db = int(parts.path.strip("/") or 0)
        return Where(parts.hostname or "127.0.0.1", parts.port or DEFAULT_PORT, db, parts.scheme == "rediss")
    except ValueError as error:
        raise ValueError(
            "write it like redis://127.0.0.1:6379/0, rediss://HOST:6380/0 or unix:///run/redis.sock"
        ) from error


def endpoint(reactor: Any, at: Where, ca_file: Path | None, timeout: float) -> IStreamClientEndpoint:
    """The endpoint of a server; with TLS its name is checked against `ca_file`, else against the system's roots.

    Raises OSError or ValueError where `ca_file` cannot be read.
    """
    if at.path:
        return UNIXClientEndpoint(reactor, at.path, timeout=timeout)
    plain = HostnameEndpoint(reactor, at.host.encode(), at.port, timeout=timeout)
    if not at.tls:
        return plain
    try:
        roots = trustRootFromCertificates([Certificate.loadPEM(ca_file.read_bytes())]) if ca_file else platformTrust()
    except crypto.Error:
        raise ValueError(f"{ca_file}: no certificate in PEM form can be read here") from None
    return wrapClientTLS(optionsForClientTLS(at.host, trustRoot=roots), plain)


def password(file: Path | None) -> str:
    """The password in a file, "" for no file. Raises StoreError where it cannot be read."""
    try:
        return file.read_text("utf-8").strip() if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{file}: the Redis password cannot be read") from error


class Speaking(Factory):
    """Makes txredisapi's protocol, imported only now since it imports the reactor; greeting the server is ours."""

    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock

    def buildProtocol(self, addr: object) -> Any:
        from txredisapi import RedisProtocol  # type: ignore[import-untyped]

        protocol = RedisProtocol(convertNumbers=False)
        protocol.factory = self
        protocol.callLater = self.clock.callLater
        return protocol


@define(eq=False, repr=False)
class RedisLink:
    """A connection kept to a server. `timeout` bounds every answer, in seconds; after one is missed, nobody waits again
    before the server has answered a greeting."""

    name: str
    _endpoint: IStreamClientEndpoint
    _clock: IReactorTime
    _timeout: float = 0.25
    _username: str = ""
    _password: str = ""
    _db: int = 0
    said: str = ""
    """What follows "cannot be reached" in the log: what the gate does meanwhile."""
    greeting: tuple[str, list[str]] = ("return redis.status_reply('1')", [])
    """The script, and its keys, that a server must run to count as there."""
    back: Callable[[], object] = lambda: None
    """Called whenever the server is there again."""
    down: bool = False
    _protocol: Any = None
    _pending: int = 0
    _keeping: "Deferred[None]" = field(factory=lambda: succeed(None))
    _first: "list[Deferred[None]]" = field(factory=list)
    """Those who wait for what becomes of the very first connection."""
    _stopped: bool = False

    @classmethod
    def to(
        cls,
        reactor: Any,
        url: str,
        username: str = "",
        password_file: Path | None = None,
        ca_file: Path | None = None,
        timeout: float = 0.25,
    ) -> "RedisLink":
        """A link as configured. Raises ValueError for a wrong URL, StoreError for a file that cannot be read or a library
        that is missing."""
        if find_spec("txredisapi") is None:
            raise StoreError("Redis needs txredisapi, which is not installed: pip install 'aigate[redis]'")
        at = where(url)
        return cls(
            str(at), endpoint(reactor, at, ca_file, timeout), reactor, timeout, username, password(password_file), at.db
        )

    def start(self) -> None:
        self._keeping = Deferred.fromCoroutine(self._keep())

    def stop(self) -> "Deferred[None]":
        self._stopped = self.down = True
        self._protocol = None
        # Whoever stops it may have been called by what is to be stopped.
        return deferLater(self._clock, 0).addCallback(lambda _: self._end())

    def status(self) -> dict[str, object]:
        """Which server it is, whether it answers (None before it was needed), and how many answers are awaited."""
        up = True if self._protocol is not None else False if self.down else None
        return {"server": self.name, "up": up, "pending": self._pending}

    async def run(self, script: str, keys: list[str], args: list[str]) -> str:
        """What a Lua script answers, in one round trip and as a status reply. Raises StoreError at once while the server
        is down, and UnansweredError after `timeout` when it does not answer."""
        if self._protocol is None and not self.down:
            await self._tried()
        protocol = self._protocol
        if protocol is None:
            raise StoreError(f"Redis at {self.name} cannot be reached")
        if self._pending >= PENDING:
            raise StoreError(f"Redis at {self.name} does not keep up")
        self._pending += 1
        try:
            return str(await self._soon(protocol.eval(script, keys, args)))
        except CancelledError:
            # Whoever asked has left; the answer still comes, and nobody waits for it.
            raise
        except Exception as error:
            # Whatever txredisapi raises, and whatever is wrong with the server, it has not counted.
            self._fail(protocol, error)
            raise UnansweredError(f"Redis at {self.name} did not answer") from error
        finally:
            self._pending -= 1

    def _soon(self, answer: "Deferred[Any]") -> "Deferred[Any]":
        return answer.addTimeout(self._timeout, self._clock)

    async def _keep(self) -> None:
        """Connect, greet and wait for the end, again and again; the pauses grow while nothing comes of it."""
        pause, failures = backoffPolicy(0.2, 5.0, 1.6), 0
        while not self._stopped:
            protocol: Any = None
            try:
                if failures:
                    await deferLater(self._clock, pause(failures))
                protocol = await self._endpoint.connect(Speaking(self._clock))
                gone = protocol.whenDisconnected()
                await self._greet(protocol)
                failures = 0
                await gone
                raise ConnectionError("the connection was lost")
            except Exception as error:
                # Whatever goes wrong, the next try may be better.
                self._fail(protocol, error)
            failures += 1

    def _end(self) -> "Deferred[None]":
        self._keeping.cancel()
        return self._keeping

    async def _tried(self) -> None:
        """Wait for the very first connection, no longer than for an answer."""
        tried: Deferred[None] = Deferred()
        self._first.append(tried)
        try:
            await self._soon(tried)
        except TimeoutError as error:
            self._fail(None, error)

    async def _greet(self, protocol: Any) -> None:
        if self._password:
            who = [self._username, self._password] if self._username else [self._password]
            await self._soon(protocol.execute_command("AUTH", *who))
        if self._db:
            await self._soon(protocol.execute_command("SELECT", self._db))
        script, keys = self.greeting
        await self._soon(protocol.eval(script, keys, []))
        self._protocol = protocol
        if self.down:
            log.info("Redis at {name} is back", name=self.name)
        self._know(down=False)
        self.back()

    def _know(self, down: bool) -> None:
        self.down = down
        tried, self._first = self._first, []
        for one in tried:
            one.callback(None)

    def _fail(self, protocol: Any, error: Exception) -> None:
        if not self.down:
            why = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            log.warn("Redis at {name} cannot be reached ({why}): {said}", name=self.name, why=why, said=self.said)
        if protocol is not None and protocol is self._protocol:
            self._protocol = None
        self._know(down=True)
        if protocol is not None and protocol.connected:
            protocol.transport.abortConnection()

"""What the types cannot say: whether the settings make sense, each and together."""

import re
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge.config.kinds import Address
from edge.config.routes import HOST, check_routes
from edge.config.schema import Config, ServiceConfig
from edge.config.structure import Problem, nearest
from edge.config.timezone import is_timezone
from edge.core.quantities import Limit

SERVICE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:(\d{1,5}|\*))?")
_REDIS_SOCKET: Final = re.compile(r"unix:///[^?#]+(\?db=[0-9]{1,5})?")
_NOT_BUILT: Final = "is not built yet"
# What sun_path holds on Linux, less the final NUL.
_UNIX_PATH: Final = 107


def check(config: Config) -> list[Problem]:
    """Everything in a well-typed configuration that cannot be, each with its place."""
    parts = (_listen, _tls, _services, _limits, _redis, _users, _cors, _edge, _records, _folders)
    return [problem for part in parts for problem in part(config)]


def warn(config: Config) -> list[Problem]:
    """What is allowed and most likely not meant."""
    found: list[Problem] = []
    for number, network in enumerate(config.proxies.trusted):
        if network.prefixlen == 0:
            found.append((("proxies", "trusted", number), "believes anybody's word about the client's address"))
    listen = config.listen
    every = listen.https + listen.http + listen.plain + listen.ops
    if config.proxies.proxy_protocol and not config.proxies.trusted and not all(map(is_loopback, every)):
        found.append(
            (
                ("proxies", "proxy_protocol"),
                "lets whoever reaches a port say what their address is; name the proxy in proxies.trusted, "
                "or listen on loopback addresses only",
            )
        )
    if "*" in config.cors.origins:
        found.append((("cors", "origins"), '"*" lets any web page use a key that it has been given'))
    return found


def is_loopback(address: Address) -> bool:
    """Whether only this machine can reach a listener there."""
    if address.path or address.host.lower() == "localhost":
        return True
    try:
        at = ip_address(address.host)
    except ValueError:
        return False
    return (getattr(at, "ipv4_mapped", None) or at).is_loopback


def _listen(config: Config) -> Iterator[Problem]:
    listen = config.listen
    named = {"https": listen.https, "http": listen.http, "plain": listen.plain, "ops": listen.ops}
    if not listen.https and not listen.plain:
        yield ("listen", "https"), "and plain are both off: nobody could reach the gate"
    for address in listen.plain:
        if not is_loopback(address) and not listen.plain_anywhere:
            yield (
                ("listen", "plain"),
                f"{address} is not on this machine alone, and keys would cross the network in the clear; "
                "use https, a loopback address, or set plain_anywhere = true",
            )
    every = [(name, address) for name, addresses in named.items() for address in addresses]
    for name, address in every:
        if len(address.path.encode()) > _UNIX_PATH:
            yield ("listen", name), f"{address}: the path of a unix socket has at most {_UNIX_PATH} bytes"
        if address.host and not _is_host(address.host):
            yield ("listen", name), f"{address.host!r} is not a host name or address"
    for (_, one), (name, other) in combinations(every, 2):
        if one.path or other.path:
            clash = one.path == other.path
        else:
            clash = one.port == other.port != 0 and (one.host == other.host or not one.host or not other.host)
        if clash:
            yield ("listen", name), f"{other} is taken by another listener of this gate"


def _is_host(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        # Names of containers may hold underscores, which names of hosts may not.
        return bool(HOST.fullmatch(text.lower().replace("_", "-").strip("-")))
    return True


def _tls(config: Config) -> Iterator[Problem]:
    if config.tls.certificate == "acme":
        yield ("tls", "certificate"), f'"acme" {_NOT_BUILT}; use "local", or "files" with certificates of your own'
    if config.tls.certificate == "files" and config.listen.https and not config.tls.certs_dir.is_dir():
        yield ("tls", "certs_dir"), f"{config.tls.certs_dir} is not a folder"
    for number, name in enumerate(config.tls.names):
        if not _is_host(name.removeprefix("*.")):
            yield ("tls", "names", number), f"{name!r} is not a host name or address"


def _services(config: Config) -> Iterator[Problem]:
    for name, service in config.services.items():
        place = ("services", name)
        if not SERVICE_NAME.fullmatch(name):
            yield (
                place,
                "is not a service's name: those begin with a letter a-z and hold a-z, 0-9, _ and - (64 at most)",
            )
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", service.plugin):
            yield (*place, "plugin"), "is not a plugin's name"
        if service.browser:
            yield (*place, "browser"), f"{_NOT_BUILT}; take it out or set it to false"
        yield from _upstreams(place, service)
        yield from _limit_list((*place, "limits"), service.limits)
        yield from _limit_list((*place, "shadow"), service.shadow)
        if service.health.path and not re.fullmatch(r"/[!-~]*", service.health.path):
            yield (*place, "health", "path"), 'begins with a slash, like "/health"'
    yield from check_routes({name: service.route for name, service in config.services.items() if service.route})


def _upstreams(place: tuple[str, str], service: ServiceConfig) -> Iterator[Problem]:
    for number, upstream in enumerate(service.upstreams):
        if not _is_host(upstream.host):
            yield (*place, "upstreams", number), f"{upstream.host!r} is not a host name or address"
        if upstream in service.upstreams[:number]:
            yield (*place, "upstreams", number), f"{upstream} is there twice"
    if service.ca_file is not None:
        yield from _ca_file((*place, "ca_file"), service.ca_file)
        if not any(upstream.scheme == "https" for upstream in service.upstreams):
            yield (*place, "ca_file"), "is for https upstreams, and this service has none"


def _file(place: tuple[str, ...], file: Path) -> Iterator[Problem]:
    try:
        file.open("rb").close()
    except OSError as error:
        yield place, f"{file}: {error.strerror}"


def _ca_file(place: tuple[str, ...], file: Path) -> Iterator[Problem]:
    # Imported here: few configurations name such a file, and every command reads one.
    from ssl import PROTOCOL_TLS_CLIENT, SSLContext, SSLError

    try:
        SSLContext(PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except SSLError:
        yield place, f"{file}: no certificate in PEM form can be read here"
    except OSError as error:
        yield place, f"{file}: {error.strerror}"


def _limit_list(place: tuple[str, ...], limits: tuple[Limit, ...]) -> Iterator[Problem]:
    for (unit, period), count in Counter((limit.unit, limit.period) for limit in limits).items():
        if count > 1:
            yield place, f"limits {unit}{f' per {period}' if period else ''} {count} times; the least would decide"


def _limits(config: Config) -> Iterator[Problem]:
    limits = config.limits
    if limits.requests is not None and limits.requests.unit != "requests":
        yield ("limits", "requests"), 'counts requests, like "600/minute"; other units go into the keys or users'
    for name in ("gate", "shadow_gate", "shadow_key"):
        yield from _limit_list(("limits", name), getattr(limits, name))
    if not is_timezone(limits.timezone):
        yield ("limits", "timezone"), f"{limits.timezone!r} is not a time zone; write it like Europe/Berlin"


def _redis(config: Config) -> Iterator[Problem]:
    redis = config.limits.redis
    place = ("limits", "redis")
    if redis.url.startswith("unix:"):
        if not _REDIS_SOCKET.fullmatch(redis.url):
            yield (*place, "url"), "is not a unix socket; write it like unix:///run/redis.sock?db=1"
    else:
        like = "redis://127.0.0.1:6379/0"
        wrong = [*_url((*place, "url"), redis.url, ("redis", "rediss"), like, "; use username and password_file")]
        if not wrong and not re.fullmatch(r"/?[0-9]{0,5}/?", urlsplit(redis.url).path):
            wrong = [((*place, "url"), f"names its database by a number; write it like {like}")]
        yield from wrong
    if redis.password_file is not None:
        yield from _file((*place, "password_file"), redis.password_file)
    if redis.ca_file is not None and redis.url.startswith("rediss:"):
        yield from _ca_file((*place, "ca_file"), redis.ca_file)
    elif redis.ca_file is not None:
        yield (*place, "ca_file"), "is for rediss:// only"


def _url(place: tuple[str, ...], text: str, schemes: tuple[str, ...], like: str, hint: str = "") -> Iterator[Problem]:
    # Judged first, and its text never repeated: what stands before an @ is a password.
    if "@" in text:
        yield place, f"holds no user or password{hint}"
        return
    try:
        parts = urlsplit(text)
        good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        yield place, f"is not an address; write it like {like}"


def _users(config: Config) -> Iterator[Problem]:
    for name, user in config.users.items():
        if not name or len(name) > 128 or not name.isprintable() or name != name.strip():
            yield ("users", name), "is not a user's name: printable text of at most 128 characters"
        yield from _limit_list(("users", name, "limits"), user.limits)
        yield from _limit_list(("users", name, "shadow"), user.shadow)


def _cors(config: Config) -> Iterator[Problem]:
    for number, origin in enumerate(config.cors.origins):
        match = _ORIGIN.fullmatch(origin)
        port = match[4] if match else None
        if origin != "*" and (not match or (port not in (None, "*") and not 0 < int(port) < 65536)):
            yield (
                ("cors", "origins", number),
                f'{origin!r} is not an origin; write it like "https://app.example.org" (no path, no final slash), '
                '"http://localhost:*" or "*"',
            )


def _edge(config: Config) -> Iterator[Problem]:
    edge = config.edge
    if edge.connections_per_address > edge.connections:
        yield ("edge", "connections_per_address"), f"is more than edge.connections, {edge.connections}"
    for name, least, most in (
        ("head", 1024, 2**20), ("answer_head", 1024, 2**20), ("buffer", 4096, 2**24),
        ("h2_window", 65_535, 2**24), ("h2_streams", 1, 1000),
    ):  # fmt: skip
        if not least <= getattr(edge, name) <= most:
            yield ("edge", name), f"lies between {least} and {most}"


def _records(config: Config) -> Iterator[Problem]:
    if config.trace.endpoint:
        yield from _url(
            ("trace", "endpoint"), config.trace.endpoint, ("http", "https"), "http://127.0.0.1:4318/v1/traces"
        )
    if not re.fullmatch(r"[A-Z]{3}", config.usage.currency):
        yield ("usage", "currency"), "has three capital letters, like EUR"
    # Without any service in the file, those that will be found at the first start are not known yet.
    for name in config.usage.prices:
        if name != "*" and config.services and name not in config.services:
            yield ("usage", "prices", name), f"is not a service{nearest(name, config.services)}"


def _folders(config: Config) -> Iterator[Problem]:
    for number, folder in enumerate(config.plugin_dirs):
        if not folder.is_dir():
            yield ("plugin_dirs", number), f"{folder} is not a folder"

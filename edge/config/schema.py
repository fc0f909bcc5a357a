"""Every setting with its type and its default, as a tree of frozen values; docs/configuration.md tells each in prose."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen

from edge.config.kinds import (
    Address,
    Amount,
    Count,
    CountOrNone,
    Duration,
    DurationOrOff,
    Share,
    Size,
    Upstream,
)
from edge.config.timezone import system_timezone
from edge.core.quantities import Limit

KIB = 2**10
MIB = 2**20
GIB = 2**30
MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0
PER_KEY = Limit(600, "requests", "minute")


@frozen(kw_only=True)
class ListenConfig:
    """`[listen]`: one tuple of addresses for each listener; an empty one turns it off."""

    https: tuple[Address, ...] = (Address(port=8443),)
    http: tuple[Address, ...] = ()
    plain: tuple[Address, ...] = ()
    plain_anywhere: bool = False
    ops: tuple[Address, ...] = (Address("127.0.0.1", 8444),)


@frozen(kw_only=True)
class TLSConfig:
    """`[tls]`."""

    certificate: Literal["local", "files", "acme"] = "local"
    names: tuple[str, ...] = ()
    certs_dir: Path = Path("certs")
    minimum: Literal["1.2", "1.3"] = "1.2"
    hsts: DurationOrOff = None


@frozen(kw_only=True)
class TimeoutsConfig:
    """`[services.NAME] timeouts`."""

    connect: Duration = 5.0
    first_byte: Duration = 10 * MINUTE
    idle: Duration = 5 * MINUTE
    total: DurationOrOff = None
    keepalive: Duration = 4.0


@frozen(kw_only=True)
class QueueConfig:
    """`[services.NAME] queue`."""

    length: CountOrNone = 100
    wait: Duration = 5 * MINUTE
    keepalive: Duration = 15.0
    json_space: bool = False


@frozen(kw_only=True)
class HealthConfig:
    """`[services.NAME] health`."""

    path: str = ""
    """"" asks the plugin's own question."""
    interval: Duration = 15.0
    timeout: Duration = 5.0


@frozen(kw_only=True)
class ServiceConfig:
    """`[services.NAME]`."""

    plugin: str
    route: str = ""
    """`/chat/api` or `comfy.example.org/`; "" for the plugin's own."""
    upstreams: tuple[Upstream, ...] = ()
    """None: the plugin's usual port on this machine, where it has one."""
    host: Literal["upstream", "keep"] = "upstream"
    ca_file: Path | None = None
    timeouts: TimeoutsConfig = TimeoutsConfig()
    connections: Count = 512
    concurrency: Count | None = None
    """None: the plugin's own."""
    queue: QueueConfig = QueueConfig()
    limits: tuple[Limit, ...] = ()
    shadow: tuple[Limit, ...] = ()
    inspect: Size = 8 * MIB
    identify: bool = False
    browser: bool = False
    health: HealthConfig = HealthConfig()
    options: dict[str, Any] = field(factory=dict)
    """As written; `structure_options` makes the plugin's own attrs value of it."""


@frozen(kw_only=True)
class RedisConfig:
    """`[limits.redis]`."""

    url: str = "redis://127.0.0.1:6379/0"
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    prefix: str = "aigate:"
    timeout: Duration = 0.5
    lease: Duration = 30.0
    on_failure: Literal["closed", "local"] = "closed"


@frozen(kw_only=True)
class LimitsConfig:
    """`[limits]`."""

    requests: Limit | None = PER_KEY
    gate: tuple[Limit, ...] = ()
    shadow_key: tuple[Limit, ...] = ()
    shadow_gate: tuple[Limit, ...] = ()
    shadow: bool = False
    body: Size = 2 * GIB
    timezone: str = field(factory=system_timezone)
    engine: Literal["memory", "redis"] = "memory"
    redis: RedisConfig = RedisConfig()


@frozen(kw_only=True)
class LockoutConfig:
    """`[lockout]`."""

    failures: Count = 20
    within: Duration = 10 * MINUTE
    longest: Duration = HOUR
    addresses: Count = 100_000


@frozen(kw_only=True)
class UserConfig:
    """`[users.NAME]`."""

    limits: tuple[Limit, ...] = ()
    shadow: tuple[Limit, ...] = ()


@frozen(kw_only=True)
class CorsConfig:
    """`[cors]`."""

    origins: tuple[str, ...] = ()
    max_age: Duration = 2 * HOUR


@frozen(kw_only=True)
class ProxiesConfig:
    """`[proxies]`."""

    trusted: tuple[IPv4Network | IPv6Network, ...] = ()
    header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    proxy_protocol: bool = False


@frozen(kw_only=True)
class DrainConfig:
    """`[drain]`."""

    timeout: Duration = 30.0


@frozen(kw_only=True)
class TransportConfig:
    """`[transport]`."""

    fast: bool = True


@frozen(kw_only=True)
class EdgeConfig:
    """`[edge]`: what a client's connection may cost."""

    connections: Count = 10_000
    connections_per_address: Count = 512
    handshake_timeout: Duration = 10.0
    head_timeout: Duration = 15.0
    head: Size = 32 * KIB
    header_count: Count = 100
    body_rate: Size = KIB
    body_grace: Duration = 30.0
    write_stall: Duration = MINUTE
    keepalive: Duration = 75.0
    keepalive_requests: Count = 100_000
    buffer: Size = 64 * KIB
    refused_body: Size = 64 * MIB
    tunnel_idle: Duration = DAY
    answer_head: Size = 64 * KIB
    answer_header_count: Count = 200
    informational: Count = 16
    http2: bool = True
    h2_streams: Count = 128
    h2_window: Size = 256 * KIB
    h2_resets: Count = 200
    h2_control_frames: Count = 1000


@frozen(kw_only=True)
class LogConfig:
    """`[log]`."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    access: Literal["json", "human", "common", "off"] = "json"
    access_file: Path | None = None
    """None: `log/access.jsonl` in the data folder."""
    console: Literal["human", "json", "off"] = "human"
    rotate_size: Size = 100 * MIB
    rotate_every: DurationOrOff = None
    rotate_keep: CountOrNone = 5
    audit_max: Size = GIB
    audit_on_full: Literal["continue", "refuse"] = "continue"


@frozen(kw_only=True)
class PriceConfig:
    """`[usage.prices.SERVICE]`: what one person's use costs, in `usage.currency`."""

    per_1000_prompt_tokens: Amount = 0.0
    per_1000_completion_tokens: Amount = 0.0
    per_1000_characters: Amount = 0.0
    per_audio_minute: Amount = 0.0
    per_image: Amount = 0.0
    per_step: Amount = 0.0
    per_hour: Amount = 0.0
    watts: Amount = 0.0
    idle_watts: Amount = 0.0


@frozen(kw_only=True)
class UsageConfig:
    """`[usage]`."""

    enabled: bool = True
    keep: Duration = 400 * DAY
    requests: CountOrNone = 100_000
    """How many are kept one by one, 0 for none."""
    requests_keep: Duration = 30 * DAY
    currency: str = "EUR"
    kwh: Amount = 0.0
    prices: dict[str, PriceConfig] = field(factory=dict)
    """By service name; `*` for those that are not named."""


@frozen(kw_only=True)
class TraceConfig:
    """`[trace]`."""

    endpoint: str = ""
    """OTLP over HTTP, `http://127.0.0.1:4318/v1/traces`; "" sends none."""
    sample: Share = 0.1
    service_name: str = "aigate"
    queue: Count = 2048


@frozen(kw_only=True)
class MetricsConfig:
    """`[metrics]`."""

    enabled: bool = True
    models: Count = 50


@frozen(kw_only=True)
class Config:
    """The whole configuration; its paths are absolute once read from a file."""

    data_dir: Path | None = None
    plugin_dirs: tuple[Path, ...] = ()
    listen: ListenConfig = ListenConfig()
    tls: TLSConfig = TLSConfig()
    services: dict[str, ServiceConfig] = field(factory=dict)
    limits: LimitsConfig = field(factory=LimitsConfig)
    lockout: LockoutConfig = LockoutConfig()
    users: dict[str, UserConfig] = field(factory=dict)
    cors: CorsConfig = CorsConfig()
    proxies: ProxiesConfig = ProxiesConfig()
    drain: DrainConfig = DrainConfig()
    transport: TransportConfig = TransportConfig()
    edge: EdgeConfig = EdgeConfig()
    log: LogConfig = LogConfig()
    usage: UsageConfig = UsageConfig()
    trace: TraceConfig = TraceConfig()
    metrics: MetricsConfig = MetricsConfig()

"""Limits and places, as configured."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred

from edge.config.schema import Config, RedisConfig
from edge.core.levels import Limits, Scope
from edge.errors import ConfigError, StoreError
from edge.interfaces import ILimitEngine
from edge.limits.limiter import Limiter
from edge.limits.service import LimitService
from edge.limits.slots import Slots
from edge.stores.budget_file import BudgetFile
from edge.stores.counters_memory import MemoryCounters

if TYPE_CHECKING:
    from edge.stores.redis_link import RedisLink

InThread = Callable[..., "Deferred[Any]"]


@frozen
class Limiting:
    """What counts, what gives places, and what must run for it."""

    limiter: Limiter
    slots: Slots
    services: tuple[Service, ...]
    redis: Callable[[], Mapping[str, object]] | None = None
    """How it stands with Redis, None where limits are counted in memory."""


def limits_of(config: Config) -> Limits:
    """The limits of a configuration, by what they stand before."""
    limits = config.limits
    return Limits(
        gate=Scope(limits=limits.gate, shadow=limits.shadow_gate),
        services={name: Scope(limits=one.limits, shadow=one.shadow) for name, one in config.services.items()},
        users={name: Scope(limits=one.limits, shadow=one.shadow) for name, one in config.users.items()},
        key=Scope(limits=() if limits.requests is None else (limits.requests,), shadow=limits.shadow_key),
        shadow=limits.shadow,
    )


def limiting(reactor: Any, config: Config, data: Path, in_thread: InThread, now: Callable[[], float]) -> Limiting:
    """Raises ConfigError where Redis is asked for and cannot be used."""
    zone = ZoneInfo(config.limits.timezone)
    redis = config.limits.redis
    engine: ILimitEngine
    if config.limits.engine == "redis":
        engine, link = _redis(reactor, redis, zone)
        slots = Slots(reactor, engine, lease=redis.lease)
        return Limiting(Limiter(limits_of(config), engine), slots, (LimitService(slots, link),), link.status)
    engine = MemoryCounters(zone)
    slots = Slots(reactor, engine)
    kept = BudgetFile(data / "limits.sqlite", engine, reactor, in_thread, now)
    return Limiting(Limiter(limits_of(config), engine), slots, (kept, LimitService(slots)))


def _redis(reactor: Any, redis: RedisConfig, zone: ZoneInfo) -> tuple[ILimitEngine, "RedisLink"]:
    # txredisapi imports the reactor, so that it may be named only once there is one.
    from edge.stores.counters_redis import RedisCounters
    from edge.stores.redis_link import RedisLink

    try:
        link = RedisLink.to(reactor, redis.url, redis.username, redis.password_file, redis.ca_file, redis.timeout)
    except (OSError, ValueError, StoreError) as error:
        raise ConfigError("limits.redis", str(error)) from None
    return RedisCounters(link, zone, redis.prefix, redis.on_failure, redis.lease), link

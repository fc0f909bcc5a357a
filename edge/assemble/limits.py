"""Limits and places, as configured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from edge.config.schema import Config, RedisConfig
from edge.core.levels import Limits, Scope
from edge.errors import ConfigError
from edge.interfaces import ILimitEngine
from edge.limits.limiter import Limiter
from edge.limits.slots import Slots
from edge.stores.budget_file import BudgetFile
from edge.stores.counters_memory import MemoryCounters

InThread = Callable[..., "Deferred[Any]"]


@frozen
class Limiting:
    """What counts, what gives places, and what must run for it."""

    limiter: Limiter
    slots: Slots
    services: tuple[Service, ...]


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
    engine: ILimitEngine
    if config.limits.engine == "redis":
        engine, running = _redis(reactor, config.limits.redis, zone)
    else:
        counters = MemoryCounters(zone)
        engine, running = counters, BudgetFile(data / "limits.sqlite", counters, reactor, in_thread, now)
    slots = Slots(reactor, engine, lease=config.limits.redis.lease)
    services: tuple[Service, ...] = (running, Renewing(slots, reactor)) if engine.shared else (running,)
    return Limiting(Limiter(limits_of(config), engine), slots, services)


def _redis(reactor: Any, redis: RedisConfig, zone: ZoneInfo) -> tuple[ILimitEngine, Service]:
    # txredisapi imports the reactor, so that it may be named only once there is one.
    from edge.stores.counters_redis import RedisCounters
    from edge.stores.redis_link import RedisLink, endpoint, where

    try:
        at = where(redis.url)
        password = redis.password_file.read_text().strip() if redis.password_file else ""
    except (OSError, ValueError) as error:
        raise ConfigError("limits.redis", str(error)) from None
    link = RedisLink(
        str(at), endpoint(reactor, at, redis.ca_file, redis.timeout), reactor, redis.timeout,
        redis.username, password, at.db,
    )  # fmt: skip
    return RedisCounters(link, zone, redis.prefix, redis.on_failure, redis.lease), Linked(link)


class Linked(Service):
    """Keeps the connection to Redis while the gate runs."""

    def __init__(self, link: Any) -> None:
        self._link = link

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._link.start()

    def stopService(self) -> "Deferred[None]":
        super().stopService()  # type: ignore[no-untyped-call]
        stopped: Deferred[None] = self._link.stop()
        return stopped


class Renewing(Service):
    """Renews the leases of requests under way, a few times within their life."""

    def __init__(self, slots: Slots, clock: Any) -> None:
        self._loop = LoopingCall(lambda: Deferred.fromCoroutine(slots.renew()))
        self._loop.clock = clock
        self._every = slots.lease / 3

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._loop.start(self._every, now=False)

    def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop.running:
            self._loop.stop()

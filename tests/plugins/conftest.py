"""The shipped plugins, loaded as the gate loads them."""

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from edge.backends.bench import Bench
from edge.registry import Registry

SHIPPED = Path(__file__).parents[2] / "plugins"


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load(SHIPPED, points=())


@pytest.fixture
def bench(registry, tmp_path) -> Bench:
    return Bench(name="thing", clock=Clock(), folder=tmp_path, kinds=registry.kinds)


@pytest.fixture
def configure(registry, bench):
    def make(kind, upstreams=(), options=None):
        plugin = registry.require(kind).plugin
        made = plugin.traits.options() if options is None and plugin.traits.options else options or {}
        settings = {"name": "thing", "upstreams": upstreams, "route": "", "options": made}
        return plugin.configure(settings, bench)

    return make

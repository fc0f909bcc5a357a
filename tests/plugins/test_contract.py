"""Every shipped plugin keeps the contract that plugin authors test theirs by."""

import pytest

from edge.home import shipped
from edge.registry import Registry
from edge.testing import ServicePluginContract

REGISTRY = Registry.load(shipped("plugins"), points=())


@pytest.mark.parametrize("kind", sorted(REGISTRY.plugins))
class TestShipped(ServicePluginContract):
    @pytest.fixture(autouse=True)
    def _of(self, kind):
        self.kind = kind

    def plugin(self):
        return REGISTRY.require(self.kind).plugin

"""Services as their plugins make them, judged once all of it is known."""

from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from zope.interface import implementer

from edge.assemble.services import configure, routes_of
from edge.backends.bench import Bench
from edge.backends.service import Service
from edge.config.schema import ServiceConfig
from edge.config.services import Settled
from edge.core.service import Traits
from edge.errors import ConfigErrors, PluginError
from edge.interfaces import IService, IServicePlugin
from edge.registry import Found, Registry
from edge.testing import bench


def services(**routes: str) -> dict[str, Service]:
    return {name: bench(name).proxy(["http://box"], Traits(kind="k", route=route)) for name, route in routes.items()}


def settled(**routes: str) -> dict[str, Settled]:
    return {name: Settled(route, {}) for name, route in routes.items()}


def said(made: dict[str, Service], known: dict[str, Settled]) -> str:
    with pytest.raises(ConfigErrors) as caught:
        routes_of(made, known)
    return str(caught.value)


def test_the_configurations_route_counts_before_the_plugins() -> None:
    made = routes_of(services(one="/chat/api", other="/chat/api"), settled(one="", other="own.example/x/"))
    assert [(route.service, route.host, route.prefix) for route in made] == [
        ("one", None, b"/chat/api"),
        ("other", "own.example", b"/x"),
    ]


def test_routes_that_only_the_plugins_name_may_not_clash() -> None:
    both = services(one="/chat/api", other="/chat/api")
    assert said(both, settled(one="", other="")) == "services.other.route: is the route of 'one' already"
    assert "services.other.route: overlaps" in said(both, settled(one="/chat", other=""))
    assert "services.other.route: overlaps" in said(both, settled(one="", other="/chat/api/more"))


@pytest.mark.parametrize("route", ["/health", "/v1/api", "/", "chat", "/a/../b", "/\u00fc"])
def test_a_route_that_only_a_plugin_names_is_judged_like_any_other(route: str) -> None:
    assert said(services(one=route), settled(one="")).startswith("services.one.route: ")


@implementer(IService)
class Own:
    name, upstreams, resource, fields, route = "own", ("http://box",), None, (), "/own/api"
    traits = Traits(kind="own")

    def with_header(self, name: str, value: str) -> Any:
        return self

    def with_rules(self, *rules: Any) -> Any:
        return self

    def with_traits(self, **changes: Any) -> Any:
        return self


@implementer(IServicePlugin)
@frozen
class Maker:
    name: str = "maker"
    api: int = 1

    def configure(self, settings: Any, bench: Any) -> Any:
        return Own()


def test_a_service_that_no_bench_made_is_told_with_the_plugins_file(tmp_path: Path) -> None:
    registry = Registry({"maker": Found(Maker(), "maker.py")})
    given: Bench = bench("own")
    with pytest.raises(PluginError, match=r"maker\.py: configure\(\) made a Own"):
        configure(registry, settled(own=""), "own", ServiceConfig(plugin="maker"), given)

import pytest
from twisted.web.resource import Resource
from twisted.web.static import Data

from edge.core.refusal import Refusal
from edge.core.service import Traits
from tests.web.house import CHAT, House


def behind_of(house, method="GET", target="/chat/api/v1/other", **known):
    house.ask(method, target, **known)
    return [sent.path for sent in house.behind.sent]


@pytest.mark.parametrize(
    "target",
    ["/", "/v1/models", "/chat", "/chat/apix", "/Chat/api/v1", "//chat/api/v1", "/%63hat/api/v1", "/login", "/metrics",
     "/healthz", "/health/", "/status/x", "/docs", "/.well-known/x", "/admin", "/chat/api;x/v1"],
)  # fmt: skip
@pytest.mark.parametrize("key", [True, None])
def test_anything_else_is_404_whatever_the_key(target, key):
    house = House()
    talk = house.ask(target=target, key=key)
    assert (talk.status, talk.reason) == (404, "no-route")
    assert talk.field("x-request-id") == house.outcome.exchange.arrival.id
    assert not house.behind.sent and not house.attempts.attempts


@pytest.mark.parametrize(
    "target", ["/chat/api/../x", "/chat/api/%2e%2e/x", "/chat/api/a%00", "/chat/api/%2525252525252e"]
)
def test_a_path_that_leads_elsewhere_is_refused_before_any_key(target):
    house = House()
    talk = house.ask(target=target, key=None)
    assert (talk.status, talk.reason) == (400, "bad-request")
    assert not house.attempts.attempts


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("GET", "/ticket", "POST"),
        ("PUT", "/ticket", "POST"),
        ("OPTIONS", "/ticket", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("DELETE", "/status", "GET, HEAD"),
        ("PROPFIND", "/chat/api/x", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
    ],
)
def test_a_method_that_a_place_does_not_have_is_405_with_those_that_it_has(method, target, allow):
    house = House()
    talk = house.ask(method, target, key=None)
    assert (talk.status, talk.reason, talk.field("allow")) == (405, "method-not-allowed", allow)
    assert talk.field("x-request-id")


def test_the_longest_prefix_wins_and_it_ends_at_a_segment():
    deeper = Data(b"", "text/plain")
    house = House(more=[("deeper", "/chat/api/deeper", Traits(kind="d"), deeper)])
    assert house.router.find(arrived(house, "/chat/api/deeperx")) is house.guards["chat"]
    assert house.router.find(arrived(house, "/chat/api/deeper")) is house.guards["deeper"]
    assert house.router.find(arrived(house, "/chat/api/deeper/x")) is house.guards["deeper"]


def arrived(house, target, method="GET", host="gate.test"):
    """A request as the router gets it."""
    seen = []
    find = house.router.find
    house.site.router = type("Keeps", (), {"find": lambda self, request: seen.append(request) or find(request)})()
    house.ask(method, target, host=host)
    house.site.router = house.router
    return seen[0]


def test_a_host_of_its_own_leads_to_its_service_from_the_root():
    house = House(more=[("comfy", "comfy.example.org/", CHAT, None)])
    house.guards["comfy"].resource, house.guards["comfy"]._streamed = house.resource, True
    house.ask(target="/status", host="comfy.example.org")
    house.ask(target="/", host="COMFY.example.org:8443")
    house.ask(target="/chat/api/v1/x", host="comfy.example.org")
    assert [sent.path for sent in house.behind.sent] == [b"/status", b"/", b"/chat/api/v1/x"]
    assert [outcome.exchange.route.service for outcome in house.outcomes] == []
    assert house.behind.last.field(b"x-forwarded-prefix") is None
    assert house.ask(target="/", host="other.example.org").status == 404
    assert house.ask(target="/health").status == 200


def test_a_page_with_a_host_to_itself_fetches_its_tickets_there():
    house = House(more=[("comfy", "comfy.example.org/", CHAT, None)])
    talk = house.ask("POST", "/ticket", host="comfy.example.org", body=b'{"service":"comfy"}')
    assert talk.status == 201
    assert house.ask("GET", "/ticket", host="comfy.example.org").status == 405


def test_what_is_remembered_of_paths_is_bounded():
    house = House()
    for number in range(1500):
        house.ask(target=f"/chat/api/{number}", key=None)
        house.ask(target=f"/chat/api/{number}" + "x" * 300, key=None)
    info = house.router._remembered.cache_info()
    assert info.currsize <= 1024 and info.misses == 1500


def test_it_is_a_resource_whose_children_are_the_guards():
    house = House()
    request = arrived(house, "/chat/api/x")
    assert house.router.getChildWithDefault(b"chat", request) is house.guards["chat"]
    refused = house.router.getChildWithDefault(b"none", arrived(house, "/none"))
    assert refused.getChildWithDefault(b"deeper", None) is refused and isinstance(refused.refusal, Refusal)
    for each in (refused, house.router, house.guards["chat"], house.resource, house.router.own[b"/health"].resource):
        with pytest.raises(TypeError):
            each.putChild(b"x", Resource())
    for each in (house.guards["chat"], house.resource, house.router.own[b"/health"].resource):
        assert each.getChildWithDefault(b"x", None) is each and each.isLeaf


@pytest.mark.parametrize("target", ["/none", "/chat/api/x"])
def test_rendered_as_a_resource_it_answers_as_the_site_does(target):
    house = House()
    house.site.router = type("Walks", (), {"find": lambda self, request: house.router})()
    talk = house.ask(target=target, key=None)
    assert talk.status == (404 if target == "/none" else 401)


def test_a_refusing_leaf_renders_its_refusal():
    house = House()
    house.site.router = type("Walks", (), {"find": lambda self, r: house.router.getChildWithDefault(b"", r)})()
    assert house.ask(target="/none").reason == "no-route"

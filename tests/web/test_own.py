import json

import pytest

from edge.core.levels import Limits, Scope
from edge.core.quantities import Limit
from edge.errors import StoreError
from tests.web.house import NOW, House


@pytest.mark.parametrize(("state", "status"), [("ok", 200), ("degraded", 200), ("draining", 503)])
def test_health_tells_anyone_one_word_and_nothing_else(state, status):
    house = House()
    house.state = state
    talk = house.ask(target="/health", key=None)
    assert (talk.status, json.loads(talk.body)) == (status, {"status": state})
    assert talk.field("cache-control") == "no-store" and talk.field("x-request-id")


@pytest.mark.parametrize("target", ["/health", "/status"])
def test_head_of_an_own_page_is_its_head(target):
    talk = House().ask("HEAD", target)
    assert talk.status == 200 and int(talk.field("content-length")) > 10
    assert talk.read().endswith(b"\r\n\r\n")


def test_status_tells_who_the_key_is_and_what_its_limits_leave():
    limits = Limits(key=Scope(limits=(Limit(10, "requests", "minute"),)))
    house = House(limits=limits)
    bobs = house.add("00000b0b", "bob", ("chat",), expires=NOW + 86400 * 30)
    house.add("00000ccc", "carol", ("other",))
    house.ask(key=bobs)
    told = json.loads(house.ask(target="/status", key=bobs).body)
    assert (told["user"], told["key"], told["services"]) == ("bob", "00000b0b", {"chat": "healthy"})
    assert told["expires"] == "2023-12-14T22:13:20+00:00" and told["scopes"] == [] and told["waiting"] == []
    assert [(one["limit"], one["remaining"]) for one in told["limits"]["chat"]] == [("10/minute", 9)]


def test_status_is_told_without_limits_where_they_cannot_be_counted(monkeypatch):
    house = House()

    async def standings(*_):
        raise StoreError("away")

    monkeypatch.setattr(type(house.limiter), "standings", standings)
    talk = house.ask(target="/status")
    assert talk.status == 200 and json.loads(talk.body)["limits"] == {}


def test_status_shows_where_ones_own_requests_wait():
    house = House(size=1)
    other = house.add("00000b0b", "bob", ("chat",))
    for _ in range(2):
        house.ask("POST", "/chat/api/v1/chat/completions", body=b"{}")
    told = json.loads(house.ask(target="/status").body)
    assert [(one["service"], one["position"]) for one in told["waiting"]] == [("chat", 1)]
    assert json.loads(house.ask(target="/status", key=other).body)["waiting"] == []


@pytest.mark.parametrize("target", ["/status", "/ticket"])
def test_own_pages_take_any_valid_key_and_no_other(target):
    house = House()
    method, body = ("POST", b'{"service":"chat"}') if target == "/ticket" else ("GET", None)
    narrow = house.add("00000b0b", "bob", ("chat",), methods=frozenset({"PUT"}), paths=("/v1/*",))
    assert house.ask(method, target, key=narrow, body=body).status in (200, 201)
    assert (talk := house.ask(method, target, key=None, body=body)).status == 401
    assert talk.field("www-authenticate") == 'Bearer realm="aigate"' and talk.reason == "no-key"
    assert house.ask(method, target, key="hunter2", body=body).reason == "unknown-key"


def test_a_ticket_is_issued_for_a_service_of_the_key():
    house = House()
    talk = house.ask("POST", "/ticket", body=b'{"service": "chat"}')
    told = json.loads(talk.body)
    assert talk.status == 201 and told["service"] == "chat" and told["expires_in"] == 60
    assert talk.field("cache-control") == "no-store"
    assert house.tickets.redeem(told["ticket"], "chat") == "0badcafe"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"service":"none"}', "service-not-allowed"),
        (b'{"service":"other"}', "service-not-allowed"),
        (b'{"service":["chat"]}', "service-not-allowed"),
        (b"[]", "bad-request"),
        (b"{}", "bad-request"),
        (b"not json", "bad-request"),
        (b"\xff", "bad-request"),
        (b"[" * 4000, "bad-request"),
        (b"", "bad-request"),
        (b" " * 5000, "body-too-large"),
    ],
)
def test_a_ticket_is_refused_for_anything_else(body, reason):
    house = House()
    house.serve("other", "/other/api", house.guards["chat"].traits, house.resource)
    chats = house.add("00000b0b", "bob", ("chat",))
    talk = house.ask("POST", "/ticket", body=body, key=chats)
    assert talk.reason == reason and talk.field("x-should-retry") == "false" and len(house.tickets) == 0


def test_a_client_that_leaves_while_it_asks_for_a_ticket_gets_none():
    house = House()
    talk = house.connect().send(
        f"POST /ticket HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\nX-API-Key: {house.secret}\r\n\r\n{{".encode()
    )
    talk.leave()
    assert len(house.tickets) == 0 and house.outcome.status == 499 and house.outcome.ended == "client-gone"


def test_a_page_that_fails_is_a_503_and_not_a_silence(monkeypatch):
    house = House()
    monkeypatch.setattr(house.router.own[b"/health"].resource.page, "answer", lambda request: 1 / 0)
    talk = house.ask(target="/health")
    assert (talk.status, talk.reason, talk.field("retry-after")) == (503, "store-unavailable", "5")
    assert house.outcome.status == 503


@pytest.mark.parametrize("target", ["/health", "/status", "/ticket", "/chat/api/v1/chat/completions"])
def test_preflights_are_answered_everywhere_before_any_key(target):
    house = House()
    talk = house.ask(
        "OPTIONS", target, ("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization, x-odd"), ("Access-Control-Request-Private-Network", "true"),
        key=None,
    )  # fmt: skip
    assert talk.status == 204 and talk.field("x-request-id")
    assert talk.field("access-control-allow-origin") == "https://app.example"
    assert talk.field("access-control-allow-headers") == "authorization, x-odd"
    assert "POST" in talk.field("access-control-allow-methods") and talk.field("access-control-max-age") == "600"
    assert talk.field("access-control-allow-private-network") == "true"
    assert not house.behind.sent and not house.attempts.attempts and house.outcome.status == 204


@pytest.mark.parametrize("target", ["/health", "/status", "/ticket", "/chat/api/v1/x"])
def test_preflights_of_foreign_pages_are_refused_everywhere(target):
    talk = House().ask(
        "OPTIONS", target, ("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST"), key=None
    )
    assert talk.reason == "origin-not-allowed" and talk.field("access-control-allow-origin") is None


def test_health_may_be_read_by_an_allowed_page_and_by_no_other():
    house = House()
    talk = house.ask("GET", "/health", ("Origin", "https://app.example"), key=None)
    assert talk.status == 200 and talk.field("access-control-allow-origin") == "https://app.example"
    talk = house.ask("GET", "/health", ("Origin", "https://evil.example"), key=None)
    assert talk.status == 403 and talk.field("access-control-allow-origin") is None

import json

import pytest
from twisted.logger import globalLogPublisher
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface.verify import verifyObject

from edge.core.service import ANY_METHOD, Rule, Traits
from edge.interfaces import IStreamed
from edge.web.guard import MOST_ORIGINS, STOCK_BODY, Guard
from tests.web.house import BASE, NOW, House

APP = ("Origin", "https://app.example")
EVIL = ("Origin", "https://evil.example")


@pytest.fixture
def logged():
    """What is logged, as text."""
    lines = []

    def observe(event):
        from twisted.logger import formatEvent

        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


# Keys


@pytest.mark.parametrize(
    "fields",
    [
        [("Authorization", "Bearer {key}")],
        [("authorization", "bearer   {key}")],
        [("X-API-Key", "{key}")],
        [("api-key", "{key}")],
        [("Authorization", "Bearer sk-placeholder"), ("X-API-Key", "{key}")],
        [("Authorization", "Bearer aig_00000000_00000000000000000000000000000000_00000000"), ("api-key", "{key}")],
        [("Authorization", "Basic dXNlcjpwYXNz"), ("X-API-Key", "{key}"), ("api-key", "{key}")],
        [("Authorization", "Bearer ollama"), ("X-API-Key", "none"), ("api-key", "{key}")],
    ],
)
def test_a_key_is_found_wherever_clients_put_it_and_goes_no_further(fields):
    house = House()
    fields = [(name, value.format(key=house.secret)) for name, value in fields]
    house.ask("GET", "/chat/api/v1/x", *fields, ("xi-api-key", "k"), ("x-goog-api-key", "g"), key=None)
    assert house.outcomes == [] and house.behind.sent, "it was let in"
    carried = " ".join(f"{name.decode()}: {value.decode()}" for name, value in house.behind.last.pairs).lower()
    for word in ("authorization", "api-key", "goog", "placeholder", "basic", house.secret):
        assert word not in carried


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ([], 401, "no-key"),
        ([("Authorization", "Basic dXNlcjpwYXNz")], 401, "no-key"),
        ([("Authorization", "Bearer sk-unknown")], 401, "unknown-key"),
        ([("Authorization", "Bearer {key}"), ("X-API-Key", "{other}")], 400, "two-keys"),
        ([("X-API-Key", "{key}"), ("X-API-Key", "{other}")], 400, "two-keys"),
        ([("X-API-Key", "a"), ("X-API-Key", "b"), ("api-key", "c"), ("api-key", "{key}")], None, "two-keys"),
    ],
)
def test_what_is_not_one_key_is_refused(fields, status, reason):
    house = House()
    other = house.add("00000b0b")
    fields = [(name, value.format(key=house.secret, other=other)) for name, value in fields]
    talk = house.ask("GET", "/chat/api/v1/x", *fields, key=None)
    assert talk.status == (status or talk.status) and talk.status in (400, 401)
    assert status is None or talk.reason == reason
    assert not house.behind.sent


def test_a_key_in_the_query_is_no_key():
    house = House()
    talk = house.ask("GET", f"/chat/api/v1/x?api_key={house.secret}&key={house.secret}", key=None)
    assert (talk.status, talk.reason) == (401, "no-key")


def test_a_key_does_not_reach_other_services_or_managed_paths():
    house = House()
    others = house.add("00000b0b", services=("other",))
    manager = house.add("00000c0c", scopes=frozenset({"manage"}))
    assert house.ask(key=others).reason == "service-not-allowed"
    assert house.ask(target="/chat/api/admin/x").reason == "needs-scope"
    assert house.ask(target="/chat/api/x/%2e./admin").reason == "bad-request"
    assert house.ask(target="/chat/api//admin//x").reason == "needs-scope"
    assert house.ask(target="/chat/api/never", key=manager).reason == "path-not-allowed"
    assert not house.behind.sent
    house.ask(target="/chat/api/admin/x", key=manager)
    assert house.behind.last.path == b"/admin/x"


# Answers of the gate itself


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/chat/completions", lambda told: told["error"]["code"] == "invalid_api_key"),
        ("/v1/messages", lambda told: told["error"]["type"] == "authentication_error" and told["request_id"]),
        ("/api/chat", lambda told: isinstance(told["error"], str)),
    ],
)
def test_a_refusal_is_worded_for_the_clients_of_its_path(path, shape):
    house = House()
    talk = house.ask("POST", "/chat/api" + path, body=b"{}", key=None)
    assert shape(json.loads(talk.body)) and talk.status == 401
    assert talk.field("www-authenticate") == 'Bearer realm="aigate"'
    assert (talk.field("request-id") is not None) == (path == "/v1/messages")
    assert talk.field("x-request-id") == house.outcome.exchange.arrival.id


def test_foreign_pages_hear_so_in_the_dialect_of_the_path():
    talk = House().ask("POST", "/chat/api/api/chat", EVIL, body=b"{}", key=None)
    assert talk.reason == "origin-not-allowed" and isinstance(json.loads(talk.body)["error"], str)


def test_a_path_that_is_none_once_it_is_mapped_is_refused_in_the_services_dialect():
    house = House(
        more=[("odd", "/odd/api", Traits(kind="odd", dialect="ollama", map=lambda rest: b"/.." + rest), Stock())]
    )
    talk = house.ask(target="/odd/api/x")
    assert talk.reason == "bad-request" and isinstance(json.loads(talk.body)["error"], str)


def test_whatever_goes_wrong_while_judging_refuses(logged):
    house = House()
    house.guards["chat"].traits = Traits(kind="broken", map=lambda rest: 1 / 0)
    talk = house.ask()
    assert (talk.status, talk.reason, talk.field("retry-after")) == (503, "store-unavailable", "5")
    assert not house.behind.sent and any("could not be judged" in line for line in logged)


def test_a_turn_that_breaks_refuses_and_gives_everything_back(logged):
    house = House(size=1)

    async def breaks(request):
        raise RuntimeError("secret words")

    house.guards["chat"].turns += (breaks,)
    talk = house.ask("POST", "/chat/api/v1/chat/completions", body=b"{}")
    assert talk.reason == "store-unavailable" and b"secret words" not in talk.read()
    assert house.at_rest() and house.outcome.status == 503


# The final slash


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_route_without_its_final_slash_is_a_308_to_it(method):
    house = House()
    talk = house.ask(method, "/chat/api?a=1&b=%20", APP)
    assert (talk.status, talk.field("location")) == (308, "/chat/api/?a=1&b=%20")
    assert talk.field("x-request-id") and talk.field("access-control-allow-origin") == "https://app.example"
    assert not house.behind.sent and house.at_rest()


def test_the_308_is_for_keys_only_and_counts_against_no_limit():
    house = House(size=1)
    assert house.ask(target="/chat/api", key=None).status == 401
    assert house.ask(target="/chat/api", key=house.add("00000b0b", services=("other",))).status == 403
    house.ask("POST", "/chat/api/v1/chat/completions", body=b"{}")
    assert house.ask(target="/chat/api").status == 308


def test_other_methods_go_on_without_the_slash():
    house = House()
    house.ask("POST", "/chat/api", body=b"")
    assert house.behind.last.path == b"/"


# Cross-origin access


def test_refusals_can_be_read_by_allowed_pages_and_by_no_other():
    house = House()
    for target, key in (("/chat/api/v1/x", None), ("/none", None), ("/status", None), ("/chat/api/../x", None)):
        talk = house.ask("GET", target, APP, key=key)
        assert talk.field("access-control-allow-origin") == "https://app.example", target
        assert "x-aigate-reason" in talk.field("access-control-expose-headers") and talk.field("vary") == "Origin"
        talk = house.ask("GET", target, EVIL, key=key)
        assert talk.field("access-control-allow-origin") is None, target


def test_answers_of_the_service_carry_the_gates_word_once():
    house = House()
    talk = house.ask("GET", "/chat/api/v1/x", APP)
    house.behind.last.answer(
        fields=[
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Credentials", "true"),
            ("access-control-expose-headers", "x-own"),
            ("Vary", "Accept-Encoding"),
        ]
    )
    assert talk.field("access-control-allow-origin") == "https://app.example"
    assert talk.field("access-control-allow-credentials") is None
    exposed = talk.field("access-control-expose-headers").split(", ")
    assert {"x-request-id", "retry-after", "x-aigate-reason", "x-ratelimit-remaining-requests"} <= set(exposed)
    assert talk.fields("vary") == ["Accept-Encoding", "Origin"]


def test_without_an_origin_the_services_own_word_stays():
    house = House()
    talk = house.ask()
    house.behind.last.answer(fields=[("Access-Control-Allow-Origin", "*")])
    assert talk.fields("access-control-allow-origin") == ["*"]


def test_a_judged_origin_reaches_the_service_as_its_own():
    house = House()
    house.ask("GET", "/chat/api/v1/x", APP)
    assert house.behind.last.field(b"origin") == BASE.encode()
    house.ask("GET", "/chat/api/v1/x", ("Origin", "https://gate.test"))
    assert house.behind.last.field(b"origin") == BASE.encode()
    kept = House(forward={"keep_host": True})
    kept.ask("GET", "/chat/api/v1/x", APP)
    assert kept.behind.last.field(b"origin") == b"https://app.example"
    assert kept.behind.last.field(b"host") == b"gate.test"


def test_a_refused_origin_is_said_once_with_the_line_to_add(logged):
    house = House()
    for _ in range(3):
        assert house.ask("GET", "/chat/api/v1/x", EVIL).reason == "origin-not-allowed"
    said = [line for line in logged if "evil.example" in line]
    assert len(said) == 1 and '[cors] origins = ["https://evil.example"]' in said[0]


@pytest.mark.parametrize("origin", ["null", 'https://a"]\\x1b[31m', "https://a b"])
def test_no_line_is_offered_for_what_is_no_origin(logged, origin):
    house = House()
    assert house.ask("GET", "/chat/api/v1/x", ("Origin", origin)).status in (400, 403)
    assert not any("[cors]" in line for line in logged)
    assert all("\x1b" not in line for line in logged)


def test_refused_origins_do_not_fill_the_memory_or_the_log(logged):
    house = House()
    for number in range(MOST_ORIGINS + 50):
        house.ask("GET", "/chat/api/v1/x", ("Origin", f"https://e{number}.example"))
    assert len(house.door.refused_origins) == MOST_ORIGINS
    assert len([line for line in logged if "was refused" in line]) == MOST_ORIGINS


# Bodies


def test_a_body_that_announces_too_much_costs_its_sender_its_head():
    house = House(body=10)
    talk = house.connect().send(
        f"POST /chat/api/x HTTP/1.1\r\nHost: h\r\nX-API-Key: {house.secret}\r\nExpect: 100-continue\r\n"
        "Content-Length: 11\r\n\r\n".encode()
    )
    assert (talk.status, talk.reason) == (413, "body-too-large") and b"100 Continue" not in talk.read()
    assert not house.behind.sent and house.at_rest()


def test_a_body_without_a_length_is_cut_where_it_becomes_too_large():
    house = House(body=10)
    talk = house.ask("POST", "/chat/api/x", ("Transfer-Encoding", "chunked"), body=b"8\r\n12345678\r\n")
    assert house.behind.last.taken == b"12345678"
    talk.send(b"3\r\n123\r\n")
    assert (talk.status, talk.reason) == (413, "body-too-large") and house.at_rest()


def test_continue_is_said_only_to_who_was_let_in():
    ask = "POST /chat/api/x HTTP/1.1\r\nHost: h\r\nX-API-Key: {}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    house = House()
    talk = house.connect().send(ask.format("nobody").encode())
    assert talk.status == 401
    talk = house.connect().send(ask.format(house.secret).encode())
    assert talk.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
    talk.send(b"ab")
    assert house.behind.last.taken == b"ab" and house.behind.last.field(b"expect") is None


# Any twisted.web resource


class Stock(Resource):
    isLeaf = True

    def render_GET(self, request):
        request.setHeader(b"x-request-id", b"its-own")
        request.setHeader(b"access-control-allow-origin", b"*")
        request.setHeader(b"vary", b"Cookie")
        headers = {
            name.decode().lower(): [v.decode() for v in values]
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        told = {"headers": headers, "prepath": [p.decode() for p in request.prepath],
                "postpath": [p.decode() for p in request.postpath], "args": {k.decode(): v[0].decode() for k, v in request.args.items()},
                "url": request.prePathURL().decode()}  # fmt: skip
        return json.dumps(told).encode()

    def render_POST(self, request):
        return json.dumps({k.decode(): v[0].decode() for k, v in request.args.items()}).encode()

    def render_PUT(self, request):
        self.gone = []
        request.notifyFinish().addBoth(self.gone.append)
        return NOT_DONE_YET

    def render_DELETE(self, request):
        raise RuntimeError("secret words")


PLAIN = Traits(kind="plain", rules=(Rule(ANY_METHOD, "*"),), concurrency=None)


def plain_house(resource=None, **known):
    return House(more=[("plain", "/plain/api", PLAIN, resource or Stock())], **known)


def test_a_stock_resource_is_answered_as_any_service_and_sees_no_key():
    house = plain_house()
    talk = house.ask(
        "GET", "/plain/api/a%2Fb/c?x=1", APP, ("X-Forwarded-For", "6.6.6.6"), ("X-User-Id", "root"), ("X-Kept", "1"),
        ("X-Aigate-User", "root"),
    )  # fmt: skip
    told = json.loads(talk.body)
    assert told["prepath"] == ["plain", "api"] and told["postpath"] == ["a%2Fb", "c"] and told["args"] == {"x": "1"}
    assert told["url"] == "https://gate.test/plain/api"
    assert house.secret not in talk.read().decode()
    assert not {"authorization", "x-user-id", "x-aigate-user"} & told["headers"].keys()
    assert told["headers"]["x-forwarded-for"] == ["192.0.2.7"] and told["headers"]["x-kept"] == ["1"]
    assert told["headers"]["x-forwarded-prefix"] == ["/plain/api"]
    assert talk.field("x-request-id") == house.outcome.exchange.arrival.id
    assert talk.field("access-control-allow-origin") == "https://app.example"
    assert talk.fields("vary") == ["Cookie", "Origin"]
    assert house.outcome.status == 200 and house.outcome.sent == len(talk.body)


def test_a_stock_resource_gets_a_form_that_came_in_pieces():
    house = plain_house()
    head = (
        f"POST /plain/api/form HTTP/1.1\r\nHost: h\r\nX-API-Key: {house.secret}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\n"
    )
    talk = house.connect().send(head.encode(), b"a=1", b"&b=2")
    assert json.loads(talk.body) == {"a": "1", "b": "2"}


@pytest.mark.parametrize("chunked", [True, False])
def test_a_stock_resource_gets_no_body_larger_than_its_bound(chunked):
    house = plain_house(body=10 * STOCK_BODY)
    if chunked:
        talk = house.ask("POST", "/plain/api/x", ("Transfer-Encoding", "chunked"))
        for _ in range(17):
            talk.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    else:
        talk = house.connect().send(
            f"POST /plain/api/x HTTP/1.1\r\nHost: h\r\nX-API-Key: {house.secret}\r\nContent-Length: 1048577\r\n\r\n".encode()
        )
    assert (talk.status, talk.reason) == (413, "body-too-large")


def test_the_largest_body_of_the_gate_holds_for_a_stock_resource_too():
    house = plain_house(body=10)
    talk = house.ask("POST", "/plain/api/x", ("Transfer-Encoding", "chunked"), body=b"b\r\n12345678901\r\n")
    assert (talk.status, talk.reason) == (413, "body-too-large") and house.at_rest()


def test_a_stock_resource_hears_that_its_client_left():
    house = plain_house()
    resource = house.guards["plain"].resource
    talk = house.ask("PUT", "/plain/api/x", body=b"")
    talk.leave()
    assert len(resource.gone) == 1 and house.outcome.ended == "client-gone" and house.at_rest()


def test_a_client_that_leaves_within_a_form_is_no_request_of_the_resource():
    house = plain_house()
    talk = house.connect().send(
        f"POST /plain/api/x HTTP/1.1\r\nHost: h\r\nX-API-Key: {house.secret}\r\nContent-Length: 9\r\n\r\na=".encode()
    )
    talk.leave()
    assert house.outcome.status == 499 and house.at_rest()


def test_a_stock_resource_that_fails_shows_no_traceback():
    house = plain_house()
    talk = house.ask("DELETE", "/plain/api/x")
    assert talk.status == 500 and b"secret words" not in talk.read() and talk.field("x-request-id")


def test_the_guard_is_transparent():
    house = House()
    assert verifyObject(IStreamed, house.resource)
    assert house.guards["chat"]._streamed and not plain_house().guards["plain"]._streamed


# Revoked keys


def test_a_revoked_key_loses_what_it_has_open_at_once():
    house = House()
    bobs = house.add("00000b0b", "bob")
    talk, waits = house.ask(key=bobs), house.ask(key=bobs)
    answer = house.behind.sent[0].answer(streams=True)
    answer.feed(b"part")
    house.store.remove("00000b0b")
    assert talk.closed and not talk.whole and answer.line.aborted
    assert waits.closed and house.behind.sent[1].cancelled and waits.read() == b""
    assert [(one.ended, one.status) for one in house.outcomes] == [("revoked", 200), ("revoked", 499)] or [
        (one.ended, one.status) for one in house.outcomes
    ] == [("revoked", 499), ("revoked", 200)]
    assert house.at_rest()


def test_an_expired_key_loses_what_it_has_open_within_a_second():
    house = House()
    bobs = house.add("00000b0b", "bob", expires=NOW + 5)
    talk = house.ask(key=bobs)
    assert house.opens.count("00000b0b") == 1
    house.now += 5
    house.pass_time(1)
    assert talk.closed and house.outcome.ended == "revoked"


def test_a_key_that_ends_soon_is_told_so_in_every_answer():
    house = House()
    soon = house.add("00000b0b", "bob", expires=NOW + 3600)
    talk = house.ask(key=soon)
    house.behind.last.answer()
    assert talk.field("x-aigate-key-expires")


def test_a_guard_without_traits_asks_its_own_rule():
    house = House()
    house.router.own[b"/status"].resource.rule = Rule(frozenset(), "*", scope="admin")
    assert house.ask(target="/status").reason == "needs-scope"
    assert isinstance(house.router.own[b"/status"].resource, Guard)

import json

import pytest
from twisted.logger import formatEvent, globalLogPublisher

from edge.core.levels import Limits, Scope
from edge.core.networks import network
from edge.core.quantities import Limit
from edge.wire.http2 import Http2
from edge.wire.limits import WireLimits
from tests.web.house import House
from tests.wire.h2_client import Talk


@pytest.fixture
def logged():
    lines = []

    def observe(event):
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def given_id(talk):
    return talk.field("x-request-id")


@pytest.mark.parametrize("sane", ["abcdefgh", "0b6c2f1e-8c1c-4d3e-9f00-aaaaaaaaaaaa", "a.b:c_d-e" * 3, "x" * 128])
def test_a_clients_own_id_is_taken_over(sane):
    house = House()
    for target in ("/chat/api/x", "/none", "/health", "/status", "/chat/api"):
        talk = house.ask("GET", target, ("X-Request-Id", sane), key=None)
        assert given_id(talk) == sane
    assert {outcome.exchange.arrival.id for outcome in house.outcomes} == {sane}


@pytest.mark.parametrize(
    "insane", ["", "short", "x" * 129, "a b c d e f g h", "<script>alert(1)", "a" * 20 + ";", "é" * 10]
)
def test_any_other_id_is_replaced(insane):
    house = House()
    talk = house.ask("GET", "/chat/api/x", ("X-Request-Id", insane), key=None)
    assert given_id(talk) not in (None, insane) and given_id(talk) == house.outcome.exchange.arrival.id


def test_ids_of_ours_differ():
    house = House()
    assert len({given_id(house.ask(target="/health")) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("head", "status", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad-request"),
        (b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad-request"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "bad-request"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 40_000, 431, "head-too-large"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "bad-request"),
    ],
)
def test_what_never_became_a_request_is_one_refusal_with_an_id_and_one_outcome(head, status, reason):
    house = House()
    talk = house.connect().send(head)
    assert (talk.status, talk.reason) == (status, reason) and json.loads(talk.body)["error"][
        "type"
    ] == "invalid_request_error"
    assert (house.outcome.status, house.outcome.reason, house.outcome.ended) == (status, reason, "refused")
    assert given_id(talk) == house.outcome.exchange.arrival.id and house.site.in_flight == 0


def test_a_head_that_comes_too_slowly_is_one_refusal():
    house = House()
    talk = house.connect().send(b"GET / HT")
    house.pass_time(20)
    assert talk.status == 408 and given_id(talk) and house.outcome.status == 408


def test_the_outcome_tells_what_was_asked_from_where_and_how_it_ended():
    house = House()
    house.clock.advance(5)
    talk = house.connect("2001:db8::1", secure=False, listener="plain").ask("POST", "/chat/api/x?a=1", body=b"abc")
    house.clock.advance(0.5)
    house.behind.last.answer(201, body=b"four")
    told, arrival = house.outcome, house.outcome.exchange.arrival
    assert (told.status, told.ended, told.reason, told.sent, told.received) == (201, "complete", "", 4, 3)
    assert (told.seconds, told.first_byte, told.queued, told.overhead) == (0.5, 0.5, 0.0, 0.0)
    assert (arrival.peer, arrival.client, arrival.secure, arrival.listener) == ("2001:db8::1",) * 2 + (False, "plain")
    assert (arrival.method, arrival.target, arrival.path, arrival.query) == (
        "POST",
        b"/chat/api/x?a=1",
        b"/chat/api/x",
        b"a=1",
    )
    assert (told.exchange.caller.user, told.exchange.route.service) == ("alice", "chat") and talk.status == 201


def test_a_sink_that_fails_keeps_no_other_from_hearing(logged):
    house = House()
    house.site.sinks = (lambda outcome: 1 / 0, house.outcomes.append)
    assert house.ask(target="/health").status == 200
    assert house.outcome.status == 200 and any("could not be written down" in line for line in logged)


def test_an_ending_that_fails_keeps_no_other_from_giving_back(logged):
    def breaks(request):
        request.endings.append((lambda _: 1 / 0, None))

    house = House()
    house.guards["chat"].turns += (breaks,)
    talk = house.ask()
    house.behind.last.answer()
    assert talk.status == 200 and house.outcome.status == 200 and house.at_rest()
    assert any("could not be given back" in line for line in logged)


def test_what_cannot_be_called_off_is_logged_and_everything_is_given_back(logged):
    house = House(size=1)
    talk = house.ask("POST", "/chat/api/v1/chat/completions", body=b"{}")
    house.behind.last.deferred.cancel = lambda: 1 / 0
    talk.leave()
    assert house.outcome.ended == "client-gone" and house.at_rest()
    assert any("could not be called off" in line for line in logged)


def test_what_cannot_even_be_found_is_a_503(logged):
    house = House()
    house.site.router = type("Broken", (), {"find": lambda self, request: 1 / 0})()
    talk = house.ask()
    assert talk.reason == "store-unavailable" and house.outcome.status == 503


def test_what_breaks_before_it_has_a_book_is_cut(logged, monkeypatch):
    house = House()
    monkeypatch.setattr("edge.web.site.Ledger", lambda: 1 / 0)
    talk = house.ask()
    assert talk.closed and talk.read() == b"" and any("could not be judged" in line for line in logged)


def test_connections_that_the_gate_ends_are_drained_and_not_gone():
    house = House()
    talk = house.ask()
    house.cutting = True
    talk.leave()
    assert (house.outcome.ended, house.outcome.status) == ("drained", 499) and house.at_rest()


# True addresses


TRUSTED = (network("192.0.2.0/24"), network("10.0.0.0/8"))


def test_a_trusted_proxy_is_believed_about_its_client_alone():
    house = House(trusted=TRUSTED)
    house.ask("GET", "/chat/api/x", ("X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.1.1.1"))
    assert house.behind.last.field(b"x-forwarded-for") == b"203.0.113.9, 10.1.1.1, 192.0.2.7"
    house.behind.last.answer()
    assert house.outcome.exchange.arrival.client == "203.0.113.9" and house.outcome.exchange.arrival.peer == "192.0.2.7"


def test_a_stranger_is_not_believed():
    house = House(trusted=TRUSTED)
    house.connect("198.51.100.1").ask("GET", "/chat/api/x", ("X-Forwarded-For", "203.0.113.9"))
    assert house.behind.last.field(b"x-forwarded-for") == b"198.51.100.1"


@pytest.mark.parametrize(("peer", "said"), [("127.0.0.1", 1), ("192.168.1.5", 1), ("9.9.9.9", 0), ("unix", 0)])
def test_a_neighbour_that_is_not_believed_is_said_once_with_the_line_to_add(logged, peer, said):
    house = House()
    for _ in range(3):
        house.connect(peer).ask("GET", "/health", ("X-Forwarded-For", "203.0.113.9"))
    lines = [line for line in logged if "[proxies]" in line]
    assert len(lines) == said and all(f'trusted = ["{peer}"]' in line for line in lines)


def test_a_trusted_proxy_that_says_nothing_readable_is_not_told_to_be_missing(logged):
    house = House(trusted=TRUSTED)
    house.ask("GET", "/health", ("X-Forwarded-For", "203.0.113.9, unknown"))
    assert not any("[proxies]" in line for line in logged)
    house.connect("192.168.1.5").ask("GET", "/health", ("X-Forwarded-For", "203.0.113.9"))
    assert sum('trusted = ["192.168.1.5"]' in line for line in logged) == 1


# HTTP/2: the same rooms behind other frames


class H2(Talk):
    def __init__(self, house):
        self._house = house
        super().__init__()

    @property
    def hand(self):
        return self._house.site

    @hand.setter
    def hand(self, _):
        pass


def h2(house, fields, body=None, end=True):
    talk = H2(house)
    assert isinstance(talk.http2, Http2) and isinstance(talk.server.limits, WireLimits)
    return talk, talk.ask([*fields], body, end)


def with_key(house, *more, method="GET", path="/chat/api/x"):
    return [(":method", method), (":scheme", "https"), (":authority", "gate.test"), (":path", path),
            ("authorization", f"Bearer {house.secret}"), *more]  # fmt: skip


def test_a_request_over_http2_goes_the_same_way():
    house = House()
    talk, number = h2(house, with_key(house, method="POST"), b"abc")
    sent = house.behind.last
    assert sent.taken == b"abc" and sent.field(b"host") == b"127.0.0.1:11434"
    sent.answer(fields=[("X-Kept", "1")], body=b"hi")
    talk.pump()
    assert (talk.status(number), talk.body(number)) == (
        200,
        b"hi",
    ) and house.outcome.exchange.arrival.protocol == "HTTP/2.0"


def test_a_refusal_over_http2_leaves_the_other_streams_alone():
    house = House()
    talk, first = h2(house, with_key(house))
    second = talk.ask([field for field in with_key(house) if field[0] != "authorization"])
    assert talk.status(second) == 401
    house.behind.last.answer(body=b"hi")
    talk.pump()
    assert talk.body(first) == b"hi" and sorted(one.status for one in house.outcomes) == [200, 401]


@pytest.mark.parametrize(
    ("path", "status"), [("/chat/api/ws", None), ("/status", 403), ("/health", 403), ("/none", 404)]
)  # fmt: skip
def test_an_extended_connect_is_answered_by_200_only_where_it_is_a_switch(path, status):
    house = House()
    connect = [("sec-websocket-version", "13"), (":protocol", "websocket")]
    fields = with_key(house, method="CONNECT", path=path)
    fields.insert(1, connect.pop())
    talk, number = h2(house, [*fields, *connect], end=False)
    if status is not None:
        assert talk.status(number) == status
        return
    assert house.behind.last.protocol == b"websocket"
    house.behind.last.answer(200, body=b"a page")
    talk.pump()
    assert talk.status(number) == 502 and house.outcome.ended == "upstream-broken" and house.at_rest()


def test_an_extended_connect_that_cannot_be_counted_is_refused_where_tokens_are_limited():
    house = House(limits=Limits(key=Scope(limits=(Limit(10, "tokens", "day"),))))
    fields = with_key(house, ("sec-websocket-version", "13"), method="CONNECT", path="/chat/api/v1/realtime?model=m")
    fields.insert(1, (":protocol", "websocket"))
    talk, number = h2(house, fields, end=False)
    assert talk.status(number) == 403 and not house.behind.sent and house.at_rest()


def test_an_extended_connect_to_what_does_not_switch_is_refused_before_the_service():
    house = House(forward={"upgrades": frozenset()})
    fields = with_key(house, method="CONNECT")
    fields.insert(1, (":protocol", "other"))
    talk, number = h2(house, fields, end=False)
    assert talk.status(number) == 403 and not house.behind.sent


def test_a_reset_stream_cancels_its_request():
    house = House(size=1)
    talk, number = h2(house, with_key(house, method="POST", path="/chat/api/v1/chat/completions"), b"{}")
    talk.client.reset_stream(number)
    talk.pump()
    assert house.behind.last.cancelled and house.outcome.ended == "client-gone" and house.at_rest()


def test_a_revoked_key_loses_its_streams_and_no_others():
    house = House()
    talk, first = h2(house, with_key(house))
    other = house.add("00000b0b", "bob")
    second = talk.ask([(n, f"Bearer {other}" if n == "authorization" else v) for n, v in with_key(house)])
    house.store.remove("00000b0b")
    talk.pump()
    assert house.behind.sent[1].cancelled and not house.behind.sent[0].cancelled and house.outcome.ended == "revoked"
    house.behind.sent[0].answer(body=b"hi")
    talk.pump()
    assert talk.body(first) == b"hi" and second != first

import gc
import weakref

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from edge.core.headers import fields
from edge.web.cut import cut
from tests.web.house import REFUSED, House

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ASK = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", KEY)]


class Pipe:
    """The service's side of a tunnel."""

    def __init__(self):
        self.written, self.end, self.ended = b"", None, ""
        self.producer = None

    def write(self, data):
        self.written += data

    def attach(self, end):
        self.end = end
        end.dataReceived(b"early ")

    def registerProducer(self, producer, streaming):
        assert streaming
        self.producer = producer

    def unregisterProducer(self):
        self.producer = None

    def pauseProducing(self):
        self.paused = True

    def resumeProducing(self):
        self.paused = False

    def loseConnection(self):
        self.ended = "closed"

    def abortConnection(self):
        self.ended = "aborted"


class Agreed:
    """A service's 101."""

    def __init__(self, *pairs):
        self.fields = fields(
            [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", "x"), *pairs]
        )
        self.tunnel = Pipe()


def switched(*pairs, target="/chat/api/ws", more=(), tail=b"", **known):
    house = House(**known)
    talk = house.ask("GET", target, *ASK, *more, body=None)
    if tail:
        talk.send(tail)
    answer = Agreed(*pairs)
    house.behind.last.deferred.callback(answer)
    return house, talk, answer.tunnel


def test_bytes_flow_both_ways_only_after_the_101():
    house, talk, pipe = switched(tail=b"hasty ")
    assert house.behind.last.protocol == b"websocket" and house.behind.last.body is None
    assert talk.status == 101 and talk.field("upgrade") == "websocket" and talk.field("connection") == "Upgrade"
    assert talk.field("sec-websocket-accept") == "x" and talk.field("x-request-id")
    talk.send(b"hello")
    pipe.end.dataReceived(b"there")
    assert pipe.written == b"hasty hello" and talk.read().endswith(b"early there")
    talk.leave()
    assert pipe.ended == "closed" and house.at_rest()
    assert (house.outcome.status, house.outcome.ended) == (101, "complete")
    assert (house.outcome.sent, house.outcome.received) == (11, 11)


def test_nothing_is_a_tunnel_before_the_101():
    house = House()
    talk = house.ask("GET", "/chat/api/ws", *ASK)
    talk.send(b"GET /chat/api/admin HTTP/1.1\r\nHost: h\r\n\r\n")
    assert len(house.behind.sent) == 1
    house.behind.last.answer(403, body=b"no")
    assert talk.status == 403


@pytest.mark.parametrize("status", [200, 400, 426])
def test_an_answer_instead_of_a_switch_is_an_answer(status):
    house = House()
    talk = house.ask("GET", "/chat/api/ws", *ASK)
    house.behind.last.answer(status, body=b"said")
    assert (talk.status, talk.body) == (status, b"said") and house.at_rest()


def test_a_service_that_is_not_there_is_said_of_upgrades_too():
    house = House()
    talk = house.ask("GET", "/chat/api/ws", *ASK)
    house.behind.last.fail(REFUSED)
    assert talk.reason == "upstream-refused" and house.at_rest()


def test_protocols_that_a_service_does_not_switch_to_are_not_asked_for():
    house = House()
    house.ask("GET", "/chat/api/ws", ("Connection", "Upgrade"), ("Upgrade", "h2c"))
    assert house.behind.last.protocol is None and house.behind.last.field(b"upgrade") is None


def test_the_services_end_is_the_clients_end_in_the_same_way():
    for error, clean in ((ConnectionDone(), True), (ConnectionLost(), False)):
        house, talk, pipe = switched()
        pipe.end.connectionLost(Failure(error))
        assert talk.closed and talk.wire.aborted == (not clean)
        assert house.outcome.ended == ("complete" if clean else "upstream-broken") and house.at_rest()
        talk.leave()
        pipe.end.connectionLost(Failure(error))
        assert len(house.outcomes) == 1


def test_a_client_that_is_lost_is_lost_to_the_service_too():
    house, talk, pipe = switched()
    talk.leave(ConnectionLost())
    assert pipe.ended == "aborted" and house.outcome.ended == "client-gone" and house.at_rest()


def test_a_revoked_key_ends_its_sockets():
    house, talk, pipe = switched()
    house.store.remove("0badcafe")
    assert talk.closed and pipe.ended == "aborted" and house.outcome.ended == "revoked" and house.outcome.status == 101
    pipe.end.connectionLost(Failure(ConnectionLost()))
    talk.leave(ConnectionLost())
    assert len(house.outcomes) == 1 and house.at_rest()


def test_a_silent_tunnel_is_ended_and_a_lively_one_is_not():
    house, talk, pipe = switched(forward={"tunnel_idle": 60.0})
    house.clock.advance(50)
    talk.send(b"x")
    house.clock.advance(50)
    pipe.end.dataReceived(b"y")
    house.clock.advance(59)
    assert not talk.closed
    house.clock.advance(1)
    assert talk.closed and pipe.ended == "aborted" and house.outcome.ended == "timeout"
    assert house.outcome.seconds == 160 and house.at_rest()


def test_an_ended_tunnel_leaves_no_clock_behind():
    house, talk, _ = switched()
    before = len(house.clock.getDelayedCalls())
    talk.leave()
    assert len(house.clock.getDelayedCalls()) == before - 1


def test_the_whole_time_of_an_answer_is_not_that_of_a_tunnel():
    house, talk, _ = switched(forward={"total": 5.0})
    house.clock.advance(100)
    assert not talk.closed


def test_each_side_paces_the_other():
    _, talk, pipe = switched()
    assert talk.wire.producer is pipe
    pipe.producer.pauseProducing()
    assert talk.wire.producerState == "paused"
    pipe.producer.resumeProducing()
    assert talk.wire.producerState == "producing"


@pytest.mark.parametrize(("service", "chosen"), [((), "aigate"), ((("Sec-WebSocket-Protocol", "chat"),), "chat")])
def test_the_gates_subprotocol_is_selected_where_the_service_selects_none(service, chosen):
    house = House()
    ticket = house.tickets.issue("0badcafe", "chat")[0]
    talk = house.ask(
        "GET", "/chat/api/ws", *ASK, ("Sec-WebSocket-Protocol", f"chat, aigate, aigate.ticket.{ticket}"), key=None
    )
    house.behind.last.deferred.callback(Agreed(*service))
    assert talk.field("sec-websocket-protocol") == chosen


def test_no_subprotocol_is_selected_that_was_not_offered():
    house = House()
    ticket = house.tickets.issue("0badcafe", "chat")[0]
    talk = house.ask("GET", f"/chat/api/ws?ticket={ticket}", *ASK, key=None)
    house.behind.last.deferred.callback(Agreed())
    assert talk.status == 101 and talk.field("sec-websocket-protocol") is None


def test_a_client_that_is_lost_within_the_switch_leaves_no_service_behind(monkeypatch):
    house = House()
    talk = house.ask("GET", "/chat/api/ws", *ASK)
    switch = talk.protocol.switch

    def lost(pairs, end):
        tunnel = switch(pairs, end)
        talk.leave(ConnectionLost())
        return tunnel

    monkeypatch.setattr(talk.protocol, "switch", lost)
    answer = Agreed()
    house.behind.last.deferred.callback(answer)
    assert (
        answer.tunnel.ended == "aborted" and answer.tunnel.end is None and len(house.outcomes) == 1 and house.at_rest()
    )


def test_a_page_of_another_origin_opens_no_socket():
    house = House()
    assert house.ask("GET", "/chat/api/ws", *ASK, ("Origin", "https://evil.example")).reason == "origin-not-allowed"
    assert not house.behind.sent


def half_closed():
    house, talk, pipe = switched()
    # Over HTTP/1.1 nobody can end one way only; what HTTP/2's streams call at END_STREAM is called here.
    pipe.end.splice._from_client.readConnectionLost()
    return house, talk, pipe


def test_a_client_that_ends_its_way_still_gets_the_services_farewell():
    house, talk, pipe = half_closed()
    assert not pipe.ended and not talk.closed
    house.clock.advance(1)
    pipe.end.dataReceived(b"farewell")
    pipe.end.connectionLost(Failure(ConnectionDone()))
    assert talk.read().endswith(b"farewell") and talk.closed
    assert house.outcome.ended == "complete" and house.at_rest()


def test_a_service_that_does_not_end_what_its_client_ended_is_ended_soon():
    house, talk, pipe = half_closed()
    house.clock.advance(2)
    assert pipe.ended == "closed" and talk.closed and house.outcome.ended == "complete" and house.at_rest()


@pytest.mark.parametrize("end", ["the client leaves", "the service leaves", "the gate cuts it"])
def test_both_sides_are_forgotten_at_the_end(end):
    house, talk, pipe = switched()
    (held,) = house.opens._open["0badcafe"]
    request, side = weakref.ref(held), weakref.ref(pipe)
    gc.disable()
    try:
        if end == "the client leaves":
            talk.leave()
        elif end == "the service leaves":
            pipe.end.connectionLost(Failure(ConnectionDone()))
        else:
            cut(held, "revoked")
        pipe.end.dataReceived(b"late")
        del held, pipe, talk
        house.behind.sent.clear()
        assert request() is None and side() is None
    finally:
        gc.enable()


def test_a_side_that_ends_it_by_what_it_is_sent_is_counted_and_ends_it_once():
    house, talk, pipe = switched()
    (held,) = house.opens._open["0badcafe"]
    pipe.write = lambda data: cut(held, "client-gone")
    talk.send(b"12345")
    assert house.outcome.received == 5 and pipe.ended == "aborted" and house.at_rest()

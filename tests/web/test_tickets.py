import pytest

from edge.core.redact import redacted
from tests.web.house import House


def issued(house, service="chat"):
    return house.tickets.issue("0badcafe", service)[0]


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("?ticket={}", ""),
        ("?ticket={}&a=%20&b", "?a=%20&b"),
        ("?a=1&ticket={}&b=%2F+%zz[]", "?a=1&b=%2F+%zz[]"),
        ("?a&ticket={}", "?a"),
        ("?ticket={}&a=1&ticket={}", "?a=1"),
        ("?&&ticket={}&", "?&&"),
    ],
)
def test_a_ticket_in_the_query_is_cut_and_the_rest_stays_byte_for_byte(written, left):
    house = House()
    ticket = issued(house)
    house.ask(target="/chat/api/events" + written.format(ticket, ticket), key=None)
    assert house.behind.last.path == b"/events" + left.encode()
    house.behind.last.answer()
    arrival = house.outcome.exchange.arrival
    assert ticket.encode() not in arrival.target + (arrival.query or b"")
    assert house.outcome.exchange.caller.via == "ticket"
    assert not any(ticket.encode() in value for _, value in house.behind.last.pairs)


@pytest.mark.parametrize("case", ["used", "other service", "unknown", "two", "old", "revoked", "disabled", "empty"])
def test_a_ticket_that_is_not_good_now_lets_nobody_in(case):
    house = House()
    ticket = issued(house, "other" if case == "other service" else "chat")
    query = {"unknown": "ticket=x", "two": f"ticket={ticket}&ticket={issued(house)}", "empty": "ticket="}.get(
        case, f"ticket={ticket}"
    )
    if case == "used":
        assert house.ask(target=f"/chat/api/x?{query}", key=None) and len(house.behind.sent) == 1
    elif case == "old":
        house.clock.advance(60)
    elif case == "revoked":
        house.store.remove("0badcafe")
    elif case == "disabled":
        from edge.testing import key

        house.store.put(key(services=("*",), disabled=True))
    before = len(house.behind.sent)
    talk = house.ask(target=f"/chat/api/x?{query}", key=None)
    assert talk.status == 401 and talk.reason == "unknown-key" and len(house.behind.sent) == before


def test_a_ticket_is_no_key_for_the_gates_own_pages():
    house = House()
    assert house.ask(target=f"/status?ticket={issued(house)}", key=None).status == 401
    assert house.ask("POST", f"/ticket?ticket={issued(house)}", body=b'{"service":"chat"}', key=None).status == 401


@pytest.mark.parametrize("query", ["ticket={}", "a=%20&ticket={}&b"])
def test_a_ticket_at_a_route_without_its_final_slash_is_used_where_that_leads(query):
    house = House()
    talk = house.ask(target="/chat/api?" + query.format(issued(house)), key=None)
    assert talk.status == 308 and not house.behind.sent
    house.ask(target=talk.field("location"), key=None)
    assert house.behind.last.path == (b"/?a=%20&b" if "a=" in query else b"/")
    house.behind.last.answer()
    assert house.ask(target=talk.field("location"), key=None).status == 401
    assert house.at_rest()


def test_two_tickets_or_a_foreign_page_are_led_nowhere():
    house = House()
    assert house.ask(target=f"/chat/api?ticket={issued(house)}&ticket=x", key=None).status == 401
    assert (
        house.ask("GET", f"/chat/api?ticket={issued(house)}", ("Origin", "https://evil.example"), key=None).status
        == 403
    )


def upgrade(house, protocols, target="/chat/api/ws", **known):
    fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    fields += [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Protocol", protocols)]
    return house.ask("GET", target, *fields, **{"key": None, **known})


@pytest.mark.parametrize(
    ("offered", "left"),
    [
        ("aigate, aigate.ticket.{}", None),
        ("aigate.ticket.{}", None),
        ("chat, aigate.ticket.{}, aigate, more", b"chat, more"),
        ("aigate.ticket.{}, aigate.ticket.{}, chat", b"chat"),
    ],
)
def test_a_ticket_as_a_subprotocol_is_cut(offered, left):
    house = House()
    ticket = issued(house)
    upgrade(house, offered.format(ticket, ticket))
    assert house.behind.last.protocol == b"websocket"
    assert house.behind.last.field(b"sec-websocket-protocol") == left
    assert not any(ticket.encode() in value for _, value in house.behind.last.pairs)


def test_two_tickets_in_two_places_let_nobody_in():
    house = House()
    assert upgrade(house, f"aigate.ticket.{issued(house)}", f"/chat/api/ws?ticket={issued(house)}").status == 401


def test_subprotocols_without_a_ticket_stay_as_they_are():
    house = House()
    upgrade(house, "aigate,chat", key=True)
    assert house.behind.last.field(b"sec-websocket-protocol") == b"aigate,chat"


def test_another_word_with_ticket_in_it_is_left_alone():
    house = House()
    house.ask(target="/chat/api/tickets?eticket=1&ticket_id=2")
    assert house.behind.last.path == b"/tickets?eticket=1&ticket_id=2"


def test_a_ticket_that_was_spelt_otherwise_is_still_not_written_down():
    assert b"SECRET" not in redacted(b"/x?Ticket=SECRET&a=1")

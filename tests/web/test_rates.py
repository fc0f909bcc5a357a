from edge.core.levels import Limits, Scope
from edge.core.quantities import Limit
from edge.core.service import READ, Rule, Traits
from tests.web.house import House

TWO = Limits(key=Scope(limits=(Limit(2, "requests", "minute"),)))


def test_who_asks_too_often_is_told_when_to_come_back_and_where_it_stands():
    house = House(limits=TWO)
    talk = house.ask()
    house.behind.last.answer()
    assert (talk.field("x-ratelimit-limit-requests"), talk.field("x-ratelimit-remaining-requests")) == ("2", "1")
    house.ask()
    talk = house.ask("POST", "/chat/api/v1/messages", body=b"{}")
    assert (talk.status, talk.reason) == (429, "rate-limited") and int(talk.field("retry-after")) == 30
    assert b'"rate_limit_error"' in talk.body and len(house.behind.sent) == 2


def test_a_rate_is_refused_before_a_byte_of_the_body_is_read():
    house = House(limits=TWO)
    for _ in range(2):
        house.ask()
    talk = house.connect().send(
        f"POST /chat/api/v1/messages HTTP/1.1\r\nHost: h\r\nX-API-Key: {house.secret}\r\nExpect: 100-continue\r\n"
        "Content-Length: 500\r\n\r\n".encode()
    )
    assert talk.status == 429 and b"100 Continue" not in talk.read()


def test_what_a_page_loads_counts_as_no_request():
    house = House(limits=TWO)
    house.serve("ui", "/ui/api", Traits(kind="ui", rules=(Rule(READ, "*", page=True),)), house.resource)
    for _ in range(5):
        talk = house.ask(target="/ui/api/app.js")
        house.behind.last.answer()
        assert talk.status == 200 and not talk.fields("x-ratelimit-limit-requests")

"""Tickets: one use, one minute, bounded, and none to be read from memory."""

from twisted.internet.task import Clock

from edge.auth.tickets import Tickets


def test_a_ticket_lasts_a_minute_and_no_longer() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    first, life = tickets.issue("k", "image")
    second, _ = tickets.issue("k", "image")
    assert life == 60
    clock.advance(59.9)
    assert tickets.redeem(first, "image") == "k"
    clock.advance(0.1)
    assert tickets.redeem(second, "image") is None


def test_it_is_fit_for_a_url_and_a_subprotocol() -> None:
    ticket, _ = Tickets(Clock()).issue("k", "image")
    assert ticket.replace("-", "").replace("_", "").isalnum()
    assert len(ticket) >= 43


def test_one_key_cannot_take_the_place_of_others() -> None:
    tickets = Tickets(Clock(), per_key=3, in_all=100)
    others, _ = tickets.issue("other", "image")
    mine = [tickets.issue("k", "image")[0] for _ in range(50)]
    assert len(tickets) == 4
    assert [tickets.redeem(ticket, "image") for ticket in mine[-4:]] == [None, "k", "k", "k"]
    assert tickets.redeem(others, "image") == "other"


def test_all_together_are_bounded() -> None:
    tickets = Tickets(Clock(), in_all=50)
    for number in range(500):
        tickets.issue(f"k{number}", "image")
    assert len(tickets) == 50


def test_expired_tickets_take_no_room() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    for number in range(30):
        tickets.issue(f"k{number}", "image")
    clock.advance(61)
    tickets.issue("k", "image")
    assert len(tickets) == 1


def test_a_revoked_keys_tickets_die() -> None:
    tickets = Tickets(Clock())
    ticket, _ = tickets.issue("k", "image")
    tickets.issue("k", "image")
    kept, _ = tickets.issue("other", "image")
    tickets.revoke(frozenset({"k", "nobody"}))
    assert len(tickets) == 1
    assert tickets.redeem(ticket, "image") is None
    assert tickets.redeem(kept, "image") == "other"


def test_memory_holds_no_ticket() -> None:
    tickets = Tickets(Clock())
    ticket, _ = tickets.issue("k", "image")
    assert ticket not in repr(vars(tickets))

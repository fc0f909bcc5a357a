"""What a revoked key has open ends at once."""

from collections.abc import Callable

import pytest
from twisted.internet.task import Clock

from edge.auth.open import SLICE, Open
from edge.auth.tickets import Tickets
from edge.core.exchange import Caller
from edge.errors import StoreError
from edge.testing import MemoryKeyStore, exchange, key, secret


class Asked:
    """A request of the one key; `ends` is what closing it does."""

    def __init__(self, ends: Callable[[], None]) -> None:
        self.exchange = exchange().by(Caller(key()))
        self.ends = ends


class House:
    def __init__(self) -> None:
        self.clock, self.store = Clock(), MemoryKeyStore()
        self.store.put(key(), secret())
        self.tickets = Tickets(self.clock)
        self.open = Open(self.clock, self.store, self.tickets, self.clock.seconds, self.close)
        self.open.start()
        self.closed: list[str] = []

    def enter(self, name: str) -> Asked:
        return self.enter_one_that(lambda: self.closed.append(name))

    def enter_one_that(self, ends: Callable[[], None]) -> Asked:
        asked = Asked(ends)
        self.open.enter(asked)
        return asked

    def close(self, asked: Asked) -> None:
        asked.ends()


@pytest.fixture
def house() -> House:
    return House()


def test_disabling_and_deleting_close_at_once(house: House) -> None:
    house.enter("a")
    house.tickets.issue("0badcafe", "chat")
    house.store.put(key(disabled=True))
    assert house.closed == ["a"]
    assert len(house.tickets) == 0
    house.store.put(key())
    house.enter("b")
    house.store.remove("0badcafe")
    assert house.closed == ["a", "b"]


def test_a_change_of_rules_leaves_open_streams_alone(house: House) -> None:
    house.enter("a")
    house.tickets.issue("0badcafe", "chat")
    house.store.put(key(models=("gemma*",), services=("tts",)))
    assert house.closed == []
    assert len(house.tickets) == 1


def test_expiry_closes_within_a_second(house: House) -> None:
    house.store.put(key(expires=10.0))
    house.enter("a")
    house.clock.pump([0.5] * 19)
    assert house.closed == []
    house.clock.pump([0.5] * 2)
    assert house.closed == ["a"]


def test_what_has_ended_is_forgotten(house: House) -> None:
    one = house.enter("a")
    other = house.enter("b")
    house.open.leave(one)
    house.open.leave(one)
    assert house.open.count("0badcafe") == 1
    house.open.leave(other)
    assert house.open.count("0badcafe") == 0
    house.store.remove("0badcafe")
    assert house.closed == []


def test_keys_that_have_nothing_open_are_not_kept(house: House) -> None:
    for name in "ab":
        house.open.leave(house.enter(name))
    kept = house.enter("c")
    house.clock.advance(0.5)
    assert list(house.open._open) == ["0badcafe"]
    house.open.leave(kept)
    house.clock.advance(0.5)
    assert house.open._open == {}


def test_leaving_while_being_closed_is_fine_and_one_failure_spares_the_others(house: House) -> None:
    first = house.enter_one_that(lambda: house.open.leave(first))

    def broken() -> None:
        raise RuntimeError("already gone")

    house.enter_one_that(broken)
    house.enter("c")
    house.store.remove("0badcafe")
    assert house.closed == ["c"]


def test_thousands_are_closed_in_slices(house: House) -> None:
    for _ in range(3 * SLICE):
        house.enter("x")
    house.store.remove("0badcafe")
    assert len(house.closed) == SLICE
    house.clock.advance(0)
    assert len(house.closed) == 3 * SLICE


def test_a_store_in_trouble_closes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.enter("a")

    def broken(_key_id: str) -> None:
        raise StoreError("gone")

    monkeypatch.setattr(house.store, "get", broken)
    house.clock.advance(5)
    assert house.closed == []


def test_after_stopping_nothing_is_closed(house: House) -> None:
    house.enter("a")
    house.open.stop()
    house.store.remove("0badcafe")
    house.clock.advance(5)
    assert house.closed == []


def test_what_was_not_sent_yet_ends_first_so_that_no_end_makes_room_for_it(house: House) -> None:
    for name, upstream in (("a", "http://u"), ("b", None), ("c", "http://u"), ("d", None)):
        asked = house.enter(name)
        if upstream:
            asked.exchange = asked.exchange.to(upstream)
    house.store.put(key(disabled=True))
    assert house.closed == ["b", "d", "a", "c"]

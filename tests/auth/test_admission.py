"""The order of questions, and that doubt refuses."""

from itertools import count
from typing import Any

import pytest
from twisted.internet.task import Clock

from edge.auth.admission import Admission
from edge.auth.tickets import Tickets
from edge.core.exchange import Caller, Exchange
from edge.core.lockouts import Lockouts
from edge.core.refusal import Refusal
from edge.core.rules import ANYTHING
from edge.core.service import ANY_METHOD, MANAGED, Rule
from edge.errors import StoreError
from edge.testing import MemoryKeyStore, RecordedAttempts, arrival, exchange, key, secret


class House:
    """An admission over one key of alice's."""

    def __init__(self, **rules: Any) -> None:
        self.clock = Clock()
        self.store, self.sink, self.tickets = MemoryKeyStore(), RecordedAttempts(), Tickets(self.clock)
        self.secret = secret()
        self.store.put(key(**rules), self.secret)
        self.admission = Admission(self.store, Lockouts(failures=4), self.sink, self.tickets)

    def ask(self, *shown: str, rule: Rule = ANYTHING, **known: Any) -> Caller | Refusal:
        return self.admission.admit(exchange(headers=[("x-api-key", value) for value in shown], **known), rule, 1e6)

    def reason(self, *shown: str, **known: Any) -> str:
        answer = self.ask(*shown, **known)
        return answer.reason if isinstance(answer, Refusal) else "let in"


def test_a_valid_key_is_let_in_and_put_on_record() -> None:
    house = House()
    caller = house.ask(house.secret)
    assert isinstance(caller, Caller)
    assert (caller.user, caller.key_id, caller.via) == ("alice", "0badcafe", "key")
    (attempt,) = house.sink.attempts
    assert (attempt.allowed, attempt.key, attempt.user, attempt.service, attempt.address) == (
        True, "0badcafe", "alice", "chat", "192.0.2.7",
    )  # fmt: skip


def test_no_key_is_no_failure_of_the_address() -> None:
    house = House()
    assert {house.reason() for _ in range(50)} == {"no-key"}
    assert len(house.admission.lockouts) == 0


def test_a_placeholder_beside_the_key_does_not_matter() -> None:
    house = House()
    assert house.reason("sk-placeholder", house.secret) == "let in"


def test_two_known_keys_are_ambiguous_and_the_same_one_twice_is_not() -> None:
    house = House()
    other = secret("00000002")
    house.store.put(key("00000002", "bob"), other)
    assert house.reason(house.secret, other) == "two-keys"
    assert house.reason(house.secret, house.secret) == "let in"
    assert house.reason(house.secret, "a", "b", "c") == "two-keys"


def test_bad_keys_are_slowed_then_locked_out_and_the_valid_one_still_works() -> None:
    house = House()
    assert [house.reason("nope", started=float(when)) for when in (0, 2, 4, 6, 8)] == [
        "unknown-key", "unknown-key", "unknown-key", "unknown-key", "locked-out",
    ]  # fmt: skip
    answer = house.ask("nope", started=9.0)
    assert isinstance(answer, Refusal)
    assert answer.status == 429
    assert answer.retry_after == 57.0
    assert house.reason(house.secret, started=9.0) == "let in"
    assert house.reason("nope", started=9.0, client="198.51.100.1") == "unknown-key"


def test_a_disabled_key_is_no_bad_key() -> None:
    house = House(disabled=True)
    assert {house.reason(house.secret) for _ in range(30)} == {"disabled-key"}
    assert house.sink.attempts[-1].key == "0badcafe"
    assert house.sink.attempts[-1].reason == "disabled-key"


def test_a_scope_is_needed_where_the_rule_says_so() -> None:
    assert House().reason(rule=MANAGED) == "no-key"
    house = House()
    assert house.reason(house.secret, rule=MANAGED) == "needs-scope"
    house = House(scopes=frozenset({"manage"}))
    assert house.reason(house.secret, rule=MANAGED) == "let in"
    assert house.reason(house.secret, rule=Rule(ANY_METHOD, "*", scope="never")) == "path-not-allowed"
    assert house.reason(house.secret, rule=Rule(ANY_METHOD, "*", scope="admin")) == "needs-scope"


def test_the_gates_own_resources_take_any_valid_key() -> None:
    house = House()
    request = Exchange(arrival(path=b"/status", headers=[("x-api-key", house.secret)]))
    assert isinstance(house.admission.admit(request, ANYTHING, 1e6), Caller)


@pytest.mark.parametrize("error", [StoreError("gone"), RuntimeError("a bug"), RecursionError()])
def test_doubt_refuses(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()

    def broken(_secret: bytes) -> None:
        raise error

    monkeypatch.setattr(house.store, "find", broken)
    answer = house.ask(house.secret)
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.status) == ("store-unavailable", 503)
    assert answer.retry_after
    assert not house.sink.attempts[-1].allowed


def test_a_broken_sink_has_no_say() -> None:
    house = House()
    house.sink.attempts = None  # type: ignore[assignment]
    assert house.reason(house.secret) == "let in"
    assert house.reason("nope") == "unknown-key"


def test_a_ticket_is_good_once_for_its_service_and_its_key_is_judged_again() -> None:
    house = House()
    started = count(0.0, 700.0)

    def use(ticket: str, service: str = "chat") -> str:
        request = exchange(service=service, started=next(started))
        answer = house.admission.admit_ticket(request, ANYTHING, ticket, 1e6)
        return answer.reason if isinstance(answer, Refusal) else answer.via

    ticket, _ = house.tickets.issue("0badcafe", "chat")
    assert [use(ticket), use(ticket)] == ["ticket", "unknown-key"]
    ticket, _ = house.tickets.issue("0badcafe", "chat")
    assert [use(ticket, "tts"), use(ticket)] == ["unknown-key", "unknown-key"]
    ticket, _ = house.tickets.issue("0badcafe", "chat")
    house.store.put(key(disabled=True))
    assert use(ticket) == "disabled-key"
    ticket, _ = house.tickets.issue("0badcafe", "chat")
    house.store.remove("0badcafe")
    assert use(ticket) == "unknown-key"


def test_guessed_tickets_count_as_bad_keys() -> None:
    house = House()
    answers = [house.admission.admit_ticket(exchange(started=i * 2.0), ANYTHING, "guess", 1e6) for i in range(5)]
    assert [answer.reason for answer in answers if isinstance(answer, Refusal)][-1] == "locked-out"


def test_nobody_is_let_in_while_nothing_can_be_put_on_record() -> None:
    house, full = House(), [True]
    house.admission = Admission(house.store, Lockouts(), house.sink, house.tickets, lambda: full[0])
    assert house.reason(house.secret) == "store-unavailable"
    assert house.sink.attempts[-1].reason == "store-unavailable"
    full[0] = False
    assert house.reason(house.secret) == "let in"

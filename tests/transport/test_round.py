"""A round of the reactor: what is written waits for a few others, and what is new comes last and not too long."""

import pytest
import pytest_twisted

from edge.transport import round as rounds
from edge.transport.round import OPENING, TOGETHER, Round

together = pytest_twisted.ensureDeferred
lean = pytest.mark.parametrize("fast", [True], indirect=True, ids=["fast"])


class Holds:
    """A connection that holds what it has to send."""

    held = True

    def __init__(self, said, name, fails=False):
        self.said, self.name, self.fails = said, name, fails

    def release(self):
        self.held = False
        self.said.append(f"sent {self.name}")
        if self.fails:
            raise ValueError


class Opens:
    shaken = heard = False


def serving(ready, opening=(), cost=0.0, monkeypatch=None):
    """What was served and sent, in order; each that is served writes."""
    said, made = [], Round()
    made.opening.update({one: Opens() for one in opening})
    now = [0.0]
    if monkeypatch is not None:
        monkeypatch.setattr(rounds, "monotonic", lambda: now[0])

    def each(name, fd, event):
        assert (fd, event) == (3, 1)
        now[0] += cost
        said.append(name)
        if made.open:
            made.waiting.append(Holds(said, name))

    made.serve([(name, 3, 1) for name in ready], each)
    assert not made.open
    assert not made.waiting
    return said


def test_what_is_written_in_a_round_is_sent_at_its_end():
    assert serving(["a", "b"]) == ["a", "b", "sent a", "sent b"]


def test_what_comes_alone_waits_for_nothing():
    assert serving(["a"]) == ["a"]


def test_a_round_that_breaks_is_over_and_what_was_written_in_it_is_sent():
    said, made = [], Round()

    def each(name, fd, event):
        if name == "b":
            raise ValueError("a bug")
        made.waiting.append(Holds(said, name))

    with pytest.raises(ValueError, match="a bug"):
        made.serve([("a", 3, 1), ("b", 4, 1)], each)
    assert not made.open and not made.waiting and said == ["sent a"]


def test_no_more_than_a_few_wait_for_each_other():
    said = serving([str(number) for number in range(TOGETHER + 2)])
    assert said[TOGETHER : TOGETHER + 2] == ["sent 0", "sent 1"]
    assert said[-3:] == [str(TOGETHER + 1), f"sent {TOGETHER}", f"sent {TOGETHER + 1}"]


def test_what_is_new_comes_after_all_that_stands_and_what_that_wrote():
    assert serving(["new", "a", "newer", "b"], {"new", "newer"}) == ["a", "b", "sent a", "sent b", "new", "newer"]


def test_what_is_new_and_takes_long_is_left_for_the_next_round(monkeypatch):
    new = [str(number) for number in range(10)]
    assert serving([*new, "a"], set(new), OPENING / 2, monkeypatch) == ["a", "0", "1"]
    assert serving([*new, "a"], set(new), OPENING * 5, monkeypatch) == ["a", "0"], "there is one in each round"
    assert serving([*new, "a"], set(new), 0.0, monkeypatch) == ["a", *new]


def test_what_is_new_has_as_long_as_what_stands_took(monkeypatch):
    new, old = [str(number) for number in range(10)], ["a", "b", "c"]
    said = serving([*new, *old], set(new), OPENING * 5, monkeypatch)
    assert [one for one in said if not one.startswith("sent ")] == [*old, "0", "1", "2"]


def test_a_connection_is_new_until_something_came_after_its_handshake():
    made, opens, said = Round(), Opens(), []
    made.opening["new"] = opens

    def each(name, fd, event):
        said.append(("new" in made.opening, name))

    made.serve([("new", 3, 1), ("a", 4, 1)], each)
    opens.shaken = True
    made.serve([("new", 3, 1), ("a", 4, 1)], each)
    made.serve([("new", 3, 1), ("a", 4, 1)], each)
    assert [name for _, name in said] == ["a", "new", "a", "new", "new", "a"]
    assert not made.opening


def test_a_connection_whose_first_request_came_with_its_handshake_is_new_no_more():
    made, opens = Round(), Opens()
    made.opening["new"] = opens

    def each(name, fd, event):
        opens.shaken = opens.heard = True

    made.serve([("new", 3, 1)], each)
    assert not made.opening


def test_one_that_cannot_send_keeps_no_other_from_it():
    said, made = [], Round()
    made.waiting += [Holds(said, "a", fails=True), Holds(said, "b")]
    made.send()
    assert said == ["sent a", "sent b"]
    assert not made.waiting


@pytest.fixture
def held(monkeypatch):
    """A round in which everything waits."""
    monkeypatch.setattr(rounds.ROUND, "open", True)
    yield rounds.ROUND
    rounds.ROUND.open = False
    rounds.ROUND.send()


@lean
@together
async def test_pieces_of_one_round_go_out_together_and_in_order(pair, kinds, held):
    server, client = await pair("tcp", kinds["remembers"])
    held.open = True
    for piece in (b"one ", b"two ", b"three"):
        server.transport.write(piece)
    assert server.transport.queued() == 13
    assert held.waiting.count(server.transport) == 1
    held.open = False
    held.send()
    assert server.transport.queued() == 0
    assert await client.heard(13) == b"one two three"


@lean
@together
async def test_more_than_a_connection_may_hold_is_sent_at_once_behind_what_it_held(pair, kinds, held):
    server, client = await pair("tcp", kinds["remembers"])
    held.open = True
    server.transport.write(b"a" * 10)
    server.transport.write(b"b" * 17 * 1024)
    assert not server.transport.held
    held.open = False
    assert await client.heard(10 + 17 * 1024) == b"a" * 10 + b"b" * 17 * 1024


@pytest.mark.parametrize("how", ["loseConnection", "abortConnection", "loseWriteConnection"])
@lean
@together
async def test_what_was_held_is_sent_before_the_end(pair, kinds, held, how):
    server, client = await pair("tcp", kinds["remembers"])
    held.open = True
    server.transport.write(b"last words")
    getattr(server.transport, how)()
    held.open = False
    held.send()
    assert await client.heard(10) == b"last words"


@lean
@together
async def test_parts_of_a_stream_wait_for_nobody(pair, kinds, held):
    server, client = await pair("tcp", kinds["remembers"])
    server.transport.registerProducer(client.transport, True)
    held.open = True
    server.transport.write(b"an event")
    assert not server.transport.held
    held.open = False
    assert await client.heard(8) == b"an event"
    server.transport.unregisterProducer()


@lean
@together
async def test_what_a_lost_connection_held_goes_nowhere(pair, kinds, held):
    server, client = await pair("tcp", kinds["remembers"])
    held.open = True
    server.transport.write(b"nobody hears this")
    server.transport.abortConnection()
    await server.ended
    held.send()
    assert isinstance(await client.ended, Exception)


@lean
@together
async def test_a_lost_connection_is_new_no_more(pair, kinds):
    before = len(rounds.ROUND.opening)
    server, client = await pair("tls", kinds["remembers"])
    assert len(rounds.ROUND.opening) == before + 1
    client.transport.abortConnection()
    await server.ended
    assert len(rounds.ROUND.opening) == before


@lean
@together
async def test_a_connection_that_says_something_is_new_no_more(pair, kinds):
    server, client = await pair("tls", kinds["remembers"])
    assert server.transport.transport in rounds.ROUND.opening
    client.transport.write(b"hello")
    assert await server.heard(5) == b"hello"
    client.transport.write(b"again")
    await server.heard(10)
    assert server.transport.transport not in rounds.ROUND.opening

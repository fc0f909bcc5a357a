"""The look at deadlines: everybody's turn comes, a few at a time, and one that breaks takes nobody with it."""

from edge.wire.server import FEW, LOOK, SHARES, Server
from tests.wire.test_negotiate import entrance


class Looked:
    """A connection that counts the looks at it."""

    def __init__(self, broken=False):
        self.looks = []
        self.broken = broken
        self.closed = 0

    def check(self, now):
        self.looks.append(now)
        if self.broken:
            raise ValueError("a bug")

    def close_now(self):
        self.closed += 1


def crowd(count, **known) -> tuple[Server, list[Looked]]:
    server, _, _ = entrance()
    server.connections.clear()
    made = [Looked(**known) for _ in range(count)]
    server.connections.update(made)
    server.start()
    return server, made


def looked_at(made):
    return sum(len(each.looks) for each in made)


def test_a_few_are_looked_at_at_once_each_second():
    server, made = crowd(FEW)
    for second in (1, 2, 3):
        server.clock.advance(LOOK)
        assert [len(each.looks) for each in made] == [second] * FEW


def test_thousands_are_looked_at_within_a_second_and_never_many_in_one_go():
    count = 5000
    server, made = crowd(count)
    server.clock.advance(LOOK)
    goes = []
    for _ in range(SHARES):
        goes.append(looked_at(made))
        server.clock.advance(LOOK / SHARES / 2)
    assert all(len(each.looks) == 1 for each in made)
    assert max(later - sooner for sooner, later in zip([0, *goes], goes, strict=False)) <= count // SHARES + 1
    server.clock.advance(LOOK)
    server.clock.pump([LOOK / SHARES / 2] * (SHARES - 1))
    assert all(len(each.looks) == 2 for each in made)


def test_who_left_before_the_turn_came_is_not_looked_at():
    server, made = crowd(FEW * 2)
    server.clock.advance(LOOK)
    left = [each for each in made if not each.looks]
    assert len(left) == FEW
    server.connections.difference_update(left)
    server.clock.advance(LOOK / 2)
    assert looked_at(left) == 0


def test_one_that_breaks_is_closed_and_the_others_are_looked_at():
    server, made = crowd(5)
    made[2].broken = True
    server.clock.advance(LOOK)
    assert looked_at(made) == 5 and [each.closed for each in made] == [0, 0, 1, 0, 0]


def test_one_that_cannot_even_be_closed_takes_nobody_with_it():
    server, made = crowd(FEW * 2)
    for each in made:
        each.broken = True
        each.close_now = lambda: 1 / 0
    server.clock.advance(LOOK)
    server.clock.advance(LOOK / 2)
    assert [len(each.looks) for each in made] == [1] * FEW * 2
    server.clock.advance(LOOK / 2)
    assert looked_at(made) == FEW * 3


def test_nobody_is_looked_at_any_more_after_the_stop():
    server, made = crowd(FEW * 4)
    server.clock.advance(LOOK)
    server.stop()
    server.clock.advance(LOOK * 3)
    assert looked_at(made) == FEW

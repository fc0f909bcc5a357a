from twisted.internet.task import Clock

from edge.observe.later import HELD, SLICE, WAIT, Later, singly
from tests.observe.made import arrival, outcome


def outcomes(count):
    return [outcome(arrival(id=f"r{number:08d}")) for number in range(count)]


class Turns:
    """A clock whose turns a test takes one by one."""

    def __init__(self):
        self.asked = []

    def callLater(self, delay, work):
        self.asked.append((delay, work))
        return self

    def turn(self):
        delay, work = self.asked.pop()
        work()
        return delay


def test_a_request_only_leaves_its_outcome_and_slices_of_later_turns_tell_it():
    told = []
    clock = Turns()
    later = Later([told.extend], clock)
    made = outcomes(3 * SLICE + 5)
    for one in made:
        later(one)
    assert told == []
    assert clock.turn() == WAIT
    for turn in (1, 2, 3):
        assert told == made[: turn * SLICE]
        assert clock.turn() == 0
    assert told == made
    assert not clock.asked


def test_an_outcome_that_comes_when_all_are_told_waits_for_a_turn_of_its_own():
    told = []
    clock = Clock()
    later = Later([told.extend], clock)
    first, second = outcomes(2)
    later(first)
    clock.advance(WAIT)
    later(second)
    assert told == [first]
    clock.advance(WAIT)
    assert told == [first, second]


def test_there_are_never_more_than_so_many_though_no_turn_comes():
    told = []
    later = Later([told.extend], Clock())
    made = outcomes(3 * HELD + 7)
    for one in made:
        later(one)
        assert len(later._waiting) < HELD
    later.finish()
    assert told == made


def test_what_one_raises_keeps_it_from_no_other():
    told = []

    def broken(outcomes):
        raise ValueError("broken")

    later = Later([broken, told.extend], Clock())
    later.log = type("Log", (), {"failure": lambda self, text: None})()
    made = outcomes(2)
    for one in made:
        later(one)
    later.finish()
    assert told == made


def test_one_that_cannot_be_told_keeps_no_other_from_being_told():
    told, failures = [], []
    bad = {3, 4, SLICE - 1, SLICE}

    def picky(outcomes):
        for one in outcomes:
            if made.index(one) in bad:
                raise ValueError("broken")
            told.append(one)

    later = Later([picky], Clock())
    later.log = type("Log", (), {"failure": lambda self, text: failures.append(text)})()
    made = outcomes(SLICE + 5)
    for one in made:
        later(one)
    later.finish()
    assert told == [one for number, one in enumerate(made) if number not in bad] and len(failures) == len(bad)


def test_what_takes_one_at_a_time_is_told_of_each():
    told = []
    made = outcomes(3)
    singly(told.append)(iter(made))
    assert told == made


def test_a_page_is_made_once_everything_is_told():
    told = []
    later = Later([told.extend], Clock())
    made = outcomes(500)
    for one in made:
        later(one)
    assert later.settled(lambda: len(told)) == 500


def test_at_the_end_what_is_left_is_told_and_no_turn_is_waited_for():
    told = []
    clock = Clock()
    later = Later([told.extend], clock)
    (made,) = outcomes(1)
    later(made)
    later.finish()
    assert told == [made]
    assert not clock.getDelayedCalls()

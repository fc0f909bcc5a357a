import threading
import time

from edge.observe.later import HELD, SLICE, Later
from tests.observe.made import arrival, outcome


def outcomes(count):
    return [outcome(arrival(id=f"r{number:08d}")) for number in range(count)]


def ids(told):
    return [one.exchange.arrival.id for one in told]


def test_a_request_only_leaves_its_outcome_and_a_thread_tells_it():
    told = []
    later = Later([told.append])
    made = outcomes(3 * SLICE + 5)
    for one in made:
        later(one)
    assert told == []
    later.drain()
    assert told == made


def test_there_are_never_more_than_so_many_though_no_thread_comes():
    told = []
    later = Later([told.append])
    made = outcomes(3 * HELD + 7)
    for one in made:
        later(one)
        assert len(later._waiting) < HELD
    later.drain()
    assert ids(told) == ids(made)


def test_what_one_raises_keeps_it_from_no_other():
    told = []

    def broken(one):
        raise ValueError("broken")

    later = Later([broken, told.append])
    later.log = type("Log", (), {"failure": lambda self, text: None})()
    made = outcomes(2)
    for one in made:
        later(one)
    later.drain()
    assert told == made


def test_a_page_is_made_once_everything_is_told_and_while_nothing_is():
    told = []
    later = Later([lambda one: (time.sleep(0.0001), told.append(one))])
    made = outcomes(500)
    for one in made:
        later(one)
    thread = threading.Thread(target=later.drain)
    thread.start()
    assert later.settled(lambda: len(told)) == 500
    thread.join()
    assert ids(told) == ids(made)


def test_requests_of_another_door_are_told_to_one_alone():
    line, others = [], []
    later = Later([line.append, others.append])
    (made,) = outcomes(1)
    later.aside(line.append)(made)
    assert line == [made] and others == []

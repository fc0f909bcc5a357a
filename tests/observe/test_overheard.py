"""What libraries say, as the gate tells it."""

import logging

import pytest

from edge.observe.overheard import EVERY, KINDS, LONGEST, Overheard


@pytest.fixture
def heard(logged):
    now = [1000.0]
    made = Overheard(("some.library",), lambda: now[0])
    made.start()
    yield logging.getLogger("some.library.part"), now, logged
    made.finish()


def test_a_library_speaks_in_the_gates_own_log_and_not_on_standard_error(heard, capfd):
    library, _, logged = heard
    library.warning("slow: %s", "a collector")
    library.info("chatter")
    assert [line for line in logged if "slow" in line] == ["slow: a collector"] and capfd.readouterr().err == ""


def test_lines_that_differ_only_in_what_is_filled_in_are_one_a_minute_and_counted(heard):
    library, now, logged = heard
    for number in range(1000):
        library.error("batch %s failed", number)
    library.error("something else")
    assert list(logged) == ["batch 0 failed", "something else"]
    now[0] += EVERY
    library.error("batch %s failed", 1000)
    assert logged[-1] == "batch 1000 failed (999 more of this sort were not told)"


def test_an_exception_is_one_line_without_secrets_and_bounded(heard):
    library, _, logged = heard
    try:
        raise OSError("http://alice:hunter2@collector/ said\nno " + "x" * 1000)
    except OSError:
        library.exception("not sent")
    (line,) = logged
    assert line.startswith("not sent (OSError: ") and "hunter2" not in line and "\n" not in line
    assert len(line) <= LONGEST + 10


def test_what_is_remembered_of_sorts_of_lines_is_bounded(heard):
    library, *_ = heard
    (handler,) = logging.getLogger("some.library").handlers
    for number in range(3 * KINDS):
        library.warning(f"sort {number}")
        assert len(handler._told) <= KINDS


def test_nothing_is_heard_after_the_end(logged):
    made = Overheard(("some.library",))
    made.start()
    made.finish()
    logging.getLogger("some.library").warning("late")
    assert not logged and not logging.getLogger("some.library").handlers

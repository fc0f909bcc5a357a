import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.jobs import ANSWER, MOST, Jobs, prompt_id


def begun(*names, now=0.0, **more):
    jobs = Jobs(**more)
    for name in names:
        jobs.begin(name, now)
    return jobs


def message(kind, **data):
    return json.dumps({"type": kind, "data": data}).encode()


def test_a_job_begins_with_the_id_of_the_answer():
    assert prompt_id(b'{"prompt_id": "abc", "number": 3, "node_errors": {}}') == "abc"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b'{"prompt_id": 3}', b'{"prompt_id": ""}', b'{"error": {}}', b"[" * 99999]
)
def test_an_answer_without_an_id_begins_nothing(body):
    assert prompt_id(body) is None


@pytest.mark.parametrize("kind", ["execution_success", "execution_error", "execution_interrupted"])
def test_the_websocket_tells_the_end_once(kind):
    jobs = begun("a", "b")
    assert jobs.heard(message(kind, prompt_id="a")) == ["a"]
    assert jobs.heard(message(kind, prompt_id="a")) == []
    assert len(jobs) == 1


def test_executing_nothing_is_an_end_and_executing_a_node_is_none():
    jobs = begun("a")
    assert jobs.heard(message("executing", prompt_id="a", node="7")) == []
    assert jobs.heard(message("executing", prompt_id="a")) == []
    assert jobs.heard(message("executing", prompt_id="a", node=None)) == ["a"]


def test_what_the_queue_no_longer_lists_has_ended_unless_it_began_since():
    jobs = begun("running", "pending", "gone", now=1.0)
    jobs.begin("new", 5.0)
    body = json.dumps({"queue_running": [[0, "running", {}]], "queue_pending": [[1, "pending", {}]]}).encode()
    assert jobs.queue(body, asked=5.0) == ["gone"]
    assert len(jobs) == 3


@pytest.mark.parametrize("body", [b"", b"{}", b'{"queue_running": []}', b"not json"])
def test_an_answer_that_is_no_queue_ends_nothing(body):
    assert begun("a").queue(body, asked=9.0) == []


def test_history_knows_what_has_ended():
    assert begun("a", "b").history(b'{"b": {"status": {}}, "other": {}}') == ["b"]


def test_a_job_that_never_ends_is_given_up():
    jobs = begun("a", now=10.0, longest=60.0)
    assert jobs.overdue(69.0) == []
    assert jobs.overdue(70.0) == ["a"]


def test_there_is_an_end_to_how_many_are_followed():
    jobs = Jobs()
    ended = [job for number in range(MOST + 5) for job in jobs.begin(str(number), number)]
    assert len(jobs) == MOST and ended == ["0", "1", "2", "3", "4"]


@given(st.binary(max_size=300))
def test_whatever_is_heard_nothing_is_raised(noise):
    jobs = begun("a")
    for body in (noise, b'{"execut' + noise, b" " * (ANSWER + 1)):
        assert not [*jobs.heard(body), *jobs.queue(body, 1.0), *jobs.history(body)]
        prompt_id(body)

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


def test_a_job_begins_with_the_id_of_the_answer():
    assert prompt_id(b'{"prompt_id": "abc", "number": 3, "node_errors": {}}') == "abc"


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"prompt_id": 3}', b'{"error": {}}', b"[" * 99999])
def test_an_answer_without_an_id_begins_nothing(body):
    assert prompt_id(body) is None


def test_what_the_queue_no_longer_lists_has_ended_unless_it_began_since():
    jobs = begun("running", "pending", "gone", now=1.0)
    jobs.begin("new", 5.0)
    body = json.dumps({"queue_running": [[0, "running", {}]], "queue_pending": [[1, "pending", {}]]}).encode()
    assert jobs.queue(body, asked=5.0) == ["gone"]
    assert len(jobs) == 3


def listing(*jobs):
    return json.dumps(
        {"queue_running": [[0, job] for job in jobs[:1]], "queue_pending": [[1, job] for job in jobs[1:]]}
    )


@pytest.mark.parametrize("job", ["", "x" * 200, "x" * 9000, "\N{SNOWMAN}" * 3000, "\N{DUCK}" * 3000, '"' * 3000])
@pytest.mark.parametrize("ascii", [True, False])
def test_an_id_of_any_length_is_known_again_by_its_beginning(job, ascii):
    answer = json.dumps({"prompt_id": job, "number": 1}, ensure_ascii=ascii).encode()[:4096]
    jobs = begun(prompt_id(answer), now=1.0)
    assert jobs.queue(listing(job).encode(), asked=2.0) == []
    assert len(jobs.queue(listing().encode(), asked=2.0)) == 1


def test_an_id_that_several_jobs_have_stands_for_as_many_as_the_queue_lists():
    jobs = begun("same", "other", "same", now=1.0)
    jobs.begin("same", 2.0)
    assert jobs.queue(listing("same", "same", "other", "same").encode(), asked=3.0) == []
    assert jobs.queue(listing("same", "other").encode(), asked=3.0) == ["same", "same"]
    jobs.begin("same", 4.0)
    assert jobs.queue(listing().encode(), asked=4.0) == ["other", "same"] and len(jobs) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b'{"queue_running": []}', b"not json"])
def test_an_answer_that_is_no_queue_ends_nothing(body):
    assert begun("a").queue(body, asked=9.0) == []


def test_a_job_that_never_ends_is_given_up():
    jobs = begun("a", now=10.0, longest=60.0)
    assert jobs.overdue(69.0) == []
    assert jobs.overdue(70.0) == ["a"]


def test_there_is_an_end_to_how_many_are_followed():
    jobs = Jobs()
    ended = [job for number in range(MOST + 5) for job in jobs.begin(str(number), number)]
    assert len(jobs) == MOST and ended == ["0", "1", "2", "3", "4"]


@given(st.binary(max_size=300))
def test_whatever_is_answered_nothing_is_raised(noise):
    jobs = begun("a")
    for body in (noise, b'{"prompt_id":"' + noise, b" " * (ANSWER + 1)):
        assert not jobs.queue(body, 1.0)
        prompt_id(body)

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from edge.web.drive import drive


def driven(coroutine):
    failures = []
    drive(coroutine, failures.append)
    return failures


def test_what_does_not_wait_is_done_at_once():
    seen = []

    async def work():
        seen.append(await succeed(1))

    assert driven(work()) == [] and seen == [1]


def test_what_waits_goes_on_with_the_result():
    seen, first, second = [], Deferred(), Deferred()

    async def deeper():
        return await second

    async def work():
        seen.append(await first)
        seen.append(await deeper())

    failures = driven(work())
    assert seen == []
    first.callback("a")
    second.callback("b")
    assert seen == ["a", "b"] and failures == []


def test_a_failure_is_raised_where_it_was_awaited():
    seen, waited = [], Deferred()

    async def work():
        try:
            await waited
        except KeyError as error:
            seen.append(error)
        raise ValueError("further")

    failures = driven(work())
    waited.errback(Failure(KeyError("x")))
    assert isinstance(seen[0], KeyError) and failures[0].check(ValueError)


@pytest.mark.parametrize("error", [ValueError, GeneratorExit, SystemExit])
def test_what_is_raised_at_once_is_told(error):
    async def work():
        raise error

    (failure,) = driven(work())
    assert failure.check(error)


def test_a_failure_that_was_handed_on_is_no_unhandled_error():
    waited = Deferred()

    async def work():
        await waited

    failures = driven(work())
    waited.errback(Failure(ValueError()))
    assert len(failures) == 1 and waited.result is None


def test_ten_thousand_results_that_are_there_already_take_no_stack():
    async def work():
        for number in range(10_000):
            assert await succeed(number) == number
        seen.append("done")

    seen = []
    assert driven(work()) == [] and seen == ["done"]


def test_ten_thousand_waits_one_after_the_other_take_no_stack():
    seen, waits = [], []

    async def work():
        for _ in range(10_000):
            waits.append(Deferred())
            await waits[-1]
        seen.append("done")

    driven(work())
    while not seen:
        waits[-1].callback(None)
    assert len(waits) == 10_000

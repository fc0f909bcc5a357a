"""Runs a coroutine that mostly does not wait: no Deferred is made unless it does."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


def drive(
    coroutine: Coroutine[Deferred[Any], Any, None], failed: Callable[[Failure], object], result: object = None
) -> None:
    """Runs `coroutine` to its end, now as far as it goes and then whenever what it awaits is there.

    It may await Deferreds and coroutines that do. What it raises goes to `failed`.
    """
    try:
        if isinstance(result, Failure):
            waiting: Deferred[Any] = result.throwExceptionIntoGenerator(coroutine)
        else:
            waiting = coroutine.send(result)
    except StopIteration:
        return
    except BaseException:
        failed(Failure())
        return
    waiting.addBoth(lambda result: drive(coroutine, failed, result))

"""Runs a coroutine that mostly does not wait: no Deferred is made unless it does."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


def drive(coroutine: Coroutine[Deferred[Any], Any, None], failed: Callable[[Failure], object]) -> None:
    """Runs `coroutine` to its end, now as far as it goes and then whenever what it awaits is there.

    It may await Deferreds and coroutines that do. What it raises goes to `failed`.
    """
    try:
        waiting = coroutine.send(None)
    except StopIteration:
        return
    except BaseException:
        failed(Failure())
        return

    def resume(result: object) -> None:
        # The awaited Deferred hands its own result (or failure) to the coroutine; here it is only consumed.
        drive(coroutine, failed)

    waiting.addBoth(resume)

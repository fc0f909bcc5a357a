"""Which of several upstreams takes the next request."""

from collections.abc import Sequence

from attrs import frozen


@frozen
class Load:
    """One upstream at this moment."""

    open: int
    """Requests that it has in hand."""
    well: bool = True


def choose(loads: Sequence[Load], turn: int) -> int | None:
    """The index of the upstream with the least in hand among those that are well; None where there is none at all.

    Equals take turns: `turn` is any counter that grows with each choice. Where none is well, all are candidates: trying
    is then the only way to learn that one came back, and a refused connection costs less than a wrong refusal.
    """
    candidates = [index for index, load in enumerate(loads) if load.well] or list(range(len(loads)))
    if not candidates:
        return None
    least = min(loads[index].open for index in candidates)
    equals = [index for index in candidates if loads[index].open == least]
    return equals[turn % len(equals)]

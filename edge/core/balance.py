"""Which of several upstreams takes the next request."""

from collections.abc import Sequence
from hashlib import blake2b

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
    candidates = _candidates(loads)
    if not candidates:
        return None
    least = min(loads[index].open for index in candidates)
    equals = [index for index in candidates if loads[index].open == least]
    return equals[turn % len(equals)]


def choose_home(names: Sequence[str], loads: Sequence[Load], caller: str) -> int | None:
    """The index of the upstream where all that a caller asks for goes, whatever it has in hand; None where there is none at all.

    Each caller has an order of its own among all upstreams (rendezvous hashing), and the first of it that is well is home:
    one that fails or is added moves those callers only whose home it was or becomes.
    """
    return max(_candidates(loads), key=lambda index: _rank(caller, names[index]), default=None)


def _candidates(loads: Sequence[Load]) -> list[int]:
    return [index for index, load in enumerate(loads) if load.well] or list(range(len(loads)))


def _rank(caller: str, name: str) -> bytes:
    return blake2b(f"{caller} {name}".encode(), digest_size=8).digest()

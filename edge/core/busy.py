"""How long something was at work, from jobs that overlap and are told as each ends."""

from attrs import define, field

REMEMBERED = 256
"""Stretches of work that later, longer jobs may still reach back over; beyond them a job's early part may count twice."""


@define
class Busy:
    """Stretches of work, as (begin, end) on one clock, apart from each other and in order."""

    fresh: float = 0.0
    """Seconds that were added since somebody last set this to 0."""
    _stretches: list[tuple[float, float]] = field(factory=list, init=False)

    def add(self, begin: float, end: float) -> float:
        """A job that has just ended. Returns the seconds that it adds to those already told."""
        stretches = self._stretches
        if stretches and begin >= stretches[-1][0]:
            # Most jobs reach back into the last stretch at most.
            since, until = stretches[-1]
            if begin <= until:
                if end <= until:
                    return 0.0
                stretches[-1] = (since, end)
                self.fresh += end - until
                return end - until
        added = max(0.0, end - begin)
        while stretches and stretches[-1][1] >= begin:
            earlier = stretches.pop()
            # What both have is counted already.
            added -= max(0.0, min(earlier[1], end) - max(earlier[0], begin))
            begin, end = min(begin, earlier[0]), max(end, earlier[1])
        stretches.append((begin, end))
        if len(stretches) > REMEMBERED:
            del stretches[0]
        added = max(0.0, added)
        self.fresh += added
        return added

"""Names that clients choose, kept to so many: what is beyond them is told as `other`."""

from typing import Final

from attrs import define, field

OTHER: Final = "other"


@define
class Fold:
    """The first `most` names that proved real; a name that nothing answered to never takes a place."""

    most: int
    known: set[str] = field(factory=set, init=False)
    """Those that have a place."""

    def name(self, name: str, real: bool) -> str:
        """The name itself where it has a place or, being `real`, gets one; else `other`."""
        if name in self.known:
            return name
        if real and len(self.known) < self.most and len(name) <= 200:
            self.known.add(name)
            return name
        return OTHER

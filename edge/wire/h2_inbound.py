"""The window that a client has for uploads on its whole connection."""

from edge.wire.h2_frames import FLOW_CONTROL_ERROR, H2Error


class Inbound:
    """The books of one connection, in bytes.

    What arrives is given back at once, though a stream may still hold it: a few uploads that stand still do not stop the
    others. Only what streams hold beyond `most` together is kept back until they let it go.
    """

    __slots__ = ("_held", "_most", "_owed", "left", "size")

    def __init__(self, size: int, most: int) -> None:
        self.size = size
        self.left = size
        """What the client may still send."""
        self._owed = 0
        self._held = 0
        self._most = most

    def take(self, size: int) -> None:
        """So much arrived. Raises H2Error when it was more than the window."""
        self.left -= size
        if self.left < 0:
            raise H2Error(FLOW_CONTROL_ERROR, "more than the connection's window")
        self._owed += size

    def hold(self, size: int) -> None:
        """A stream keeps bytes that nobody took yet, or lets them go when `size` is negative."""
        self._held += size

    def free(self) -> int:
        """What is to be given back now; 0 until it is a quarter of the window."""
        size = self._owed - max(0, self._held - self._most)
        if size * 4 < self.size:
            return 0
        self._owed -= size
        self.left += size
        return size

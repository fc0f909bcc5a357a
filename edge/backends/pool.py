"""Idle connections: the one used last is used first, none is older than a few seconds, and there is a limit to them."""

from edge.backends.connection import UpstreamConnection
from edge.backends.target import Target


class Pool:
    """Idle connections by target.

    `idle` is the seconds that one may wait: less than the keep-alive of the servers that people run (uvicorn's and
    cpp-httplib's is 5 s), so that an upstream rarely closes one while a request is on its way.
    """

    def __init__(self, idle: float, most: int, most_per_target: int) -> None:
        self._idle: dict[str, list[UpstreamConnection]] = {}
        self._seconds = idle
        self._most = most
        self._most_per_target = most_per_target
        self.count = 0
        self.stale = 0
        """How many were found closed, or with bytes that nobody asked for, when they were to be used."""

    def take(self, target: Target) -> UpstreamConnection | None:
        """A connection that is open and silent, or None."""
        waiting = self._idle.get(target.key)
        while waiting:
            connection = waiting.pop()
            self.count -= 1
            if connection.fresh():
                return connection
            self.stale += 1
            connection.abort()
        return None

    def put(self, connection: UpstreamConnection) -> bool:
        """Takes an idle connection; False where there is no room."""
        if self.count >= self._most:
            return False
        waiting = self._idle.get(connection.target.key)
        if waiting is None:
            waiting = self._idle[connection.target.key] = []
        elif len(waiting) >= self._most_per_target:
            return False
        waiting.append(connection)
        self.count += 1
        return True

    def drop(self, connection: UpstreamConnection) -> None:
        """Forgets a connection that was lost, if it is here."""
        waiting = self._idle.get(connection.target.key, [])
        if connection in waiting:
            waiting.remove(connection)
            self.count -= 1

    def expire(self, now: float) -> None:
        """Closes what has been idle for too long; the oldest stand first."""
        for key, waiting in list(self._idle.items()):
            while waiting and now - waiting[0].since >= self._seconds:
                self.count -= 1
                waiting.pop(0).close()
            if not waiting:
                del self._idle[key]

    def shut(self) -> None:
        """Takes no more."""
        self._most = 0

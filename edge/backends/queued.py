"""What a server still has to do of what it took upon itself."""

from collections.abc import Awaitable, Callable

from attrs import frozen

from edge.backends.upstreams import DOWN, Upstream, Upstreams
from edge.core.jobs import FORGOTTEN


@frozen(eq=False)
class Queued:
    """The queue of one server, for `edge.limits.held.HeldJobs`. `ask` gets what the server tells of it, b"" for nothing."""

    servers: Upstreams
    server: Upstream
    ask: Callable[[], Awaitable[bytes]]

    async def __call__(self) -> bytes:
        """The body of `GET /queue`, b"" where it cannot be known, FORGOTTEN where the server was down before and is now."""
        down = self.server.state == DOWN
        body = await self.ask()
        if body:
            return body
        if down and self.server.state == DOWN:
            return FORGOTTEN
        # Nobody else may ask meanwhile, since all wait for its places.
        self.servers.doubt(self.server)
        return b""

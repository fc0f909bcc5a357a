"""The way to one server of a service: what the forwarder needs, over treq."""

from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from edge.backends.errand import Inform
from edge.backends.failures import UpstreamRefused, UpstreamTimeout, cause_of
from edge.backends.rawheaders import RawHeaders
from edge.backends.target import Target, UpstreamURL
from edge.core.batch import Batch
from edge.core.refusal import Refusal
from edge.wire.body import Body


def refusal_of(failure: Failure) -> Refusal | None:
    """What the client is told of an upstream's failure, without its address; None where it was not the upstream's fault."""
    cause = cause_of(failure)
    if cause is None:
        return None
    if isinstance(cause, UpstreamTimeout):
        if cause.which == "connect":
            return Refusal("upstream-timeout", "The service could not be reached in time.")
        return Refusal("upstream-timeout", "The service took too long to answer.")
    if isinstance(cause, UpstreamRefused):
        return Refusal("upstream-refused", "The service cannot be reached.")
    return Refusal("upstream-broken", "The service's answer was broken.")


@frozen(eq=False)
class Way:
    """One server of a service, reached through the shared client."""

    base: str
    target: Target
    client: Any
    """`edge.backends.outward.UpstreamClient`."""
    timeouts: Any
    bases: tuple[bytes, ...]
    authority: bytes
    origin: bytes

    @classmethod
    def to(cls, base: str, target: Target, client: Any, timeouts: Any) -> "Way":
        """The way to the server at a base address."""
        netloc = target.netloc
        schemes = (b"https", b"http") if target.scheme == "https" else (b"http",)
        own = schemes[0] + b"://" + netloc
        bases = tuple(scheme + b"://" + netloc + target.base for scheme in schemes)
        return cls(base, target, client, timeouts, bases, netloc, own)

    def send(
        self, method: str, path: bytes, pairs: Batch, body: Body | bytes | None, inform: Inform
    ) -> "Deferred[Any]":
        """The answer to a request; fails with an UpstreamFailure, or with what failed the body."""
        sent: Deferred[Any] = self.client.request(
            method,
            UpstreamURL(self.target, self.target.base + path),
            headers=pairs,
            data=body,
            timeouts=self.timeouts,
            on_inform=inform,
        )
        return sent

    def upgrade(self, protocol: bytes, path: bytes, pairs: Batch) -> "Deferred[Any]":
        """A switched connection, or the answer of a service that would not switch."""
        switched: Deferred[Any] = self.client.open_upgrade(
            UpstreamURL(self.target, self.target.base + path),
            protocol,
            headers=RawHeaders(pairs),
            timeouts=self.timeouts,
        )
        return switched

    def refusal(self, failure: Failure) -> Refusal | None:
        return refusal_of(failure)

    def unreached(self, failure: Failure) -> bool:
        """Whether the server was not reached at all, so that nothing of the request was sent."""
        cause = cause_of(failure)
        return isinstance(cause, UpstreamRefused) or (isinstance(cause, UpstreamTimeout) and cause.which == "connect")

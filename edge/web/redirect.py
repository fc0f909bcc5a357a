"""The plain HTTP listener that only says where HTTPS is."""

from collections.abc import Callable, Iterable

from attrs import define
from twisted.python.failure import Failure

from edge.core.headers import Pair
from edge.core.refusal import Refusal
from edge.core.routing import forms
from edge.wire.request import Origin, Request


@define(eq=False)
class RedirectSite:
    """A handler that answers every request with a 308 to the same place over HTTPS (RFC 9110 15.4.9)."""

    port: int
    """The HTTPS listener's port."""
    new_id: Callable[[], str]
    """Makes a request's id."""

    def handle(self, request: Request) -> None:
        judged = forms(request.path)
        if not request.host or isinstance(judged, Refusal):
            request.reply(400, self._pairs(), b"This address needs a Host and a plain path.\n")
            return
        host = request.host.encode("ascii")
        name = b"[%b]" % host if b":" in host else host
        place = b"https://" + name + (b":%d" % self.port if self.port != 443 else b"") + request.target
        request.reply(308, [(b"Location", place), *self._pairs()], b"Use HTTPS.\n")

    def refuse(self, refusal: Refusal, origin: Origin, protocol: str) -> tuple[Iterable[Pair], bytes]:
        return self._pairs(), refusal.message.encode("ascii", "replace") + b"\n"

    def give_up(self, request: Request, refusal: Refusal, reason: Failure) -> None:
        """Every request is answered on its head, so none is in hand while its body comes."""
        request.abort()

    def _pairs(self) -> list[Pair]:
        return [(b"Content-Type", b"text/plain"), (b"X-Request-Id", self.new_id().encode("ascii"))]

"""The plain HTTP listener that only says where HTTPS is."""

from collections.abc import Iterable

from attrs import define

from edge.core.headers import Pair
from edge.core.refusal import Refusal
from edge.core.routing import forms
from edge.wire.request import Origin, Request


@define(eq=False)
class RedirectSite:
    """A handler that answers every request with a 308 to the same place over HTTPS (RFC 9110 15.4.9)."""

    port: int
    """The HTTPS listener's port."""

    def handle(self, request: Request) -> None:
        judged = forms(request.path)
        if not request.host or isinstance(judged, Refusal):
            request.reply(400, [(b"Content-Type", b"text/plain")], b"This address needs a Host and a plain path.\n")
            return
        host = request.host.encode("ascii")
        name = b"[%b]" % host if b":" in host else host
        place = b"https://" + name + (b":%d" % self.port if self.port != 443 else b"") + request.target
        request.reply(308, [(b"Location", place), (b"Content-Type", b"text/plain")], b"Use HTTPS.\n")

    def refuse(self, refusal: Refusal, origin: Origin, protocol: str) -> tuple[Iterable[Pair], bytes]:
        return [(b"Content-Type", b"text/plain")], refusal.message.encode("ascii") + b"\n"

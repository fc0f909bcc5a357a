"""One service as the gate runs it: what its plugin's `configure` returns."""

import re
from typing import Any, Final

from attrs import evolve, field, frozen
from twisted.web.resource import IResource
from zope.interface import implementer

from edge.backends.target import address_of
from edge.core.forwarding import FRAMING, HOP_BY_HOP
from edge.core.service import Rule, Traits
from edge.interfaces import IService
from edge.wire.head import TOKEN

Pair = tuple[bytes, bytes]

_NAME: Final = re.compile(TOKEN + rb"+")
_VALUE: Final = re.compile(rb"[\t -~\x80-\xff]*")
_PATH: Final = re.compile(r"/[!-~]*")


@implementer(IService)
@frozen(kw_only=True)
class Service:
    """A name, what is known of its kind, and where it is: at base addresses, or in this process as a resource.

    Raises ValueError where a request could never be sent, while the line of the plugin that makes it is still known.
    """

    name: str
    traits: Traits
    upstreams: tuple[str, ...] = ()
    """Base addresses: `http://127.0.0.1:11434`, `https://…`, `unix:/run/x.sock`; more than one share the work."""
    headers: tuple[Pair, ...] = field(default=(), repr=False)
    """Fields set on every request to the service, after the traits' own; one of the same name replaces what came. Some hold
    the service's own key, so they are not shown."""
    resource: IResource | None = None
    """A twisted.web resource that answers in process, instead of any upstream."""

    def __attrs_post_init__(self) -> None:
        for base in self.upstreams:
            address_of(base)
        for name, value in self.fields:
            # The value is left out of what is said: it may be the service's key.
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError(f"the header field {name!r} cannot be sent")
            if name.lower() in HOP_BY_HOP | FRAMING:
                raise ValueError(f"the header field {name.decode()} is the gate's own to write")
        for path in (self.traits.health.path, self.traits.jobs):
            if path and not _PATH.fullmatch(path):
                raise ValueError(f"the path {path!r} does not begin with a slash or holds what a path cannot")

    def with_header(self, name: str, value: str) -> "Service":
        """The same service, with a field set on every request to it. Raises ValueError where it could not be sent."""
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"{name!r} is not a header name")
        if not value.isprintable() or not value.isascii():
            raise ValueError(f"the value of {name} holds what a header field cannot carry")
        return evolve(self, headers=(*self.headers, (name.encode(), value.encode())))

    def with_rules(self, *rules: Rule) -> "Service":
        """The same service, with rules that are asked before those of its kind."""
        return self.with_traits(rules=rules + self.traits.rules)

    def with_traits(self, **changes: Any) -> "Service":
        """The same service with some of its traits changed: `with_traits(concurrency=2)`."""
        return evolve(self, traits=evolve(self.traits, **changes))

    @property
    def route(self) -> str:
        """Where it is reached unless the configuration says otherwise."""
        return self.traits.route or f"/{self.name}/api"

    @property
    def fields(self) -> tuple[Pair, ...]:
        """All fields set on every request to the service."""
        return self.traits.headers + self.headers

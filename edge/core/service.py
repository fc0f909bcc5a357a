"""What the gate knows of one kind of service, as data."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Final

from attrs import field, frozen

ANY_METHOD: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
READ: Final = frozenset({"GET", "HEAD"})
POST: Final = frozenset({"POST"})


@frozen
class Rule:
    """Requests of one sort: what they need and what they are. The first rule that matches decides."""

    methods: frozenset[str]
    path: str
    """Glob over the mapped path, decoded once and without query: `/api/chat`, `/v1/models/*`."""
    scope: str = ""
    """The scope it needs: "" for none, "manage" for what changes the service; "never" for what passes nobody."""
    work: bool = False
    """Whether it occupies the hardware, so that queue and limits count it."""
    dialect: str = ""
    """The error dialect of this path's clients, where it differs from the service's."""
    model: str = ""
    """Where the request names its model: "json:model", "form:model", "path:3", "query:model"; "" where it names none."""
    models: str = ""
    """Where the answer lists models, so that it can be cut to what a key may use: "openai", "ollama", or ""."""
    units: str = ""
    """The name of what meters it (tokens, speech, transcription, images), "" for bytes and requests only."""

    def matches(self, method: str, path: str) -> bool:
        return method in self.methods and fnmatchcase(path, self.path)


@frozen
class Question:
    """How to ask a service if it is well: GET `path`, expect `status` and, where given, a JSON `key` or a `text`."""

    path: str = "/"
    status: frozenset[int] = frozenset({200})
    key: str = ""
    text: str = ""
    header: str = ""
    """A response header field that must be there, `server: uvicorn` or just a name; "" for none."""


MANAGED: Final = Rule(ANY_METHOD, "*", scope="manage")
"""What stands at the end of every list of rules: a path that its plugin does not name needs the scope `manage`."""


def same(rest: bytes) -> bytes:
    """The mapping that changes nothing: the rest of the path goes on byte for byte."""
    return rest


@frozen(kw_only=True)
class Traits:
    """One kind of service. Every part but the kind has a sensible default."""

    kind: str
    route: str = ""
    """The default route, `/chat/api`; "" for `/NAME/api`."""
    ports: tuple[int, ...] = ()
    """Usual loopback ports, for discovery."""
    health: Question = Question()
    rules: tuple[Rule, ...] = (Rule(ANY_METHOD, "*"),)
    """What may be asked; MANAGED is added at the end by whoever asks `rule_for`."""
    map: Callable[[bytes], bytes] = same
    """The raw rest of the path below the prefix (b"" or beginning with "/") → the raw path at the service."""
    dialect: str = "openai"
    concurrency: int | None = None
    upgrades: frozenset[bytes] = frozenset()
    """Protocols (lower-case) that a plain key may switch to: b"websocket"."""
    unload: tuple[str, str, Mapping[str, object]] | None = None
    """How to make it free its memory: (method, path, JSON)."""
    options: type | None = None
    """The attrs class of the plugin's own settings."""
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())
    """Fields set on every request to the service."""

    def rule_for(self, method: str, path: str) -> Rule:
        """The first rule for a method and a mapped, once-decoded path without query; MANAGED where none is named."""
        for rule in self.rules:
            if rule.matches(method, path):
                return rule
        return MANAGED

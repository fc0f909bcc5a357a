"""What the gate knows of one kind of service, as data."""

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Final

from attrs import field, frozen

SAY_WHERE: Final = 'say where it is: ["http://127.0.0.1:9000"]'
"""What is said of a service whose upstreams are not known."""
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
    page: bool = False
    """Whether a browser's page loads it by the dozen, so that it counts as no request against limits."""
    dialect: str = ""
    """The error dialect of this path's clients, where it differs from the service's."""
    model: str = ""
    """Where the request names its model: "json:model", "form:model", "query:model", "path:3" (the mapped path from its third
    segment on, since names hold slashes); "" where it names none."""
    models: str = ""
    """Where the answer lists models, so that it can be cut to what a key may use: "openai", "ollama", or ""."""
    units: str = ""
    """The name of what meters it (tokens, speech, transcription, images), "" for bytes and requests only."""


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


REMEMBERED_PATHS: Final = 1024
"""How many (method, path) pairs one kind of service keeps the rule of."""
REMEMBERED_LENGTH: Final = 256
"""Longer paths are judged anew each time, so that what is kept stays below a few hundred kilobytes."""

Find = Callable[[str, str], Rule]


def finder(rules: Iterable[Rule]) -> Find:
    """A function from (method, path) to the first rule that matches, MANAGED where none does; it never forgets the order."""
    listed = tuple(rules)
    known = frozenset().union(*(rule.methods for rule in listed))
    compiled: dict[str, list[tuple[Callable[[str], object], Rule]]] = {}

    def search(method: str, path: str) -> Rule:
        if method not in known:
            return MANAGED
        tests = compiled.get(method)
        if tests is None:
            # Compiled when first asked for: most kinds of service that are known are not in use.
            tests = [(re.compile(translate(r.path)).match, r) for r in listed if method in r.methods]
            compiled[method] = tests
        for match, rule in tests:
            if match(path):
                return rule
        return MANAGED

    remembered = lru_cache(maxsize=REMEMBERED_PATHS)(search)

    def find(method: str, path: str) -> Rule:
        return remembered(method, path) if len(path) <= REMEMBERED_LENGTH and method in known else search(method, path)

    return find


def same(rest: bytes) -> bytes:
    """The mapping that changes nothing: the rest of the path goes on byte for byte; an empty one is the root."""
    return rest or b"/"


@frozen(kw_only=True)
class Traits:
    """One kind of service. Every part but the kind has a sensible default."""

    kind: str
    route: str = ""
    """The default route, `/chat/api`; "" for `/NAME/api`."""
    ports: tuple[int, ...] = ()
    """Usual loopback ports of servers that answer `health`, for discovery."""
    needs_upstreams: bool = False
    """Whether the configuration must say where it is, since no port is usual for it and nothing else tells."""
    health: Question = Question()
    others: tuple[tuple[int, Question], ...] = ()
    """Further servers of this kind, each with its usual port and the question that tells it from anything else there."""
    rules: tuple[Rule, ...] = (Rule(ANY_METHOD, "*"),)
    """What may be asked; MANAGED is added at the end by whoever asks `rule_for`."""
    map: Callable[[bytes], bytes] = same
    """The raw rest of the path below the prefix (b"" or beginning with "/") → the raw path at the service."""
    dialect: str = "openai"
    concurrency: int | None = None
    upgrades: frozenset[bytes] = frozenset()
    """Protocols (lower-case) that a plain key may switch to: b"websocket"."""
    unload: tuple[str, str, Mapping[str, object]] | None = None
    """How to make it free its memory: (method, path, JSON); a value "{model}" stands for the name of what is loaded."""
    jobs: str = ""
    """Where its queue is told, `/queue`, if it answers at once and works later; the place is held until a job has ended."""
    options: type | None = None
    """The attrs class of the plugin's own settings."""
    headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    """Fields set on every request to the service; not shown, since they may hold its key."""
    rule_for: Find = field(init=False, eq=False, repr=False)
    """`rule_for(method, path)`: the first rule for a method and a mapped, once-decoded path without query; MANAGED where
    none is named. Asked for every request, so the patterns are compiled once and recent answers are kept."""

    @rule_for.default
    def _compiled(self) -> Find:
        return finder(self.rules)

    @property
    def probes(self) -> tuple[tuple[int, Question], ...]:
        """(loopback port, question) pairs by which a server of this kind is found."""
        return tuple((port, self.health) for port in self.ports) + self.others

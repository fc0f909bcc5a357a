"""What a plugin, a store, an authenticator or a sink must do: contracts in prose, for whoever writes another one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.web.resource import IResource
from zope.interface import Attribute, Interface

from edge.core.attempts import Attempt
from edge.core.keys import Key
from edge.core.levels import Level, Verdict
from edge.core.service import Rule, Traits

# zope.interface methods have no `self`, and their bodies are their docstrings.
# mypy: disable-error-code="empty-body"
# ruff: noqa: N805


class IKeyStore(Interface):
    """Where the gate finds keys. Asked on every request, so every method answers at once from memory.

    A store that has never been able to read its keys, or cannot tell, raises `edge.errors.StoreError`; whoever asks
    then refuses with `store-unavailable`. A store that read its keys once keeps answering from the last good reading.
    """

    generation = Attribute("An int that grows with every change of the keys.")
    epoch = Attribute(
        "An object that is another one whenever an answer of `find` may be another one; None where each must be asked for."
    )

    def find(secret: bytes) -> Key | None:
        """The key that a secret belongs to, disabled and expired ones included; None where it belongs to none.

        Constant work: the secret is digested once for each live pepper and looked up, never compared with another. A
        value that begins like a key of ours and fails its checksum is not looked up. The secret is neither kept nor
        logged.
        """

    def get(key_id: str) -> Key | None:
        """The key with an id, or None: for tickets, and for what is open."""

    def subscribe(changed: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call `changed` with the ids of the keys whose rules were changed or that are gone, after `get` tells the new truth.

        Returns a function that ends the subscription. New keys are no change.
        """

    def status() -> Mapping[str, object]:
        """What operators see: `generation`, `keys` (count), `loaded` (Unix seconds), `problem` ("" or words); a store
        that reads them anew may tell `reads` and `failures`, how often it did and could not."""


class IAttemptSink(Interface):
    """Where every attempt to get in is put on record: the audit log, and the counters of the metrics."""

    def attempt(attempt: Attempt) -> None:
        """Take note; must not block. What it raises is logged and has no effect on the request."""


class IServicePlugin(Interface):
    """What the gate knows of one kind of service.

    An operator drops a file that makes one object of this kind into a folder of `plugin_dirs`, or installs a package with
    an entry point in the group `aigate.plugins`; nothing else of the gate is touched.
    """

    name = Attribute("`str`, as `plugin = …` in the configuration names it: lower-case letters, digits, `-` and `_`.")
    api = Attribute("`int`, the version of this interface that the plugin was written for: 1.")

    def configure(settings: Mapping[str, Any], bench: "IBench") -> "IService":
        """One service of this kind, made once for each that the configuration names, before anything listens.

        `settings` is a mapping: `name` (str), `upstreams` (tuple of str, empty where the configuration names none), `route`
        (str, "" where it names none) and `options` (the plugin's own settings: an object of the attrs class that its traits
        name, or an empty dict).
        `bench` provides IBench and is all that a plugin may use.
        Returns an IService. Whatever is raised stops the start and is shown to the operator with this file's line.
        """


class IKnownKind(Interface):
    """A further power of a plugin: it says its traits before it is configured.

    With it, discovery looks for the service, its options are checked by the class that the traits name, and other
    plugins can build upon it through `bench.like(name, …)`.
    """

    traits = Attribute("`edge.core.service.Traits`.")


class IService(Interface):
    """One service as the gate runs it: `bench` makes them."""

    name = Attribute("`str`, as the configuration calls it.")
    traits = Attribute("`edge.core.service.Traits`: what is known of its kind.")
    upstreams = Attribute("Base addresses, a tuple of `str`; empty where `resource` answers.")
    resource = Attribute("A `twisted.web.resource.IResource` that answers in this process, or None.")
    fields = Attribute("Header fields set on every request to the service: a tuple of (bytes, bytes).")
    route = Attribute("`str`: where it is reached unless the configuration says otherwise.")

    def with_header(name: str, value: str) -> "IService":
        """The same service, with a field (two `str`) set on every request to it. Raises ValueError for one that cannot be
        sent, and for Host and the fields of a connection, which are the gate's."""

    def with_rules(*rules: Rule) -> "IService":
        """The same service, with `edge.core.service.Rule`s that are asked before those of its kind."""

    def with_traits(**changes: Any) -> "IService":
        """The same service with some of its traits changed."""


class IBench(Interface):
    """All that a plugin may use. Nothing in it is global; each service has a bench of its own."""

    name = Attribute("`str`: the name of the service that is being configured.")
    clock = Attribute("`twisted.internet.interfaces.IReactorTime`.")
    agent = Attribute("`twisted.web.iweb.IAgent` for requests of the plugin's own, or None where nothing may be asked.")
    processes = Attribute("`twisted.internet.interfaces.IReactorProcess`, or None where no process may be started.")
    folder = Attribute("`pathlib.Path`: a folder of the service's own in the data folder, which may not exist yet.")
    log = Attribute("`twisted.logger.Logger` whose lines bear the service's name.")

    def like(kind: str, upstreams: Iterable[str]) -> IService:
        """A service of a kind that another plugin knows (`str`), at base addresses (any iterable of `str`); none given:
        the kind's usual port on this machine. Raises ConfigError where there is no such kind, or no usual port."""

    def openai(upstreams: Iterable[str]) -> IService:
        """An OpenAI-style service; the same as `like("openai", upstreams)`."""

    def ollama(upstreams: Iterable[str]) -> IService:
        """An Ollama service; the same as `like("ollama", upstreams)`."""

    def http(upstreams: Iterable[str]) -> IService:
        """Any HTTP service, every method and path of it; the same as `like("http", upstreams)`."""

    def proxy(upstreams: Iterable[str], traits: Traits) -> IService:
        """A service at base addresses, with traits of the plugin's own."""

    def local(resource: IResource, traits: Traits) -> IService:
        """A service that a twisted.web resource answers in this process. It sees requests that were admitted, with the
        body (at most 1 MiB) already read and the path below the service's route in `postpath`."""


class ILimitEngine(Interface):
    """Where limits are counted: in this process, or in a store that several gates share.

    Every method is a coroutine; one that counts in memory ends without ever waiting. Times are Unix seconds.
    """

    shared = Attribute("Whether other gates count in the same place, so that places at the hardware need a lease.")
    decide = Attribute("`take` as a plain function where nothing is ever waited for, else None.")

    async def take(levels: Sequence[Level], costs: Sequence[float], now: float) -> Verdict:
        """Charge each cost to its level, in one atomic step: every level, or none where one of them refuses.

        A level in shadow never refuses; it is charged where the cost fits. Raises StoreError where the count cannot
        be reached and nobody may pass uncounted; what was charged nonetheless is given back later.
        """

    async def settle(levels: Sequence[Level], corrections: Sequence[float], windows: Sequence[int], now: float) -> None:
        """Add to each level what a charge turned out to differ by (negative gives back); a calendar period that has
        ended since, told by its number in `windows`, is left alone. Never raises: what cannot be told now is kept,
        bounded, and told later."""

    async def look(levels: Sequence[Level], now: float) -> Verdict:
        """How the levels stand, charging nothing. Raises StoreError."""

    async def lease(holder: str, bounds: Sequence[tuple[str, int]]) -> bool:
        """Take one place in every (name, size) for `holder`, or none; asked again by the same holder, it renews them.

        A lease that is not renewed ends by itself. Raises StoreError.
        """

    async def free(holder: str, bounds: Sequence[tuple[str, int]]) -> None:
        """Give the holder's places back; harmless when it holds none. Never raises."""


class IStreamed(Interface):
    """Marks a `twisted.web.resource.IResource` of the gate's own kind: `render` is called when the head is complete.

    Its request is an `edge.wire.request.Request`: the body streams, and so does the answer. A resource without this mark
    gets a genuine `twisted.web.server.Request` with its whole body, at most 1 MiB, once the request was admitted.
    """

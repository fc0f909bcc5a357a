"""What a plugin, a store, an authenticator or a sink must do: contracts in prose, for whoever writes another one."""

from collections.abc import Callable, Mapping

from zope.interface import Attribute, Interface

from edge.core.attempts import Attempt
from edge.core.keys import Key

# zope.interface methods have no `self`, and their bodies are their docstrings.
# mypy: disable-error-code="empty-body"
# ruff: noqa: N805


class IKeyStore(Interface):
    """Where the gate finds keys. Asked on every request, so every method answers at once from memory.

    A store that has never been able to read its keys, or cannot tell, raises `edge.errors.StoreError`; whoever asks
    then refuses with `store-unavailable`. A store that read its keys once keeps answering from the last good reading.
    """

    generation = Attribute("An int that grows with every change of the keys.")

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
        """What operators see: `generation`, `keys` (count), `loaded` (Unix seconds), `problem` ("" or words)."""


class IAttemptSink(Interface):
    """Where every attempt to get in is put on record: the audit log, and the counters of the metrics."""

    def attempt(attempt: Attempt) -> None:
        """Take note; must not block. What it raises is logged and has no effect on the request."""

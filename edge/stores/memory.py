"""Keys in memory: for tests, for plugin authors, and the plainest statement of what a key store does."""

from collections.abc import Callable, Mapping
from secrets import token_bytes

from zope.interface import implementer

from edge.core.digests import PEPPER_BYTES, digester
from edge.core.keys import Key
from edge.core.secrets import possible
from edge.interfaces import IKeyStore

Changed = Callable[[frozenset[str]], None]


class Subscribers:
    """Who wants to hear of changed keys."""

    def __init__(self) -> None:
        self._callbacks: dict[object, Changed] = {}

    def add(self, changed: Changed) -> Callable[[], None]:
        token = object()
        self._callbacks[token] = changed

        def end() -> None:
            self._callbacks.pop(token, None)

        return end

    def tell(self, ids: frozenset[str]) -> None:
        if ids:
            for changed in list(self._callbacks.values()):
                changed(ids)


@implementer(IKeyStore)
class MemoryKeyStore:
    """A key store that starts empty and is filled with `put`."""

    def __init__(self) -> None:
        self.generation = 0
        self._epoch = object()
        self._digest = digester(token_bytes(PEPPER_BYTES))
        self._by_digest: dict[bytes, str] = {}
        self._by_id: dict[str, Key] = {}
        self._subscribers = Subscribers()

    @property
    def epoch(self) -> object:
        return self._epoch

    def put(self, key: Key, secret: str | None = None) -> None:
        """Add a key with its secret, or change the rules of one that is there (no secret)."""
        new = key.id not in self._by_id
        if new and secret is None:
            raise ValueError(f"key {key.id} is new and needs a secret")
        if secret is not None:
            self._by_digest[self._digest(secret.encode())] = key.id
        self._by_id[key.id] = key
        self.generation += 1
        self._epoch = object()
        if not new:
            self._subscribers.tell(frozenset({key.id}))

    def remove(self, key_id: str) -> None:
        """Forget a key and its secret; an unknown id changes nothing."""
        if self._by_id.pop(key_id, None) is None:
            return
        self._by_digest = {digest: owner for digest, owner in self._by_digest.items() if owner != key_id}
        self.generation += 1
        self._epoch = object()
        self._subscribers.tell(frozenset({key_id}))

    def find(self, secret: bytes) -> Key | None:
        if not possible(secret):
            return None
        key_id = self._by_digest.get(self._digest(secret))
        return None if key_id is None else self._by_id[key_id]

    def get(self, key_id: str) -> Key | None:
        return self._by_id.get(key_id)

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        return self._subscribers.add(changed)

    def status(self) -> Mapping[str, object]:
        return {"generation": self.generation, "keys": len(self._by_id), "loaded": None, "problem": ""}

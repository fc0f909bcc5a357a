"""Keys in memory."""

import pytest

from edge.core.keys import Key
from edge.stores.memory import MemoryKeyStore
from edge.testing import KeyStoreContract, key


class TestMemoryKeyStore(KeyStoreContract):
    def store(self) -> MemoryKeyStore:
        return MemoryKeyStore()

    def put(self, store: MemoryKeyStore, key: Key, secret: str | None = None) -> None:  # type: ignore[override]
        store.put(key, secret)

    def remove(self, store: MemoryKeyStore, key_id: str) -> None:  # type: ignore[override]
        store.remove(key_id)


def test_a_new_key_needs_a_secret() -> None:
    with pytest.raises(ValueError, match="needs a secret"):
        MemoryKeyStore().put(key())

"""What tests of the gate and of its plugins share: contract mixins, and small makers of values."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from edge.backends.bench import Bench
from edge.core.exchange import Arrival, Exchange, Route
from edge.core.headers import fields
from edge.core.keys import Key
from edge.core.secrets import mint
from edge.home import shipped
from edge.interfaces import IKeyStore, IKnownKind, IService, IServicePlugin
from edge.registry import Registry
from edge.stores.memory import MemoryKeyStore


def arrival(method: str = "GET", path: bytes = b"/chat/api/v1/models", **known: Any) -> Arrival:
    """An arrival with plain values for everything that is not given; `headers` takes a list of pairs."""
    path, mark, query = path.partition(b"?")
    headers = known.pop("headers", [])
    return Arrival(
        **{
            "id": "r1",
            "method": method,
            "host": "gate.test",
            "target": path + mark + query,
            "path": path,
            "query": query if mark else None,
            "fields": fields(headers),
            "peer": "192.0.2.7",
            "client": "192.0.2.7",
            "secure": True,
            "protocol": "HTTP/1.1",
            "listener": "https",
            "at": 1_000_000.0,
            "started": 1_000.0,
            **known,
        }
    )


def exchange(service: str = "chat", prefix: bytes = b"/chat/api", **known: Any) -> Exchange:
    """An exchange along a route to `service`; what else is given goes into its arrival."""
    methods = frozenset({known.get("method", "GET")})
    return Exchange(arrival(**known)).along(Route(service, prefix, methods))


def key(key_id: str = "0badcafe", user: str = "alice", services: tuple[str, ...] = ("chat",), **rules: Any) -> Key:
    """A key with these rules."""
    return Key(id=key_id, user=user, services=frozenset(services), **rules)


def secret(key_id: str = "0badcafe") -> str:
    """A fresh secret of our form for a key id."""
    return mint(key_id, uuid4())


class KeyStoreContract:
    """What every `IKeyStore` must do. Mix it into a test class and provide `store`, `put` and `remove`.

    After `put` or `remove` returns the store must tell the new truth.
    """

    def store(self) -> IKeyStore:
        raise AssertionError("a test class provides its store")

    def put(self, store: IKeyStore, key: Key, secret: str | None = None) -> None:
        raise AssertionError("a test class says how a key is added (with a secret) or changed (without)")

    def remove(self, store: IKeyStore, key_id: str) -> None:
        raise AssertionError("a test class says how a key is deleted")

    def test_provides_its_interface(self) -> None:
        assert verifyObject(IKeyStore, self.store())

    def test_a_key_is_found_by_its_secret_and_by_its_id(self) -> None:
        store, made, shown = self.store(), key(), secret()
        self.put(store, made, shown)
        assert store.find(shown.encode()) == made
        assert store.get("0badcafe") == made

    def test_nothing_else_is_found(self) -> None:
        store, shown = self.store(), secret()
        self.put(store, key(), shown)
        other_end = shown[:-1] + ("0" if shown[-1] != "0" else "1")
        for value in (
            b"",
            b"x" * 5000,
            secret().encode(),
            other_end.encode(),
            shown.upper().encode(),
            shown.encode() + b" ",
        ):
            assert store.find(value) is None
        assert store.get("00000000") is None

    def test_imported_keys_of_any_form_are_found(self) -> None:
        store = self.store()
        self.put(store, key("00000001"), "hunter2")
        found = store.find(b"hunter2")
        assert found is not None
        assert found.id == "00000001"

    def test_disabled_and_expired_keys_are_found_so_that_their_holders_can_be_told(self) -> None:
        store, shown = self.store(), secret()
        self.put(store, key(disabled=True, expires=1.0), shown)
        found = store.find(shown.encode())
        assert found is not None
        assert found.disabled

    def test_a_change_is_told_to_subscribers_after_it_counts(self) -> None:
        store, shown = self.store(), secret()
        self.put(store, key(), shown)
        heard: list[tuple[frozenset[str], bool]] = []

        def changed(ids: frozenset[str]) -> None:
            now = store.get("0badcafe")
            heard.append((ids, now is None or now.disabled))

        end = store.subscribe(changed)
        self.put(store, key("00000002"), secret("00000002"))
        assert heard == []
        self.put(store, key(disabled=True))
        self.remove(store, "0badcafe")
        assert heard == [(frozenset({"0badcafe"}), True)] * 2
        end()
        self.remove(store, "00000002")
        assert len(heard) == 2

    def test_a_removed_key_is_gone(self) -> None:
        store, shown = self.store(), secret()
        self.put(store, key(), shown)
        self.remove(store, "0badcafe")
        assert store.find(shown.encode()) is None
        assert store.get("0badcafe") is None

    def test_whatever_changes_an_answer_begins_another_epoch(self) -> None:
        store = self.store()
        seen = [store.epoch]
        self.put(store, key(), secret())
        seen.append(store.epoch)
        assert store.epoch is seen[-1]
        self.put(store, key(disabled=True))
        seen.append(store.epoch)
        self.remove(store, "0badcafe")
        seen.append(store.epoch)
        known = [epoch for epoch in seen if epoch is not None]
        assert len({id(epoch) for epoch in known}) == len(known)

    def test_every_change_grows_the_generation(self) -> None:
        store = self.store()
        seen = [store.generation]
        self.put(store, key(), secret())
        seen.append(store.generation)
        self.put(store, key(user="bob"))
        seen.append(store.generation)
        self.remove(store, "0badcafe")
        seen.append(store.generation)
        assert seen == sorted(set(seen))
        assert store.status()["generation"] == seen[-1]
        assert store.status()["keys"] == 0


def bench(name: str = "service", **known: Any) -> Bench:
    """A bench for a service of that name, with a clock that stands still and every kind that the shipped plugins know."""
    given = {"clock": Clock(), "folder": Path("unmade"), "kinds": Registry.load(shipped("plugins"), points=()).kinds}
    return Bench(name=name, **{**given, **known})


class ServicePluginContract:
    """What every `IServicePlugin` must do. Mix it into a test class and provide `plugin`; `settings` where it needs some."""

    def plugin(self) -> Any:
        raise AssertionError("a test class provides its plugin")

    def settings(self) -> dict[str, Any]:
        traits = getattr(self.plugin(), "traits", None)
        options = traits.options() if traits is not None and traits.options is not None else {}
        return {"name": "thing", "upstreams": ("http://127.0.0.1:9",), "route": "", "options": options}

    def service(self) -> Any:
        return self.plugin().configure(self.settings(), bench("thing"))

    def test_provides_its_interface(self) -> None:
        assert verifyObject(IServicePlugin, self.plugin())
        assert self.plugin().api == 1

    def test_what_it_says_beforehand_is_what_its_services_are(self) -> None:
        if IKnownKind.providedBy(self.plugin()):
            assert self.service().traits.kind == self.plugin().traits.kind

    def test_makes_a_service_of_the_given_name_that_is_somewhere(self) -> None:
        service = self.service()
        assert verifyObject(IService, service)
        assert service.name == "thing"
        assert bool(service.upstreams) != (service.resource is not None)
        assert service.route.strip("/")

    def test_paths_are_mapped_to_paths_and_those_of_the_service_to_themselves(self) -> None:
        mapping = self.service().traits.map
        for rest in (b"", b"/", b"/v1/models", b"/x", b"//", b"/%2e", b"/a%2Fb", b"/\xff"):
            mapped = mapping(rest)
            assert mapped.startswith(b"/")
            assert mapping(mapped) == mapped

    def test_every_rule_is_made_of_known_words(self) -> None:
        for rule in self.service().traits.rules:
            assert rule.scope in ("", "manage", "never")
            assert rule.dialect in ("", "openai", "anthropic", "ollama")
            assert rule.models in ("", "openai", "ollama")
            assert rule.units in ("", "tokens", "speech", "transcription", "images")
            assert rule.model.partition(":")[0] in ("", "json", "form", "path", "query")
            assert rule.path.startswith(("/", "*"))


class RecordedAttempts:
    """An attempt sink that remembers, newest last."""

    def __init__(self) -> None:
        self.attempts: list[Any] = []

    def attempt(self, attempt: Any) -> None:
        self.attempts.append(attempt)


__all__ = [
    "KeyStoreContract",
    "MemoryKeyStore",
    "RecordedAttempts",
    "ServicePluginContract",
    "arrival",
    "bench",
    "exchange",
    "key",
    "secret",
]

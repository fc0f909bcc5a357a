"""One gate and one lying server for a module's tests; services of every kind that they need."""

from collections.abc import Iterator

import pytest

from tests.hostile.rogue import Rogue
from tests.live.gate import Gate


@pytest.fixture(scope="module")
def rogue() -> Iterator[Rogue]:
    with Rogue() as running:
        yield running


@pytest.fixture(scope="module")
def gate(rogue: Rogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    services = {
        "any": {"plugin": "http", "route": "/any/api", "upstreams": [rogue.url], "options": {"websocket": True}},
        "chat": {"plugin": "ollama", "route": "/chat/api", "upstreams": [rogue.url]},
        "dead": {"plugin": "http", "route": "/dead/api", "upstreams": ["http://127.0.0.1:9"]},
    }
    more = '[limits]\nrequests = "1000000/minute"\n[lockout]\nfailures = 1000000\n'
    with Gate(tmp_path_factory.mktemp("gate"), services, more, plain=True) as running:
        yield running
        assert "Traceback" not in running.log()

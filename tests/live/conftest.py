"""What the live tests share: one server behind, one gate before it, for a whole module."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.gate import Gate
from tests.live.upstream import Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def gate(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """`any` forwards everything to `upstream`, `comfy` is an image service there, `chat` and `tts` are the demo."""
    services: dict[str, dict[str, Any]] = {
        "any": {"plugin": "http", "route": "/any/api", "upstreams": [upstream.url]},
        "comfy": {"plugin": "image", "route": "/image/api", "upstreams": [upstream.url]},
        "dead": {"plugin": "http", "route": "/dead/api", "upstreams": ["http://127.0.0.1:9"]},
        "chat": {"plugin": "demo", "route": "/chat/api"},
        "tts": {"plugin": "demo", "route": "/tts/api"},
    }
    more = '[cors]\norigins = ["https://app.example"]\n'
    with Gate(tmp_path_factory.mktemp("gate"), services, more, plain=True) as running:
        yield running

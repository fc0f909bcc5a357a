"""`/usage` of the ops listener: what it is asked."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.assemble.usage import PARAMETERS, usage_page
from edge.config.schema import Config

NOW = 1_790_000_000.0


async def in_thread(function, *args):
    return function(*args)


def ask(tmp_path: Path, query: bytes) -> tuple[int, dict]:
    """Status and document."""
    said = []
    request = SimpleNamespace(
        query=query, finished=False, ledger=SimpleNamespace(reason="", ended=""), early=b"", answered=False, extra=b"", standing=b"",
        dialect="", origin_allowed=None, exchange=SimpleNamespace(arrival=SimpleNamespace(id="d41e0000")),
        reply=lambda status, pairs, body: said.append((status, json.loads(body))),
    )  # fmt: skip
    with pytest.raises(StopIteration):
        usage_page(Config(), tmp_path, in_thread, lambda: NOW)(request).send(None)
    return said[0]


@pytest.mark.parametrize("query", [b"", b"by=day&since=24h", b"since=30000d", b"a=1&" * (PARAMETERS - 1) + b"by=model"])
def test_reports_are_told(tmp_path, query):
    status, made = ask(tmp_path, query)
    assert status == 200 and made["lines"] == []


def test_requests_are_listed(tmp_path):
    status, made = ask(tmp_path, b"requests=5&user=%ff%00")
    assert status == 200 and made["requests"] == []


@pytest.mark.parametrize(
    "query",
    [b"by=secrets", b"since=yesterday", b"since=1e9d", b"requests=-1", b"requests=100000", b"a=1&" * PARAMETERS + b"by=model", b"&" * 20_000],
)  # fmt: skip
def test_a_question_that_is_none_is_400_and_told_what_may_be_asked(tmp_path, query):
    status, told = ask(tmp_path, query)
    assert status == 400 and "?by=user|key|" in str(told) and "10 parameters at most" in str(told)

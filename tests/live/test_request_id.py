"""Ids of requests, as servers behind the gate see them."""

import subprocess
from uuid import UUID

import pytest

from tests.live.gate import Gate

pytestmark = pytest.mark.live


def test_ids_are_uuids_which_some_servers_insist_on_and_no_two_are_the_same(gate: Gate) -> None:
    url = f"{gate.url}/status"
    done = subprocess.run(
        ["curl", "-sSi", "--cacert", str(gate.ca), "-H", f"@{gate.header}", url, url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    ids = [line.split()[1] for line in done.stdout.splitlines() if line.lower().startswith("x-request-id:")]
    assert len(set(ids)) == 2
    assert all(str(UUID(one)) == one and UUID(one).version == 4 for one in ids)

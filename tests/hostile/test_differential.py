"""The corpus against the gate, and against nginx, HAProxy and Caddy where they are installed."""

import socket
from collections import Counter

import pytest

from tests.hostile.corpus import cases, filled
from tests.hostile.peers import PEERS, Peer, absent
from tests.hostile.rogue import OK, Line, Rogue
from tests.live.gate import Gate

pytestmark = pytest.mark.live

CASES = cases()
EXPLAINED: dict[str, frozenset[tuple[str, str]]] = {}
"""By peer: what it refuses and the gate takes. docs/threats.md has the reasons."""


class Listener:
    """Keeps what came through: every request as (target, body)."""

    def __init__(self, rogue: Rogue) -> None:
        self.taken: list[tuple[bytes, bytes]] = []
        self.rogue = rogue
        rogue.scripts.clear()
        self._scripts()

    def _scripts(self) -> None:
        listener = self

        class Any(dict[str, object]):
            def get(self, path: str, otherwise: object = None) -> object:  # type: ignore[override]
                return listener.take

        self.rogue.scripts = Any()  # type: ignore[assignment]

    def take(self, line: Line) -> None:
        body = line.body()
        self.taken.append((line.head.split(b" ", 2)[1], body))
        line.send(OK)


def offer(port: int, data: bytes) -> tuple[list[int], bool]:
    """(the statuses that came back, whether the connection was closed) for bytes on a connection of their own."""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as line:
        line.sendall(data)
        line.settimeout(0.35)
        back = b""
        closed = False
        try:
            while True:
                part = line.recv(65536)
                if not part:
                    closed = True
                    break
                back += part
                if b"\r\n\r\n" in back and not closed:
                    line.settimeout(0.02)
        except TimeoutError:
            pass
        except OSError:
            closed = True
    statuses = [int(one[:3]) for one in back.split(b"HTTP/1.1 ")[1:] if one[:3].isdigit()]
    return statuses, closed


@pytest.fixture(scope="module")
def listener(rogue: Rogue) -> Listener:
    return Listener(rogue)


def test_the_corpus_is_large_and_every_case_has_a_name_of_its_own() -> None:
    assert len(CASES) >= 200
    assert not [name for name, count in Counter((case.group, case.name) for case in CASES).items() if count > 1]


@pytest.mark.parametrize("group", sorted({case.group for case in CASES}))
def test_what_goes_on_is_what_was_judged_and_nothing_ambiguous_goes_on(
    gate: Gate, listener: Listener, group: str
) -> None:
    wrong = []
    for case in CASES:
        if case.group != group:
            continue
        listener.taken.clear()
        statuses, closed = offer(gate.port("plain"), filled(case, gate.key))
        if case.target is None:
            good = not listener.taken and (closed or bool(statuses)) and all(400 <= one < 600 for one in statuses)
        else:
            good = listener.taken == [(case.target, case.body)] and statuses == [200]
        if not good:
            wrong.append((case.name, statuses, closed, list(listener.taken)))
    assert not wrong


@pytest.mark.parametrize("name", PEERS)
def test_the_gate_lets_nothing_through_that_a_peer_refuses_but_what_is_explained(
    rogue: Rogue, listener: Listener, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The other way round is the rule, and docs/threats.md says of each class why."""
    missing = absent(name)
    if missing:
        pytest.skip(f"{missing}; `make test-deps` installs it")
    with Peer(name, tmp_path_factory.mktemp(name), rogue.port) as peer:
        stricter = set()
        for case in CASES:
            if case.target is None or (case.group, case.name) in EXPLAINED.get(name, ()):
                continue
            listener.taken.clear()
            offer(peer.port, filled(case, "key"))
            if not listener.taken:
                stricter.add((case.group, case.name))
    assert stricter == set()

"""Looking up names: one thread for a name, none of the reactor's, and nobody waits for one that hangs."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.interfaces import IResolutionReceiver
from zope.interface import implementer

from edge.transport.names import MOST, Names


@implementer(IResolutionReceiver)
class Receiver:
    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.complete = 0

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        self.resolution = resolutionInProgress

    def addressResolved(self, address: Any) -> None:
        self.hosts.append(address.host)

    def resolutionComplete(self) -> None:
        self.complete += 1


class Reactor:
    """Keeps what threads hand over until a test runs it."""

    def __init__(self) -> None:
        self.came = threading.Semaphore(0)
        self.calls: list[Any] = []

    def callFromThread(self, function: Any, *args: Any) -> None:
        self.calls.append((function, args))
        self.came.release()

    def run(self) -> None:
        assert self.came.acquire(timeout=5)
        function, args = self.calls.pop(0)
        function(*args)


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Look-ups hang until it is set."""
    event = threading.Event()
    asked: list[str] = []

    def hanging(host: str, port: int, type: int = 0) -> Any:
        asked.append(host)
        event.wait(10)
        if host == "nobody.example":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            (socket.AF_INET6, type, 6, "", ("2001:db8::1", port, 0, 0)),
            (socket.AF_INET, type, 6, "", ("192.0.2.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    event.asked = asked  # type: ignore[attr-defined]
    yield event
    event.set()


def test_many_who_ask_for_one_name_share_a_look_up_and_one_may_give_up(go: Any) -> None:
    reactor = Reactor()
    names = Names(reactor)
    receivers = [Receiver() for _ in range(5)]
    for receiver in receivers:
        names.resolveHostName(receiver, "gpu.example", 80)
    receivers[2].resolution.cancel()
    go.set()
    reactor.run()
    assert go.asked == ["gpu.example"]
    assert [one.complete for one in receivers] == [1, 1, 0, 1, 1]
    assert receivers[0].hosts == ["2001:db8::1", "192.0.2.1"]
    assert receivers[2].hosts == []


def test_a_name_that_nobody_knows_has_no_address(go: Any) -> None:
    go.set()
    reactor, receiver = Reactor(), Receiver()
    Names(reactor).resolveHostName(receiver, "nobody.example", 80)
    reactor.run()
    assert (receiver.complete, receiver.hosts) == (1, [])


def test_there_are_never_more_than_so_many_at_once(go: Any) -> None:
    reactor = Reactor()
    names = Names(reactor)
    before = threading.active_count()
    receivers = [Receiver() for _ in range(MOST + 10)]
    for number, receiver in enumerate(receivers):
        names.resolveHostName(receiver, f"n{number}.example", 80)
    assert threading.active_count() - before <= MOST
    assert [one.complete for one in receivers] == [0] * MOST + [1] * 10
    assert all(one.daemon for one in threading.enumerate() if one.name.startswith("look up"))
    go.set()
    for _ in range(MOST):
        reactor.run()
    assert all(one.complete == 1 for one in receivers)

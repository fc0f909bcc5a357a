"""Connecting: who answers, who does not, names, and giving up at any time."""

import socket

import pytest
import pytest_twisted
from twisted.internet import defer, task
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionRefusedError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IHostnameResolver
from zope.interface import implementer

from edge.transport.connect import connect
from edge.transport.listen import listen

together = pytest_twisted.ensureDeferred


@pytest.fixture
def nobody():
    """A port on which nobody listens."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        yield made.getsockname()[1]


@implementer(IHostnameResolver)
class Names:
    """Resolves every name to `addresses`, or never."""

    def __init__(self, addresses, answers=True):
        self.addresses, self.answers, self.cancelled = addresses, answers, False

    def resolveHostName(self, receiver, hostName, portNumber=0, addressTypes=None, transportSemantics="TCP"):
        from twisted.internet.address import IPv4Address, IPv6Address

        self.name = hostName
        receiver.resolutionBegan(self)
        if self.answers:
            for one in self.addresses:
                receiver.addressResolved((IPv6Address if ":" in one else IPv4Address)("TCP", one, portNumber))
            receiver.resolutionComplete()
        return self

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def names(reactor):
    before = reactor.nameResolver

    def use(*addresses, answers=True):
        made = Names(addresses, answers)
        reactor.installNameResolver(made)
        return made

    yield use
    reactor.installNameResolver(before)


@pytest.fixture
def answering(reactor, fast, protocols, kinds, closing):
    factory = protocols(kinds["echoes"])
    port = listen(reactor, fast, "127.0.0.1:0", factory)
    closing.append(port)
    return port.getHost().port


@together
async def test_nobody_there_is_a_refusal(reactor, fast, protocols, kinds, nobody):
    with pytest.raises(ConnectionRefusedError):
        await connect(reactor, fast, "127.0.0.1", nobody, protocols(kinds["remembers"]))


@together
async def test_no_unix_socket_there_is_an_error(reactor, fast, protocols, kinds, tmp_path):
    with pytest.raises(ConnectError):
        await connect(reactor, fast, str(tmp_path / "none"), None, protocols(kinds["remembers"]))


@together
async def test_a_name_is_looked_up_and_its_addresses_tried_in_turn(
    reactor, fast, protocols, kinds, names, answering, closing
):
    names("::1", "127.0.0.2", "127.0.0.1")
    made = await connect(reactor, fast, "ollama", answering, protocols(kinds["remembers"]))
    closing.append(made)
    made.transport.write(b"x")
    assert await made.heard(1) == b"x"


@together
async def test_the_system_knows_localhost(reactor, fast, protocols, kinds, answering, closing):
    made = await connect(reactor, fast, "localhost", answering, protocols(kinds["remembers"]))
    closing.append(made)


@together
async def test_a_name_without_an_address_is_said(reactor, fast, protocols, kinds, names):
    names()
    with pytest.raises(DNSLookupError, match="nowhere"):
        await connect(reactor, fast, "nowhere", 80, protocols(kinds["remembers"]))


@together
async def test_a_name_server_that_never_answers_costs_no_more_than_the_timeout(reactor, fast, protocols, kinds, names):
    resolver = names(answers=False)
    with pytest.raises(ConnectTimeout):
        await connect(reactor, fast, "slow", 80, protocols(kinds["remembers"]), timeout=0.1)
    assert resolver.cancelled


@pytest.fixture
def deaf():
    """An address that never completes a handshake: its backlog is full."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen(0)
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(made.getsockname())
            fillers.append(filler)
        yield made.getsockname()[1]
        for filler in fillers:
            filler.close()


@together
async def test_who_never_answers_is_a_timeout(reactor, fast, protocols, kinds, deaf):
    with pytest.raises(ConnectTimeout):
        await connect(reactor, fast, "127.0.0.1", deaf, protocols(kinds["remembers"]), timeout=0.1)


@pytest.mark.parametrize("wait", [None, 0, 0.05])
@pytest.mark.parametrize("host", ["127.0.0.1", "named"])
@together
async def test_giving_up_at_any_time_leaves_nothing_behind(reactor, fast, protocols, kinds, deaf, names, wait, host):
    names("127.0.0.1")
    readers = set(reactor.getReaders())
    factory = protocols(kinds["remembers"])
    connecting = connect(reactor, fast, host, deaf, factory, timeout=5)
    if wait is not None:
        await task.deferLater(reactor, wait)
    connecting.cancel()
    with pytest.raises((ConnectingCancelledError, defer.CancelledError)):
        await connecting
    await task.deferLater(reactor, 0.02)
    assert set(reactor.getReaders()) == readers and not factory.made
    assert not [call for call in reactor.getDelayedCalls() if "failIfNotConnected" in str(call)]


@together
async def test_giving_up_while_the_name_is_looked_up_stops_the_look_up(reactor, fast, protocols, kinds, names):
    resolver = names(answers=False)
    connecting = connect(reactor, fast, "slow", 80, protocols(kinds["remembers"]))
    connecting.cancel()
    with pytest.raises(defer.CancelledError):
        await connecting
    assert resolver.cancelled


@together
async def test_a_service_that_never_shakes_hands_is_given_up(reactor, fast, protocols, kinds, answering, asking):
    from twisted.internet.protocol import Factory, Protocol

    port = listen(reactor, fast, "127.0.0.1:0", Factory.forProtocol(Protocol))
    made = await connect(reactor, fast, "127.0.0.1", port.getHost().port, protocols(kinds["remembers"]), 0.2, asking())
    began = reactor.seconds()
    await made.ended
    assert reactor.seconds() - began < 1
    await port.stopListening()


@pytest.mark.parametrize("fast", [True], indirect=True, ids=["fast"])
@together
async def test_a_service_on_this_machine_is_reached_in_the_turn_that_asks_for_it(
    reactor, fast, protocols, kinds, answering, closing
):
    done = connect(reactor, fast, "127.0.0.1", answering, protocols(kinds["remembers"]))
    await task.deferLater(reactor, 0)  # the attempt was scheduled before this was, and for the same turn
    assert done.called
    client = await done
    closing.append(client)
    client.transport.write(b"x")
    assert await client.heard(1) == b"x"

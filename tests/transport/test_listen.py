"""Listening: addresses, errors in one line, UNIX sockets, the crowd at the door, and no descriptors left."""

import os
import resource
import socket
import stat

import pytest
import pytest_twisted
from twisted.internet import task
from twisted.internet.interfaces import IListeningPort
from zope.interface.verify import verifyObject

from edge.errors import ListenError
from edge.transport.crowd import Crowd
from edge.transport.listen import listen

together = pytest_twisted.ensureDeferred


@pytest.fixture
def opened(reactor, fast, protocols, kinds, closing):
    """`opened(address, **more)`: a listening port with echoes behind it."""

    def make(address, **more):
        factory = protocols(kinds["echoes"])
        port = listen(reactor, fast, address, factory, **more)
        closing.append(port)
        make.echoes = factory
        return port

    return make


def test_a_port_alone_is_every_ipv4_and_every_ipv6_address(opened):
    port = opened("0")
    hosts = port.hosts()
    assert [host.host for host in hosts] == ["0.0.0.0", "::"]
    assert hosts[0].port == hosts[1].port == port.getHost().port
    verifyObject(IListeningPort, port)


@together
async def test_an_ipv4_client_is_seen_with_its_ipv4_address(opened):
    port = opened(0)
    came = opened.echoes.next()
    with socket.create_connection(("127.0.0.1", port.getHost().port)):
        protocol = await came
        assert protocol.transport.getPeer().host == "127.0.0.1"
    came = opened.echoes.next()
    with socket.create_connection(("::1", port.getHost().port)):
        protocol = await came
        assert protocol.transport.getPeer().host == "::1"
        assert protocol.transport.getHost().port == port.getHost().port


def test_localhost_is_both_of_its_addresses_on_one_port(opened):
    hosts = opened("localhost:0").hosts()
    assert "127.0.0.1" in [host.host for host in hosts]
    assert len({host.port for host in hosts}) == 1


def test_a_taken_port_is_one_clear_line(opened, reactor, fast, protocols):
    taken = opened("127.0.0.1:0").getHost().port
    with pytest.raises(ListenError) as told:
        listen(reactor, fast, f"127.0.0.1:{taken}", protocols(None))
    assert str(told.value) == f"cannot listen on 127.0.0.1:{taken}: the port is taken by another program"


def test_a_port_that_is_taken_for_ipv6_only_leaves_nothing_open(opened, reactor, fast, protocols):
    taken = opened("[::]:0").getHost().port
    with pytest.raises(ListenError, match="taken"):
        listen(reactor, fast, taken, protocols(None))


@pytest.mark.parametrize(
    ("address", "say"),
    [
        ("127.0.0.1", "give PORT"),
        ("127.0.0.1:http", "give PORT"),
        ("127.0.0.1:70000", "give PORT"),
        ("::1:8080", "give PORT"),
        ("", "give PORT"),
        ("no-such-host.invalid:0", "no address for 'no-such-host.invalid'"),
        ("192.0.2.1:0", "this machine has no such address"),
        ("unix:/no/such/folder/s", "No such file or directory"),
    ],
)
def test_an_address_that_cannot_be_is_one_clear_line(reactor, fast, protocols, address, say):
    with pytest.raises(ListenError) as told:
        listen(reactor, fast, address, protocols(None))
    assert say in str(told.value) and "\n" not in str(told.value)


def test_a_socket_left_behind_is_replaced_and_has_its_mode(opened, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    opened(f"unix:{path}", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_socket_that_somebody_answers_on_is_left_alone(opened, reactor, fast, protocols, tmp_path):
    path = tmp_path / "s"
    opened(f"unix:{path}")
    with pytest.raises(ListenError, match="another program answers there"):
        listen(reactor, fast, f"unix:{path}", protocols(None))
    assert path.exists()


def test_a_file_that_is_no_socket_is_left_alone(reactor, fast, protocols, tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ListenError, match="not a socket"):
        listen(reactor, fast, f"unix:{path}", protocols(None))
    assert path.read_text() == "data"


@together
async def test_after_stopping_the_port_is_free(reactor, fast, protocols):
    port = listen(reactor, fast, "127.0.0.1:0", protocols(None))
    number = port.getHost().port
    await port.stopListening()
    await listen(reactor, fast, f"127.0.0.1:{number}", protocols(None)).stopListening()


def knock(port):
    made = socket.create_connection(("127.0.0.1", port.getHost().port))
    made.settimeout(0)
    return made


def turned_away(knocking):
    try:
        return knocking.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("tls", [False, True])
@together
async def test_a_crowd_admits_so_many_and_again_when_they_left(opened, contexts, reactor, soon, tls):
    crowd = Crowd(total=3)
    port = opened("127.0.0.1:0", crowd=crowd, tls=contexts() if tls else None)
    for _ in range(3):
        inside = [knock(port) for _ in range(3)]
        assert await soon(lambda: crowd.here == 3)
        late = knock(port)
        assert await soon(lambda late=late: turned_away(late))
        late.close()
        assert crowd.here == 3
        for one in inside:
            one.close()
        assert await soon(lambda: crowd.here == 0)
    assert crowd.refused == 3
    assert crowd.of("127.0.0.1") == 0


@together
async def test_one_peer_gets_its_share_only(opened, soon):
    crowd = Crowd(per_peer=2)
    port = opened(0, crowd=crowd)
    inside = [knock(port), knock(port)]
    assert await soon(lambda: crowd.of("127.0.0.1") == 2)
    late = knock(port)
    assert await soon(lambda: turned_away(late))
    with socket.create_connection(("::1", port.getHost().port)):
        assert await soon(lambda: crowd.here == 3)
    for one in [*inside, late]:
        one.close()
    assert await soon(lambda: crowd.here == 0)


@together
async def test_a_protocol_that_cannot_even_begin_is_not_counted_for_ever(reactor, fast, closing, soon):
    from twisted.internet.protocol import Factory, Protocol

    class Broken(Protocol):
        def connectionMade(self):
            raise RuntimeError("broken")

    crowd = Crowd()
    port = listen(reactor, fast, "127.0.0.1:0", Factory.forProtocol(Broken), crowd=crowd)
    closing.append(port)
    one = knock(port)
    await task.deferLater(reactor, 0.05)
    one.close()
    assert await soon(lambda: crowd.here == 0)


@together
async def test_over_a_unix_socket_only_the_total_counts(opened, tmp_path, soon):
    crowd = Crowd(total=2, per_peer=1)
    opened(f"unix:{tmp_path}/s", crowd=crowd)
    inside = []
    for _ in range(3):
        made = socket.socket(socket.AF_UNIX)
        made.connect(f"{tmp_path}/s")
        made.settimeout(0)
        inside.append(made)
    assert await soon(lambda: crowd.refused == 1)
    assert crowd.here == 2
    for one in inside:
        one.close()
    assert await soon(lambda: crowd.here == 0)


@together
async def test_out_of_descriptors_the_listener_neither_spins_nor_dies(opened, reactor, soon, monkeypatch):
    port = opened("127.0.0.1:0")
    listener = port.ports[0]
    turns = []
    read = listener.doRead
    monkeypatch.setattr(listener, "doRead", lambda: (turns.append(1), read())[1])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    waiting = [socket.socket() for _ in range(5)]
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    filler = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, limits[1]))
    try:
        while True:
            try:
                filler.append(os.dup(0))
            except OSError:
                break
        for one in waiting:
            one.settimeout(0)
            one.connect_ex(("127.0.0.1", port.getHost().port))
        await task.deferLater(reactor, 0.35)
        assert 1 <= len(turns) <= 12
    finally:
        for fd in filler:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    came = opened.echoes.next()
    with socket.create_connection(("127.0.0.1", port.getHost().port)):
        await came
    for one in waiting:
        one.close()


@pytest.mark.parametrize("fast", [True], indirect=True, ids=["fast"])
@together
async def test_many_that_come_at_once_are_accepted_in_a_few_turns_and_one_alone_in_one_question(opened, soon):
    listening = opened("127.0.0.1:0")
    factory, port = opened.echoes, listening.ports[0]
    asked = []
    below = port.socket

    class Asked:
        def accept(self):
            asked.append(1)
            return below.accept()

        def __getattr__(self, name):
            return getattr(below, name)

    waiting = [socket.create_connection(("127.0.0.1", listening.getHost().port)) for _ in range(100)]
    port.socket = Asked()
    try:
        for _ in range(12):
            port.doRead()
        assert len(factory.made) == 100
        assert len(asked) <= 100 + 3
        with socket.create_connection(("127.0.0.1", listening.getHost().port)):
            del asked[:]
            port.doRead()
            assert len(asked) == 1
    finally:
        port.socket = below
        for one in waiting:
            one.close()
    assert await soon(lambda: all(one.reason is not None for one in factory.made))

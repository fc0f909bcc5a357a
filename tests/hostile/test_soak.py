"""What takes long (`make soak`): a crowd that idles, ten thousand aborts, and hours of mixed abuse with flat memory."""

import contextlib
import os
import random
import resource
import socket
import threading
import time
from pathlib import Path

import h2.events
import pytest

from tests.hostile.h2raw import H2, Frames
from tests.hostile.raw import Client
from tests.hostile.rogue import Line, Rogue
from tests.hostile.test_bypass import PULLS
from tests.hostile.test_gone import WAYS, abort
from tests.hostile.test_pressure import FLOODS
from tests.live.gate import Gate

pytestmark = [pytest.mark.live, pytest.mark.soak]

MIB = 2**20
PATIENT = '[limits]\nrequests = "100000000/minute"\n[lockout]\nfailures = 1000000\n'


def test_ten_thousand_idle_connections_in_350_mib(rogue: Rogue, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 11_000:
        pytest.skip(f"this needs 11,000 descriptors, {hard} are allowed; `ulimit -n 20000`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 20_000)), hard))
    more = PATIENT + '[edge]\nconnections = 12000\nconnections_per_address = 12000\nkeepalive = "10m"\n'
    with Gate(tmp_path, {"any": {"plugin": "http", "route": "/any/api", "upstreams": [rogue.url]}}, more) as gate:
        crowd = []
        for _ in range(10_000):
            client = Client(gate, timeout=30)
            client.send(client.head("GET", "/any/api/x"))
            crowd.append(client)
            if len(crowd) % 200 == 0:
                for one in crowd[-200:]:
                    assert one.take(30).status == 200
        assert gate.memory() < 350 * MIB, gate.memory() / MIB
        begun = time.monotonic()
        assert crowd[0].send(crowd[0].head("GET", "/any/api/x")).take().status == 200
        assert time.monotonic() - begun < 0.25
        for client in crowd:
            client.close()


@pytest.mark.parametrize("way", WAYS)
def test_ten_thousand_aborts_leave_nothing_behind(gate: Gate, rogue: Rogue, way: str) -> None:
    rogue.on("/abort", lambda line: line.wait_gone())
    before = memory = 0
    for turn in range(101):
        abort(gate, rogue, way, 100)
        end = time.monotonic() + 10
        while rogue.open > 1 and time.monotonic() < end:
            time.sleep(0.01)
        # By then every file that the gate keeps open is open.
        if turn == 20:
            before, memory = gate.descriptors(), gate.memory()
    end = time.monotonic() + 10
    while gate.descriptors() > before and time.monotonic() < end:
        time.sleep(0.05)
    print(
        f"{way}: {before} descriptors, then {gate.descriptors()}; {memory / MIB:.1f} MiB, then {gate.memory() / MIB:.1f}"
    )
    assert gate.descriptors() <= before
    assert gate.memory() - memory < 8 * MIB


@pytest.mark.parametrize("listener", ["https", "plain"])
def test_a_gigabyte_each_way_leaves_memory_flat(gate: Gate, rogue: Rogue, listener: str) -> None:
    size = 2**30

    def pour(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        block = bytes(MIB)
        for _ in range(size // MIB):
            line.send(block)

    def swallow(line: Line) -> None:
        left = size
        while left:
            left -= len(line.receive())
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    rogue.on("/pour-all", pour)
    rogue.on("/swallow-all", swallow)
    stop = threading.Event()
    most = [0]

    def watch() -> None:
        while not stop.wait(0.2):
            most[0] = max(most[0], gate.memory())

    with Client(gate, listener) as client:
        client.send(client.head("GET", "/any/api/x")).take()
        memory = gate.memory()
        watching = threading.Thread(target=watch)
        watching.start()
        begun = time.monotonic()
        client.send(client.head("GET", "/any/api/pour-all"))
        had = 0
        while had < size:
            had += len(client.line.recv(262144))
        down = time.monotonic() - begun
    with Client(gate, listener) as client:
        begun = time.monotonic()
        client.send(client.head("POST", "/any/api/swallow-all", f"Content-Length: {size}"))
        block = bytes(MIB)
        for _ in range(size // MIB):
            client.send(block)
        assert client.take(30).status == 200
        up = time.monotonic() - begun
    stop.set()
    watching.join()
    print(f"{listener}: {memory / MIB:.1f} MiB, at most {most[0] / MIB:.1f}; down {down:.1f} s, up {up:.1f} s")
    assert most[0] - memory < 8 * MIB


def test_five_thousand_slow_streams_at_once_without_an_error(rogue: Rogue, tmp_path: Path) -> None:
    """Each client reads a few events a minute of its own stream; nobody is cut off and nobody gets another's."""
    count, per = 5000, 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3 * count:
        pytest.skip(f"this needs {3 * count} descriptors, {hard} are allowed; `ulimit -n 20000`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 20_000)), hard))
    threading.stack_size(256 * 1024)

    def events(line: Line) -> None:
        mark = (line.field("X-Mark") or "").encode()
        line.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(12):
            line.send(b"%x\r\n%b\n\r\n" % (len(mark) + 1, mark))
            time.sleep(5)
        line.send(b"0\r\n\r\n")

    rogue.on("/events", events)
    more = PATIENT + "[edge]\nconnections = 12000\nconnections_per_address = 12000\nh2_streams = 128\n"
    services = {"any": {"plugin": "http", "route": "/any/api", "upstreams": [rogue.url], "connections": 6000}}
    with Gate(tmp_path, services, more) as gate:
        memory = gate.memory()
        talks: list[tuple[H2, dict[int, bytes]]] = []
        for number in range(count // per):
            talk = H2(gate)
            marks = {}
            for turn in range(per):
                mark = f"{number}-{turn}"
                marks[talk.ask("GET", "/any/api/events", ("x-mark", mark))] = mark.encode()
            talks.append((talk, marks))
        assert rogue.wait_for(lambda: rogue.seen["/events"] >= count, 120), rogue.seen["/events"]
        full = gate.memory()
        wrong = []
        for talk, marks in talks:
            end = time.monotonic() + 180
            while time.monotonic() < end:
                ended = {event.stream_id for event in talk.events if isinstance(event, h2.events.StreamEnded)}
                if ended >= set(marks) or talk.read(5) is None:
                    break
            for stream, mark in marks.items():
                if talk.body(stream) != (mark + b"\n") * 12 or stream not in ended:
                    wrong.append((mark, talk.body(stream)[:40]))
            talk.close()
        print(
            f"{count} streams: {memory / MIB:.1f} MiB, with them {full / MIB:.1f}, {(full - memory) / count / 1024:.1f} KiB each"
        )
        assert not wrong, (len(wrong), wrong[:5])
        assert full - memory < 350 * MIB
        assert "Traceback" not in gate.log()


def test_hours_of_mixed_abuse_leave_memory_flat(gate: Gate, rogue: Rogue) -> None:
    hours = float(os.environ.get("AIGATE_SOAK_HOURS", "1"))
    stop = threading.Event()

    def pour(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n")
        for _ in range(50):
            line.send(bytes(100_000))

    rogue.on("/pour", pour)
    rogue.on("/hang", lambda line: line.wait_gone())
    rogue.raw("/cut", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", "close")

    def abuse(number: int) -> None:
        chance = random.Random(number)
        while not stop.is_set():
            with contextlib.suppress(OSError, AssertionError):
                sort = chance.randrange(5)
                if sort == 0:
                    with Client(gate, chance.choice(("plain", "https"))) as client:
                        path = chance.choice(("/any/api/pour", "/any/api/hang", "/any/api/cut", *PULLS))
                        client.send(client.head("GET", path))
                        client.line.settimeout(0.2)
                        client.line.recv(chance.randrange(1, 100_000))
                elif sort == 1:
                    talk = Frames(gate)
                    talk.send(FLOODS[chance.choice(list(FLOODS))](talk))
                    talk.ended(0.3)
                    talk.close()
                elif sort == 2:
                    with socket.create_connection(("127.0.0.1", gate.port()), timeout=2) as line:
                        line.sendall(os.urandom(chance.randrange(1, 3000)))
                elif sort == 3:
                    with Client(gate) as client:
                        client.send(
                            client.head("POST", "/any/api/x", "Content-Length: 5000000", key="bad") + bytes(100_000)
                        )
                        client.take(2)
                else:
                    with Client(gate) as client:
                        assert client.send(client.head("GET", "/any/api/x")).take().status == 200

    threads = [threading.Thread(target=abuse, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + hours * 3600
    time.sleep(min(60, hours * 600))
    memory, worst = gate.memory(), 0
    while time.monotonic() < end:
        time.sleep(5)
        worst = max(worst, gate.memory())
    stop.set()
    for thread in threads:
        thread.join(30)
    assert worst - memory < 32 * MIB, (memory / MIB, worst / MIB)
    with Client(gate) as client:
        assert client.send(client.head("GET", "/any/api/x")).take().status == 200

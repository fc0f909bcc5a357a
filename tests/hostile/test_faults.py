"""Faults round the gate: it stays closed rather than open, keeps running, and is well again by itself."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.raw import Client, Got, ask
from tests.hostile.rogue import OK, Line, Rogue
from tests.hostile.test_pressure import cpu
from tests.live.gate import ROOT, Gate

pytestmark = pytest.mark.live

PATIENT = '[limits]\nrequests = "1000000/minute"\n[lockout]\nfailures = 1000000\n'
WORLD = Path(__file__).parent / "world"


def until(true: Callable[[], object], seconds: float = 8.0) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def get(gate: Gate, path: str, key: str | None = "", timeout: float = 10.0) -> Got:
    with Client(gate, "plain") as client:
        return client.send(client.head("GET", path, key=key)).take(timeout)


def limited(*options: str) -> tuple[str, ...]:
    program = shutil.which("prlimit")
    if program is None:
        pytest.skip("prlimit is missing; it is in util-linux")
    # A tracer's files would meet the limit as well.
    untraced = ("env", "-u", "COVERAGE_PROCESS_START", "-u", "COVERAGE_PROCESS_CONFIG")
    return (*untraced, program, *options, "--", sys.executable, "-m", "edge.cli", "run")


def service(url: str, **more: Any) -> dict[str, Any]:
    return {"plugin": "http", "route": "/any/api", "upstreams": [url], **more}


def test_a_service_that_is_not_there_hangs_or_shows_a_bad_certificate(rogue: Rogue, tmp_path: Path) -> None:
    with socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        free = spare.getsockname()[1]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=evil", "-addext", "subjectAltName=DNS:evil.example", "-keyout", tmp_path / "k", "-out", tmp_path / "c"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")
    secrets: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def false_friend() -> None:
        while True:
            try:
                made, _ = listener.accept()
                with context.wrap_socket(made, server_side=True) as line:
                    secrets.append(line.recv(1000))
            except ssl.SSLError:
                continue
            except OSError:
                return

    threading.Thread(target=false_friend, daemon=True).start()
    short = {"timeouts": {"connect": "1s", "first_byte": "1s", "idle": "1s"}}
    services = {
        "away": {**service(f"http://127.0.0.1:{free}"), "route": "/away/api"},
        "hang": {**service(rogue.url, **short), "route": "/hang/api"},
        "evil": {**service(f"https://127.0.0.1:{listener.getsockname()[1]}", **short), "route": "/evil/api"},
        "any": service(rogue.url),
    }

    def silent(line: Line) -> None:
        line.wait_gone()

    def falls_silent(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        line.wait_gone()

    def half_a_head(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            time.sleep(0.2)
            line.send(b"y")

    rogue.on("/silent", silent)
    rogue.on("/falls-silent", falls_silent)
    rogue.on("/half", half_a_head)
    with Gate(tmp_path, services, plain=True) as gate:
        got = get(gate, "/away/api/x")
        assert (got.status, got.reason) == (502, "upstream-refused")
        begun = time.monotonic()
        got = get(gate, "/hang/api/silent")
        assert (got.status, got.reason) == (504, "upstream-timeout")
        got = get(gate, "/hang/api/half")
        assert (got.status, got.reason) == (504, "upstream-timeout"), "a head that drips does not feed the deadline"
        got = get(gate, "/hang/api/falls-silent")
        assert (got.status, got.end) == (200, "cut")
        assert time.monotonic() - begun < 8
        got = get(gate, "/evil/api/x")
        assert got.status == 502
        assert not any(secrets), "not a byte of the request goes to a server that is not who it says"
        assert get(gate, "/any/api/x").status == 200
        # It comes back: nothing on the gate is touched.
        with socket.create_server(("127.0.0.1", free)) as back:

            def serve() -> None:
                while True:
                    try:
                        made, _ = back.accept()
                    except OSError:
                        return
                    with made:
                        made.recv(10_000)
                        made.sendall(OK)

            threading.Thread(target=serve, daemon=True).start()
            assert until(lambda: get(gate, "/away/api/x").status == 200)
            back.shutdown(socket.SHUT_RDWR)
        assert "Traceback" not in gate.log()
    listener.close()


def test_names_that_nobody_answers_for_delay_nothing_else(rogue: Rogue, tmp_path: Path) -> None:
    services = {
        "lost": {**service("http://hangs.example:80", timeouts={"connect": "1s"}), "route": "/lost/api"},
        "any": service(rogue.url),
    }
    environ = {"PYTHONPATH": f"{WORLD}{os.pathsep}{ROOT}"}
    with Gate(tmp_path, services, PATIENT, plain=True, environ=environ) as gate:
        clients = [Client(gate, "plain") for _ in range(30)]
        for client in clients:
            client.send(client.head("GET", "/lost/api/x"))
        begun = time.monotonic()
        assert get(gate, "/any/api/x").status == 200
        assert time.monotonic() - begun < 0.5
        made = gate.aigate("keys", "create", "--json", "--user", "new", "--service", "any")
        import json

        key = json.loads(made.stdout)["key"]
        assert until(lambda: get(gate, "/any/api/x", key).status == 200, 5), "keys are still read"
        gone = Client(gate, "plain")
        gone.send(gone.head("GET", "/lost/api/gone"))
        gone.close()
        for client in clients:
            assert client.take(10).status == 504
            client.close()
        assert time.monotonic() - begun < 8
        assert "Traceback" not in gate.log()
        begun = time.monotonic()
        assert gate.stop(signal.SIGTERM, 10) == 0
        assert time.monotonic() - begun < 3, "a look-up that hangs does not keep the process"


def test_without_a_descriptor_left_clients_wait_and_are_served(rogue: Rogue, tmp_path: Path) -> None:
    with Gate(tmp_path, {"any": service(rogue.url)}, plain=True, command=limited("--nofile=60")) as gate:
        crowd = [socket.create_connection(("127.0.0.1", gate.port("plain"))) for _ in range(80)]
        time.sleep(0.5)
        before, begun = cpu(gate), time.monotonic()
        time.sleep(1)
        assert (cpu(gate) - before) / (time.monotonic() - begun) < 0.3, "it does not spin"
        for one in crowd:
            one.close()
        assert until(lambda: get(gate, "/any/api/x").status == 200)
        assert "Traceback" not in gate.log()


def test_a_full_disk_for_logs_costs_no_request(rogue: Rogue, tmp_path: Path) -> None:
    """Every file of the gate's may grow to 150 KB and no further; its printed log is such a file."""
    with Gate(tmp_path, {"any": service(rogue.url)}, PATIENT, plain=True, command=limited("--fsize=150000")) as gate:
        with Client(gate, "plain") as client:
            head = client.head("GET", "/any/api/x?" + "a" * 400)
            for _ in range(900):
                got = client.send(head).take()
                assert (got.status, got.end) == (200, "complete")
        assert get(gate, "/any/api/x", "bad").status == 401
        assert until(lambda: gate.log_file.stat().st_size > 100_000), (
            "the log is written a little later than the answer"
        )


def test_a_store_that_is_torn_or_gone_leaves_the_gate_closed_and_running(rogue: Rogue, tmp_path: Path) -> None:
    with Gate(tmp_path, {"any": service(rogue.url)}, PATIENT, plain=True) as gate:
        export = gate.data / "keys.runtime.jsonl"
        good = export.read_bytes()

        def steady() -> None:
            for _ in range(6):
                assert get(gate, "/any/api/x", "aig_00000000_" + "0" * 32 + "_00000000").status == 401
                assert get(gate, "/any/api/x", "").status in (200, 503), "a known key, or a clear no"
                time.sleep(0.25)

        for harm in (b"", good[: len(good) // 2], b"garbage\n" * 100, good.replace(b'"', b"'"), b"\0" * 5000):
            export.write_bytes(harm)
            steady()
            assert until(lambda: get(gate, "/any/api/x", "").status == 200)
        export.unlink()
        steady()
        assert until(lambda: get(gate, "/any/api/x", "").status == 200)
        if export.exists():
            export.unlink()
        export.mkdir()
        steady()
        export.rmdir()
        made = gate.make_key("--user", "later", "--service", "any")["key"]
        assert until(lambda: get(gate, "/any/api/x", made).status == 200), "well again by itself"
        assert get(gate, "/any/api/x", "").status == 200


def test_a_verb_on_a_full_disk_fails_and_harms_nothing(rogue: Rogue, tmp_path: Path) -> None:
    program = shutil.which("prlimit")
    if program is None:
        pytest.skip("prlimit is missing; it is in util-linux")
    with Gate(tmp_path, {"any": service(rogue.url)}, plain=True) as gate:
        # A tracer would meet the full disk as well, and complain in its own way.
        untraced = {name: value for name, value in gate.environ.items() if not name.startswith("COVERAGE_")}
        for limit in (1, 1000, 5000, 20_000):
            done = subprocess.run(
                [program, f"--fsize={limit}", "--", sys.executable, "-m", "edge.cli", "keys", "create", "--json", "--user",
                 "full", "--service", "any", "--config", str(gate.config), "--data", str(gate.data)],
                env=untraced, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 1, (limit, done)
            assert "Traceback" not in done.stderr, done.stderr
            assert get(gate, "/any/api/x").status == 200
        made = gate.make_key("--user", "later", "--service", "any")["key"]
        assert until(lambda: get(gate, "/any/api/x", made).status == 200)


def test_kill_9_at_any_moment_loses_nothing_that_was_promised(rogue: Rogue, tmp_path: Path) -> None:
    gate = Gate(tmp_path, {"any": service(rogue.url)}, plain=True)
    gate.start()
    keys = [gate.key]
    for turn in range(3):
        keys.append(gate.make_key("--user", f"u{turn}", "--service", "any")["key"])
        with Client(gate) as client:
            client.send(client.head("GET", "/any/api/x"))
            assert gate.process is not None
            gate.process.kill()
            gate.process.wait()
            gate.process = None
        gate.start()
        for key in keys:
            assert until(lambda key=key: get(gate, "/any/api/x", key).status == 200)
    gate.stop()


def test_clocks_that_jump_break_nothing_and_expiry_follows_the_wall(rogue: Rogue, tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    environ = {"PYTHONPATH": f"{WORLD}{os.pathsep}{ROOT}", "WORLD_OFFSET": str(offset)}
    stop = threading.Event()

    def events(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not stop.wait(0.05):
            line.send(b"6\r\ndata:\n\r\n")
        line.send(b"0\r\n\r\n")

    rogue.on("/events", events)
    more = '[edge]\nkeepalive = "3s"\n'
    with Gate(tmp_path, {"any": service(rogue.url)}, more, plain=True, environ=environ) as gate:
        lasting = gate.make_key("--user", "lasting", "--service", "any")["key"]
        assert until(lambda: get(gate, "/any/api/x", lasting).status == 200)
        stream = Client(gate)
        stream.send(stream.head("GET", "/any/api/events", key=lasting))
        idle = Client(gate, "plain")
        idle.send(idle.head("GET", "/any/api/x")).take()
        for hours in (5, -5, 0, 20 * 24, 0):
            offset.write_text(str(hours * 3600))
            before = len(stream.held)
            assert until(lambda before=before: stream.more() and len(stream.held) > before + 200)
            assert get(gate, "/any/api/x", lasting).status == 200
            expired = hours > 24
            assert until(lambda expired=expired: (get(gate, "/any/api/x").status == 401) == expired, 5), hours
            if hours == 5:
                # Nothing was closed by the jump; the idle time itself still counts in true seconds.
                assert idle.send(idle.head("GET", "/any/api/x")).take().status == 200
                took = idle.until_closed(10)[1]
                assert 1.5 < took < 6
        stop.set()
        got = stream.take()
        assert got.end == "complete"
        stream.close()
        assert "Traceback" not in gate.log()


def test_what_clients_send_cannot_write_lines_into_the_log(rogue: Rogue, tmp_path: Path) -> None:
    with Gate(tmp_path, {"any": service(rogue.url)}, plain=True) as gate:
        with Client(gate, "plain") as client:
            secret = gate.key
            for path in (
                "/any/api/x?token=" + secret,
                "/any/api/" + secret,
                "/nowhere/" + secret + "?api_key=hunter22",
            ):
                ask(gate, client.head("GET", path, "Origin: https://x.example", f"Referer: https://y/{secret}"))
            ask(gate, client.head("GET", "/any/api/%1b%5b2J%0d%0aforged"))
            ask(gate, client.head("GET", "/any/api/x", "Origin: \x85\x9b2J'\"\\n"))
            ask(gate, client.head("GET", "/any/api/x", "X-Request-Id: forged id with spaces and more"))
            ask(gate, b"GET /\x1b[2J HTTP/1.1\r\n\r\n")
        log = gate.log()
        assert secret not in log
        # Nor does a crash write them down: no core file.
        limits = Path(f"/proc/{gate.pid}/limits").read_text()
        assert next(line for line in limits.splitlines() if line.startswith("Max core")).split()[4] == "0"
        assert secret not in Path(f"/proc/{gate.pid}/cmdline").read_text()
        assert "hunter22" not in log
        assert "forged id" not in log
        assert all(one.isprintable() or one == "\n" for one in log), [one for one in log if not one.isprintable()]
        for file in (gate.data / "log").glob("*") if (gate.data / "log").exists() else ():
            assert secret.encode() not in file.read_bytes(), file

"""How the gate starts, what it says when it cannot, and how it ends: each way that a person starts it, as a process."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.gate import Gate

pytestmark = pytest.mark.live

RUN = (sys.executable, "-m", "edge.cli", "run")
WAYS = {
    "aigate run": RUN,
    "twistd -n aigate": (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "aigate"),
    "python -m twisted aigate": (sys.executable, "-m", "twisted", "aigate"),
}
DAEMON = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "aigate")
SERVICES = {"chat": {"plugin": "demo", "route": "/chat/api"}}
Made = Callable[..., Gate]


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Made]:
    """Makes gates with a folder each, and ends them."""
    made: list[Gate] = []

    def make(more: str = "", **options: object) -> Gate:
        folder = tmp_path / f"gate{len(made)}"
        folder.mkdir()
        gate = Gate(folder, SERVICES, more, **options)  # type: ignore[arg-type]
        made.append(gate)
        return gate

    yield make
    for gate in made:
        gate.stop()


def curl(gate: Gate, path: str = "/status", *more: str) -> str:
    """A body, by curl with the first key."""
    told = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "--cacert", gate.ca, "-H", f"@{gate.header}", *more, gate.url + path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return told.stdout


def fails(gate: Gate, command: tuple[str, ...] = RUN, **environ: str) -> tuple[int, str]:
    """Exit code and standard error of a start that does not succeed."""
    told = subprocess.run(
        [*command, "--config", str(gate.config), "--data", str(gate.data)],
        env={**gate.environ, **environ}, capture_output=True, text=True, timeout=30, check=False, cwd=gate.folder,
    )  # fmt: skip
    assert "Traceback" not in told.stderr + told.stdout
    return told.returncode, told.stderr


def until(true: Callable[[], object], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


# Starting


@pytest.mark.parametrize("way", WAYS)
def test_it_starts_from_a_bare_checkout_and_answers_over_https(gates: Made, way: str):
    with gates(command=WAYS[way]) as gate:
        assert '"user":"first"' in curl(gate)
        assert sorted(each.name for each in gate.folder.iterdir()) == ["aigate.toml", "data", "out.log"]
        assert gate.stop() == 0


def test_a_daemon_keeps_pid_and_log_in_the_data_folder_and_takes_the_pid_away(gates: Made):
    gate = gates()
    here = set(gate.folder.iterdir())
    code, said = fails(gate, DAEMON)
    assert (code, said) == (0, "")
    pid, log = gate.data / "gate.pid", gate.data / "log" / "gate.log"
    number = int(pid.read_text())
    try:
        until(lambda: "leads to chat" in log.read_text())
        gate.log = log.read_text  # type: ignore[method-assign]
        assert '"user":"first"' in curl(gate)
        assert "/status" not in log.read_text()
        assert int((gate.data / "gate.lock").read_text()) == number
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
        assert set(gate.folder.iterdir()) == {*here, gate.data}
        assert fails(gate, DAEMON)[0] == 1
    finally:
        os.kill(number, signal.SIGTERM)
    until(lambda: not pid.exists())
    until(lambda: not Path(f"/proc/{number}").exists())


def test_a_pid_file_that_a_crash_left_does_not_keep_a_daemon_from_starting(gates: Made):
    gate = gates()
    gate.data.mkdir(mode=0o700)
    pid = gate.data / "gate.pid"
    # The number of a process that runs and is no gate.
    pid.write_text(str(os.getpid()))
    assert fails(gate, DAEMON) == (0, "")
    until(lambda: pid.exists() and pid.read_text() != str(os.getpid()))
    log = gate.data / "log" / "gate.log"
    # Its handlers are set once its reactor runs.
    until(lambda: log.exists() and "leads to chat" in log.read_text())
    os.kill(int(pid.read_text()), signal.SIGTERM)
    until(lambda: not pid.exists())


def test_nothing_that_it_writes_is_for_others(gates: Made):
    with gates() as gate:
        curl(gate)
        until(lambda: (gate.data / "log" / "access.jsonl").exists())
        public = {gate.ca}
        for path in [gate.data, *gate.data.rglob("*")]:
            others = stat.S_IMODE(path.stat().st_mode) & 0o077
            assert others == 0 or path in public, path


# Failing


@pytest.mark.parametrize("way", [*WAYS, "twistd aigate"])
def test_wrong_configuration_is_told_in_a_line_for_each_error(gates: Made, way: str):
    gate = gates("[drain]\ntimeout = 7\n[tls]\nminimum = '1.1'\n")
    code, said = fails(gate, WAYS.get(way, DAEMON))
    assert code == (78 if way == "aigate run" else 1)
    lines = said.strip().splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{gate.config}:") for line in lines)


def test_what_shows_only_when_parts_are_made_is_told_with_its_line_too(gates: Made):
    gate = gates('[limits]\nengine = "redis"\n[limits.redis]\npassword_file = "word"\n')
    (gate.folder / "word").write_bytes(b"\xff")
    code, said = fails(gate)
    assert code == 78
    line = gate.config.read_text().splitlines().index("[limits.redis]") + 1
    assert said == f"{gate.config}:{line}: limits.redis: {gate.folder / 'word'}: the Redis password cannot be read\n"


@pytest.mark.parametrize("way", [*WAYS, "twistd aigate"])
def test_a_taken_port_is_one_line_with_the_command_that_takes_another(gates: Made, way: str):
    gate = gates()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = fails(gate, WAYS.get(way, DAEMON), AIGATE_LISTEN__HTTPS=f"127.0.0.1:{port}")
    assert code == 1
    other = port + 1000 if port + 1000 < 65536 else port - 1000
    command = "aigate run" if way == "aigate run" else "twistd aigate" if way == "twistd aigate" else "twistd -n aigate"
    assert said == (
        f"aigate: cannot listen on 127.0.0.1:{port}: the port is taken by another program; "
        f"on another: AIGATE_LISTEN__HTTPS=127.0.0.1:{other} {command}\n"
    )


def test_a_second_gate_on_the_same_data_is_refused_with_the_number_of_the_first(gates: Made):
    with gates() as gate:
        code, said = fails(gate)
        assert code == 1
        assert f"a gate (process {gate.pid}) already uses this data folder" in said
        assert said.count("\n") == 1


def test_an_unreadable_certificate_is_one_line_and_shuts_nobody_out(gates: Made):
    gate = gates('[tls]\ncertificate = "files"\nnames = ["example.org"]\n')
    (gate.folder / "certs").mkdir()
    broken = gate.folder / "certs" / "example.org.pem"
    broken.write_text("nothing\n")
    with gate:
        (line,) = [line for line in gate.log().splitlines() if "example.org.pem" in line]
        assert "warn" in line or "error" in line
        # The door stays usable by its other names.
        assert '"user":"first"' in curl(gate)


def test_a_broken_plugin_is_one_line_with_its_file_and_line(gates: Made):
    gate = gates('plugin_dirs = ["own"]\n')
    (gate.folder / "own").mkdir()
    (gate.folder / "own" / "mine.py").write_text("import os\n\nos.nothing()\n")
    code, said = fails(gate)
    assert code == 1
    assert f"{gate.folder / 'own' / 'mine.py'}:3: AttributeError" in said
    assert said.count("\n") == 1


# Ending


def stream(gate: Gate) -> subprocess.Popen[bytes]:
    """A long answer by curl that has begun."""
    body = '{"model": "demo", "stream": true, "messages": [{"role": "user", "content": "' + "word " * 400 + '"}]}'
    url = gate.url + "/chat/api/v1/chat/completions"
    process = subprocess.Popen(
        ["curl", "-sSN", "--cacert", gate.ca, "-H", f"@{gate.header}", "-H", "Content-Type: application/json", "-d", body, url],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"data:")
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_finishes_what_is_open_and_takes_no_more(gates: Made, number: int):
    with gates('[drain]\ntimeout = "60s"\n') as gate:
        running = stream(gate)
        assert gate.process is not None
        gate.process.send_signal(number)
        gate.wait_for(f"{signal.Signals(number).name}: takes no more")
        until(lambda: refused(gate.port()))
        out, _ = running.communicate(timeout=60)
        assert out.rstrip().endswith(b"data: [DONE]")
        assert running.returncode == 0
        assert gate.process.wait(10) == 0


def test_a_second_signal_ends_at_once(gates: Made):
    with gates('[drain]\ntimeout = "60s"\n') as gate:
        running = stream(gate)
        assert gate.process is not None
        gate.process.send_signal(signal.SIGTERM)
        gate.wait_for("takes no more")
        gate.process.send_signal(signal.SIGTERM)
        assert gate.process.wait(5) == 0
        out, _ = running.communicate(timeout=10)
        assert b"[DONE]" not in out
        assert running.returncode != 0


@pytest.mark.parametrize("way", WAYS)
def test_sighup_is_refused_in_a_line_and_breaks_nothing(gates: Made, way: str):
    with gates(command=WAYS[way]) as gate:
        gate.wait_for("that key ends")
        running = stream(gate)
        assert gate.process is not None
        gate.process.send_signal(signal.SIGHUP)
        gate.wait_for("SIGHUP: reading the configuration again is not built yet")
        assert '"user":"first"' in curl(gate)
        out, _ = running.communicate(timeout=60)
        assert out.rstrip().endswith(b"data: [DONE]")
        assert gate.stop() == 0


def test_a_gate_whose_terminal_is_closed_finishes_what_is_open(gates: Made):
    gate = gates('[drain]\ntimeout = "60s"\n')
    ours, theirs = os.openpty()
    gate._from = 0
    # As a shell starts it: leader of a session whose terminal is its standard input, output and error.
    gate.process = subprocess.Popen(
        [
            sys.executable, "-c", "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])",
            *RUN, "--config", str(gate.config), "--data", str(gate.data),
        ],
        env=gate.environ, stdin=theirs, stdout=theirs, stderr=theirs, cwd=gate.folder, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while b"that key ends" not in said:
        said += os.read(ours, 65536)
    gate.log_file.write_bytes(said)
    running = stream(gate)
    os.close(ours)
    out, _ = running.communicate(timeout=60)
    assert out.rstrip().endswith(b"data: [DONE]")
    assert gate.process.wait(10) == 0
    assert "chat/completions" in (gate.data / "log" / "access.jsonl").read_text()


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_logs_that_were_moved_are_made_anew_on_sigusr1(gates: Made):
    with gates() as gate:
        access = gate.data / "log" / "access.jsonl"
        curl(gate)
        until(lambda: access.exists() and access.stat().st_size)
        access.rename(access.with_name("old"))
        assert gate.process is not None
        gate.process.send_signal(signal.SIGUSR1)
        curl(gate)
        until(lambda: access.exists() and "/status" in access.read_text())


def test_twisteds_own_words_are_left_out(gates: Made):
    with gates() as gate:
        gate.stop()
        log = gate.log()
    for noise in ("starting on", "Closed", "Main loop", "reactor", "twistd"):
        assert noise not in log


# Starting again


def test_the_line_to_try_is_shown_while_its_key_opens_something(gates: Made):
    with gates() as gate:
        assert "try it" in gate.wait_for("that key ends")
        gate.stop()
        gate.start()
        assert "try it" in gate.wait_for("that key ends")
        gate.aigate("keys", "delete", "--user", "first")
        gate.stop()
        gate.start()
        gate.stop()
        assert "try it" not in gate.log()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away; run the tests as root to see it")
def test_what_root_writes_into_a_persons_data_folder_is_theirs(gates: Made):
    gate = gates()
    gate.data.mkdir(mode=0o700)
    os.chown(gate.data, 12345, 54321)
    with gate:
        curl(gate)
        until(lambda: (gate.data / "log" / "access.jsonl").exists())
        for path in gate.data.rglob("*"):
            assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321), path


def test_a_first_start_finds_a_server_writes_it_down_and_names_a_call_that_answers(gates: Made):
    """The whole first start: no configuration, a server with an OpenAI-style list of models on Ollama's port."""
    gate = gates()
    gate.config.unlink()
    environ = {
        **gate.environ,
        "AIGATE_DATA_DIR": str(gate.data),
        "AIGATE_LISTEN__HTTPS": "127.0.0.1:0",
        "AIGATE_LISTEN__OPS": "",
    }
    with gate.log_file.open("wb") as out:
        gate._from = 0
        gate.process = subprocess.Popen(RUN, env=environ, stdout=out, stderr=subprocess.STDOUT, cwd=gate.folder)
    log = gate.wait_for("that key ends")
    written = gate.folder / "config" / "aigate" / "aigate.toml"
    assert f"written to {written}" in log
    assert log.index("found ") < log.index("listens on") < log.index("leads to") < log.index("try it")
    line = next(line for line in log.splitlines() if line.startswith("  curl"))
    assert gate.key not in log
    told = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0, told.stderr
    assert "data:" in told.stdout or '"data"' in told.stdout
    services = written.read_text().partition("\n[services.")[2]
    gate.stop()
    # A later start does not look again.
    with gate.log_file.open("wb") as out:
        gate.process = subprocess.Popen(RUN, env=environ, stdout=out, stderr=subprocess.STDOUT, cwd=gate.folder)
    again = gate.wait_for("leads to")
    assert "found" not in again
    assert services in written.read_text()

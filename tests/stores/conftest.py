"""A real Redis (or Valkey) for the tests that need one, on a unix socket of its own."""

import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")


class Server:
    """One server process; `stop`, `pause` and `go_on` are for tests of what happens then."""

    def __init__(self, folder, *options):
        self.folder, self.options, self.process = folder, options, None
        self.path = str(folder / "r.sock")

    def start(self):
        self.process = subprocess.Popen(
            [SERVER, "--port", "0", "--unixsocket", self.path, "--save", "", "--dir", str(self.folder), *self.options],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(self.path)
                    return self
            except OSError:
                time.sleep(0.02)
        raise AssertionError("redis-server did not start")

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture
def redis(tmp_path_factory):
    """A function that starts a server with further options; every one is ended with the test."""
    if SERVER is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-server is missing: make test-deps")
        pytest.skip("redis-server is missing: make test-deps")
    started = []

    def start(*options):
        started.append(Server(tmp_path_factory.mktemp("r"), *options).start())
        return started[-1]

    yield start
    for server in started:
        server.stop()

"""The shipped filter and jail, with Debian's own fail2ban."""

import subprocess
from pathlib import Path

from edge.home import shipped
from edge.observe.authlog import FAILURES, auth_line
from tests.observe.made import attempt

FILTER = shipped("conf") / "fail2ban" / "filter.d" / "aigate.conf"
JAIL = shipped("conf") / "fail2ban" / "jail.d" / "aigate.conf"


def run(program: str, log: Path) -> str:
    ran = subprocess.run(
        [program, "--print-all-matched", "--print-all-missed", str(log), str(FILTER)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_every_line_that_the_gate_writes_is_matched_with_its_address(need, tmp_path):
    log = tmp_path / "auth.log"
    addresses = ["203.0.113.7", "2001:db8::7", "192.168.1.20"]
    lines = [auth_line(attempt(address, reason)) for address in addresses for reason in sorted(FAILURES)]
    log.write_text("".join([*lines, auth_line(attempt(reason="unknown-key", service=""))]))
    said = run(need("fail2ban-regex"), log)
    assert f"Lines: {len(lines) + 1} lines, 0 ignored, {len(lines) + 1} matched, 0 missed" in said, said
    for address in addresses:
        assert f"from {address}:" in said


def test_the_address_that_is_banned_is_the_one_of_the_line(need, tmp_path):
    log = tmp_path / "auth.log"
    log.write_text(auth_line(attempt("198.51.100.9", "unknown-key")))
    ran = subprocess.run(
        [need("fail2ban-regex"), "-o", "ip", str(log), str(FILTER)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.split() == ["198.51.100.9"]


def test_other_lines_ban_nobody(need, tmp_path):
    log = tmp_path / "auth.log"
    log.write_text(
        "2026-11-22T13:04:05Z aigate auth failure from 203.0.113.7: unknown-key (service x) from 1.2.3.4\n"
        "2026-11-22T13:04:05Z aigate auth failure from nobody: unknown-key (service x)\n"
        "x 2026-11-22T13:04:05Z aigate auth failure from 203.0.113.7: unknown-key (service x)\n"
        "2026-11-22T13:04:05Z aigate auth failure from 203.0.113.7: no-key (service x)\n"
    )
    assert "0 matched, 4 missed" in run(need("fail2ban-regex"), log)


def test_the_jail_is_one_that_fail2ban_reads(need, tmp_path):
    """`fail2ban-client -t` with the shipped files in a configuration folder of its own."""
    system = Path("/etc/fail2ban")
    folder = tmp_path / "fail2ban"
    subprocess.run(["cp", "-r", str(system), str(folder)], check=True)
    for old in (folder / "jail.d").glob("*"):
        old.unlink()
    (folder / "filter.d" / "aigate.conf").write_text(FILTER.read_text())
    log = tmp_path / "auth.log"
    log.write_text("")
    (folder / "jail.d" / "aigate.conf").write_text(JAIL.read_text().replace("/var/lib/aigate/log/auth.log", str(log)))
    ran = subprocess.run(
        [need("fail2ban-client"), "-c", str(folder), "-t"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0 and "OK" in ran.stdout, ran.stdout + ran.stderr

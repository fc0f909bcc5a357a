"""Who can write the log's folder but has not `audit.key` is found out, and who was only killed is not suspected."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.core.chain import START, seal, unseal
from edge.observe.audit import SMALLEST, AuditTrail
from edge.observe.auditing import Auditing
from edge.observe.heads import KEY, keep_key, sign, stored_key
from tests.observe.made import attempt

PUT_IN = f"was put in by somebody who had not {KEY}"


@pytest.fixture
def trail(tmp_path: Path) -> AuditTrail:
    return AuditTrail(tmp_path)


@pytest.fixture
def gate(tmp_path: Path) -> Auditing:
    """A gate that has been running for a while, beside which keys were changed."""
    gate = Auditing(AuditTrail(tmp_path), now=lambda: 0.0)
    for _ in range(3):
        told(gate)
    AuditTrail(tmp_path).record({"what": "key", "action": "created"})
    told(gate)
    gate.trail.sign()
    shutil.copytree(tmp_path / "log", tmp_path / "older")
    for _ in range(3):
        told(gate)
    return gate


def told(gate: Auditing) -> None:
    gate.attempt(attempt())
    gate.flush()
    assert not gate.problem


def faults(trail: AuditTrail) -> list[str]:
    verdict = trail.verify()
    return [*verdict.problems, *map(str, verdict.check.faults)]


def add(trail: AuditTrail, body: str) -> None:
    """As somebody does who knows how lines are made."""
    last = unseal(trail.path.read_bytes().splitlines()[-1])
    assert last is not None
    with trail.path.open("a") as file:
        file.write(seal(body, last.link)[0])


def remove_all(trail: AuditTrail) -> None:
    shutil.rmtree(trail.folder)


def remove_files(trail: AuditTrail) -> None:
    for file in trail.folder.glob("audit*"):
        file.unlink()


def put_older_copy_back(trail: AuditTrail) -> None:
    shutil.rmtree(trail.folder)
    shutil.copytree(trail.data / "older", trail.folder)


def cut_end(trail: AuditTrail) -> None:
    lines = trail.path.read_bytes().splitlines(keepends=True)
    trail.path.write_bytes(b"".join(lines[:-1]))


def exchange_end(trail: AuditTrail) -> None:
    cut_end(trail)
    for _ in range(2):
        add(trail, '"at":"2026-11-22T00:00:00.000Z","what":"attempt","allowed":false')


def put_in(trail: AuditTrail) -> None:
    add(trail, '"at":"2026-11-22T00:00:00.000Z","what":"attempt","allowed":true')


def put_in_and_have_signed(trail: AuditTrail) -> None:
    put_in(trail)
    AuditTrail(trail.data).record({"what": "key", "action": "edited"})


def put_in_once_more(trail: AuditTrail) -> None:
    """A line that bears a mark, but of another place."""
    (found,) = [line for line in trail.path.read_text().splitlines() if '"what":"key"' in line]
    add(trail, found.partition(",")[2].partition(',"prev"')[0])


@pytest.mark.parametrize(
    ("tamper", "say"),
    [
        (remove_all, "the signed head was missing or false"),
        (remove_files, "the signed head was missing or false"),
        (put_older_copy_back, "line 8, which had been written, was gone or another one"),
        (cut_end, "line 8, which had been written, was gone or another one"),
        (exchange_end, "line 8, which had been written, was gone or another one"),
        (put_in, f"line 9 {PUT_IN}"),
        (put_in_and_have_signed, f"line 9 {PUT_IN}"),
        (put_in_once_more, f"line 9 {PUT_IN}"),
    ],
)
def test_a_running_gate_tells_what_was_done_beside_it(gate: Auditing, tamper: Callable[[AuditTrail], None], say: str):
    assert faults(gate.trail) == []
    tamper(gate.trail)
    told(gate)
    assert any("tampered" in one and one.endswith(say) for one in faults(gate.trail)), faults(gate.trail)
    told(gate)
    assert sum("tampered" in one for one in faults(gate.trail)) == 1
    # It is signed, and stays for whoever comes later.
    AuditTrail(gate.trail.data).record({"what": "key", "action": "edited"})
    assert sum("tampered" in one for one in faults(gate.trail)) == 1


def test_what_was_found_is_on_record_even_if_the_disk_was_full_at_first(gate: Auditing, monkeypatch):
    import os

    put_in(gate.trail)
    write = os.write

    def full(handle: int, data: bytes) -> int:
        if os.readlink(f"/proc/self/fd/{handle}").endswith("audit.jsonl"):
            raise OSError(28, "No space left on device")
        return write(handle, data)

    gate.attempt(attempt())
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        gate.flush()
        gate.flush()
        assert "No space" in gate.problem
    told(gate)
    assert any(PUT_IN in one for one in faults(gate.trail))


def test_a_log_that_was_taken_away_while_nobody_wrote_is_missed(trail: AuditTrail):
    trail.record({"what": "key"})
    remove_all(trail)
    AuditTrail(trail.data).record({"what": "key"})
    assert any("the signed head was missing" in one for one in faults(trail))


def test_a_log_that_was_made_anew_with_another_key_is_told(trail: AuditTrail, tmp_path: Path):
    trail.record({"what": "key"})
    other = AuditTrail(tmp_path / "other")
    other.record({"what": "key"}, {"what": "key"})
    shutil.rmtree(trail.folder)
    shutil.copytree(other.folder, trail.folder)
    assert faults(trail) == [f"the head was signed with another key than {KEY}"]
    AuditTrail(trail.data).record({"what": "key"})
    assert any("the signed head was missing or false" in one for one in faults(trail))


@pytest.mark.parametrize(
    "body",
    [
        '"what":"key"',
        '"what":"discarded"',
        '"what":"repaired"',
        '"what" : "key"',
        '"what":"attempt","what":"key"',
        '"what":"attempt","wh\\u0061t":"k\\u0065y"',
    ],
)
def test_a_change_of_a_key_is_believed_of_no_stranger_even_if_nobody_remembers(trail: AuditTrail, body: str):
    trail.record({"what": "key"})
    add(trail, body)
    AuditTrail(trail.data).record({"what": "key"})
    assert any(f"line 2 {PUT_IN}" in one for one in faults(trail))


def test_a_line_of_nonsense_after_the_head_stops_no_writer(trail: AuditTrail):
    trail.record({"what": "key"})
    for body in ('"what":[]', '"what":{"what":"key"}', '"what":"attempt","user":"\\u00e9"'):
        add(trail, body)
    AuditTrail(trail.data).record({"what": "key", "user": "later"})
    assert b'"user":"later"' in trail.path.read_bytes()


def test_old_lines_are_not_let_go_by_whoever_says_so(tmp_path: Path):
    trail = AuditTrail(tmp_path, most=4 * SMALLEST)
    for _ in range(5):
        trail.record(*({"what": "key", "long": "x" * 1000} for _ in range(20)))
    first = trail.parts()[0]
    last = unseal(first.read_bytes().splitlines()[-1])
    assert last is not None and trail.parts()[0] != trail.path
    add(trail, f'"at":"","what":"discarded","through":{last.link.number},"through_hash":"{last.link.hash}"')
    first.unlink()
    assert any("those before it were removed" in one for one in faults(trail))
    AuditTrail(tmp_path).record({"what": "key"})
    assert any(PUT_IN in one for one in faults(trail))


# What is no tampering

KILLED = """
import os, signal, sys
from pathlib import Path
from edge.observe import audit
from edge.observe.audit import AuditTrail

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

trail = AuditTrail(Path(sys.argv[1]))
"""


def kill(folder: Path, script: str) -> None:
    """Run the script in a process of its own, until it kills itself."""
    made = subprocess.run([sys.executable, "-c", KILLED + script, str(folder)], cwd=Path(__file__).parents[2])
    assert made.returncode == -signal.SIGKILL


DIES = {
    "a command, before it signed": 'AuditTrail._sign = killed; trail.record({"what": "key"}, {"what": "key"})',
    "a command, before its line was whole": (
        "write = os.write; os.write = lambda handle, data: (write(handle, data[:-40]), killed())"
        '; trail.record({"what": "key"})'
    ),
}


@pytest.mark.parametrize("script", DIES.values(), ids=DIES)
def test_a_command_that_was_killed_beside_a_running_gate_leaves_the_log_whole(gate: Auditing, script: str):
    kill(gate.trail.data, script)
    told(gate)
    gate.trail.sign()
    assert faults(gate.trail) == []
    AuditTrail(gate.trail.data).record({"what": "key"})
    told(gate)
    assert faults(gate.trail) == []


@pytest.mark.parametrize(
    "script",
    [
        *DIES.values(),
        'trail.append([\'"what":"attempt"\'] * 3); killed()',
        'AuditTrail._sign = killed; trail.append([\'"what":"attempt"\'] * 3); trail.sign()',
        "audit.keep_key = killed; trail.data = trail.data / 'new'; trail.record({'what': 'key'})",
    ],
)
def test_whoever_is_killed_leaves_the_log_whole_to_who_comes_next(gate: Auditing, script: str):
    gate.finish()
    kill(gate.trail.data, script)
    for folder in (gate.trail.data, gate.trail.data / "new"):
        trail = AuditTrail(folder)
        trail.record({"what": "key"})
        trail.append(['"what":"attempt"'])
        assert faults(trail) == []


def test_a_log_that_another_writer_set_aside_and_let_go_is_no_loss(tmp_path: Path):
    gate, other = AuditTrail(tmp_path, 4 * SMALLEST), AuditTrail(tmp_path, 4 * SMALLEST)
    # What the gate wrote is in the newest part, in the one before, or gone altogether.
    for times in (1, 2, 20, 1):
        gate.append(['"what":"attempt"'])
        (mine,) = gate.path.read_bytes().splitlines()[-1:]
        for _ in range(times):
            other.record(*({"what": "key", "long": "x" * 1000} for _ in range(40)))
        assert (mine in b"".join(part.read_bytes() for part in other.parts())) is (times < 20)
    gate.append(['"what":"attempt"'])
    assert faults(gate) == []


def test_while_the_key_cannot_be_read_nobody_is_suspected(gate: Auditing):
    key = (gate.trail.data / KEY).read_bytes()
    (gate.trail.data / KEY).write_bytes(b"")
    AuditTrail(gate.trail.data).record({"what": "key"})
    told(gate)
    (gate.trail.data / KEY).write_bytes(key)
    gate.trail.sign()
    assert faults(gate.trail) == []


def test_a_key_that_was_taken_away_or_exchanged_under_a_running_gate_is_the_operators_will(gate: Auditing):
    (gate.trail.data / KEY).unlink()
    AuditTrail(gate.trail.data).record({"what": "key"})
    told(gate)
    assert faults(gate.trail) == []
    fresh = stored_key(gate.trail.data)
    (gate.trail.data / KEY).unlink()
    remove_all(gate.trail)
    AuditTrail(gate.trail.data).record({"what": "key"})
    assert fresh is not None and fresh != stored_key(gate.trail.data) and faults(AuditTrail(gate.trail.data)) == []


def test_a_head_of_nothing_without_a_key_is_a_beginning(trail: AuditTrail, tmp_path: Path):
    AuditTrail(tmp_path / "other").record({"what": "key"})
    lost = stored_key(tmp_path / "other")
    assert lost is not None
    trail.folder.mkdir()
    trail.head_path.write_text(sign(lost, START, 0.0).to_json())
    trail.record({"what": "key"})
    assert faults(trail) == [] and stored_key(tmp_path) is not None
    keep_key(tmp_path, lost)
    assert faults(trail) == [f"the head was signed with another key than {KEY}"]

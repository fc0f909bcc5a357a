import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from edge.core.chain import START, unseal
from edge.errors import StoreError
from edge.observe.audit import MAX, SMALLEST, AuditTrail
from edge.observe.auditing import HELD, Auditing
from edge.observe.auditparts import FILE
from edge.observe.heads import KEY, Head, sign, stored_key
from tests.observe.made import AT, attempt


@pytest.fixture
def trail(tmp_path: Path) -> AuditTrail:
    return AuditTrail(tmp_path)


def entries(trail: AuditTrail) -> list[dict]:
    return [json.loads(line) for part in trail.parts() for line in part.read_text().splitlines()]


def faults(trail: AuditTrail, *heads: Head) -> list[str]:
    verdict = trail.verify(heads)
    return [*verdict.problems, *map(str, verdict.check.faults)]


def test_what_is_recorded_is_on_disk_signed_and_whole(trail):
    trail.record({"what": "key", "action": "created"}, {"what": "key", "action": "edited"})
    assert [entry["what"] for entry in entries(trail)] == ["key", "key"]
    verdict = trail.verify()
    assert verdict.whole and verdict.unsigned == 0 and verdict.head.link.number == 2 and verdict.head.valid
    for name in (FILE, "audit.head", "audit.lock"):
        assert (trail.folder / name).stat().st_mode & 0o777 == 0o600
    assert (trail.data / KEY).stat().st_mode & 0o777 == 0o600


def test_two_writers_make_one_chain(trail, tmp_path):
    other = AuditTrail(tmp_path)
    for number in range(20):
        (trail if number % 2 else other).record({"what": "key", "number": number})
    assert [entry["number"] for entry in entries(trail)] == list(range(20))
    assert trail.verify().whole


def test_many_processes_make_one_chain(tmp_path):
    script = """
import sys
from pathlib import Path
from edge.observe.audit import AuditTrail
trail = AuditTrail(Path(sys.argv[1]))
for number in range(25):
    trail.record({"what": "key", "writer": sys.argv[2], "number": number})
"""
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name], cwd=Path(__file__).parents[2])
        for name in "abc"
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    trail = AuditTrail(tmp_path)
    assert trail.verify().whole
    for name in "abc":
        assert [each["number"] for each in entries(trail) if each["writer"] == name] == list(range(25))


def test_a_writer_that_is_killed_leaves_a_chain_that_goes_on(tmp_path):
    """Whatever was acknowledged is there; a torn line is cut off and the chain says so."""
    script = """
import sys
from pathlib import Path
from edge.observe.audit import AuditTrail
trail = AuditTrail(Path(sys.argv[1]))
for number in range(100000):
    trail.record({"what": "key", "number": number, "long": "x" * 3000})
    print(number, flush=True)
"""
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE
        )
        acknowledged = [process.stdout.readline() for _ in range(3)]
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.read().splitlines()
        process.wait(10)
        trail = AuditTrail(tmp_path)
        trail.record({"what": "after"})
        assert trail.verify().whole, faults(trail)
        since = [entry["number"] for entry in entries(trail) if entry["what"] == "key"]
        last = int([line for line in acknowledged if line.strip()][-1])
        assert since[-1] >= last


def test_a_torn_line_is_cut_off_and_told(trail):
    trail.record({"what": "one"})
    with trail.path.open("ab") as file:
        file.write(b'{"n":2,"at":"2026-')
    trail.record({"what": "two"})
    assert [entry["what"] for entry in entries(trail)] == ["one", "repaired", "two"]
    assert entries(trail)[1]["bytes"] == 18 and trail.verify().whole


def test_removed_moved_and_edited_lines_are_named(trail):
    trail.record(*({"what": "key", "number": number} for number in range(10)))
    whole = trail.path.read_bytes().splitlines(keepends=True)
    for lines, said in (
        (whole[:4] + whole[5:], "audit.jsonl:5: line 5 was removed"),
        (whole[:3] + [whole[3].replace(b'"number":3', b'"number":7')] + whole[4:], "audit.jsonl:4: line 4 was edited"),
        ([*whole[:2], whole[3], whole[2], *whole[4:]], "audit.jsonl:4: line 3 stands in the wrong place"),
        (whole[:7], "end: lines 8 to 10 were removed from the end"),
        (whole[2:], "audit.jsonl:1: the log begins with line 3: those before it were removed"),
    ):
        trail.path.write_bytes(b"".join(lines))
        assert any(one.startswith(said) for one in faults(trail)), (said, faults(trail))
    trail.path.write_bytes(b"".join(whole))
    assert trail.verify().whole


@pytest.mark.parametrize("keep", [0, 4])
def test_an_end_that_was_cut_stays_told_when_the_gate_goes_on_writing(trail, keep):
    trail.record(*({"what": "key", "number": number} for number in range(10)))
    whole = trail.path.read_bytes().splitlines(keepends=True)
    trail.path.write_bytes(b"".join(whole[:keep]))
    AuditTrail(trail.data).record({"what": "later"})
    (said, *_) = faults(trail)
    assert "tampered" in said and f"it ended with line {keep}, where line 10 had been signed" in said
    trail.path.unlink()
    AuditTrail(trail.data).record({"what": "later"})
    assert not trail.verify().whole


def test_a_log_made_anew_without_the_key_is_found_by_the_head(trail):
    trail.record(*({"what": "key", "number": number} for number in range(10)))
    head = trail.head_path.read_bytes()
    trail.path.unlink()
    trail.head_path.unlink()
    (trail.data / KEY).rename(trail.data / "kept")
    AuditTrail(trail.data).record(*({"what": "key", "number": -number} for number in range(10)))
    trail.head_path.write_bytes(head)
    assert any("is not the one that was signed" in one for one in faults(trail))


def test_one_who_holds_the_key_is_found_only_by_a_head_that_was_kept_elsewhere(trail):
    trail.record(*({"what": "key", "number": number} for number in range(10)))
    kept = trail.sign()
    trail.path.unlink()
    trail.head_path.write_text(sign(stored_key(trail.data), START, AT).to_json())
    AuditTrail(trail.data).record(*({"what": "key", "number": -number} for number in range(10)))
    assert trail.verify().whole
    assert any("line 10 is not the one that was signed" in one for one in faults(trail, kept))


def test_a_missing_or_forged_head_is_told(trail):
    trail.record({"what": "key"})
    head = trail.head()
    trail.head_path.write_text(Head(head.link, head.at, head.signature[::-1], head.key).to_json())
    assert "the head is not rightly signed" in faults(trail)
    trail.head_path.unlink()
    assert any("audit.head is missing" in one for one in faults(trail))


def test_a_full_part_is_set_aside_and_the_oldest_go_on_record(tmp_path):
    trail = AuditTrail(tmp_path, most=4 * SMALLEST)
    for number in range(90):
        trail.append([f'"what":"attempt","number":{number},"pad":"{"x" * 4000}"'])
    sizes = [part.stat().st_size for part in trail.parts()]
    assert len(sizes) > 2 and sum(sizes) <= 4 * SMALLEST and max(sizes) <= SMALLEST
    assert any(entry["what"] == "discarded" for entry in entries(trail))
    verdict = trail.verify()
    assert verdict.whole and verdict.check.first.number > 1, faults(trail)
    AuditTrail(tmp_path, most=4 * SMALLEST).record({"what": "later"})
    assert trail.verify().whole
    trail.parts()[0].unlink()
    assert any("those before it were removed" in one for one in faults(trail))


def test_a_full_disk_stops_a_record_whole(tmp_path):
    script = f"""
import resource, signal
from pathlib import Path
from edge.errors import StoreError
from edge.observe.audit import AuditTrail
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
trail = AuditTrail(Path({str(tmp_path)!r}))
trail.record({{"what": "before"}})
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
for _ in range(3):
    try:
        trail.record({{"what": "large", "pad": "x" * 5000}})
    except StoreError as error:
        assert "cannot be written" in str(error), error
    else:
        raise SystemExit("it was written")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
trail.record({{"what": "after"}})
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
    trail = AuditTrail(tmp_path)
    assert [entry["what"] for entry in entries(trail)] == ["before", "after"] and trail.verify().whole


def test_a_change_that_cannot_be_put_on_record_does_not_happen(tmp_path):
    from edge.observe.keychanges import key_changes
    from edge.stores.keyring import Keyring
    from edge.stores.sqlite import SqliteKeyRecord

    record = SqliteKeyRecord(tmp_path, {}, audit=key_changes(tmp_path, MAX))
    ring = Keyring(record, "cli:test")
    made = ring.create({"user": "alice", "service": ["chat"]})
    trail = AuditTrail(tmp_path)
    (entry,) = entries(trail)
    assert (entry["what"], entry["action"], entry["key"], entry["by"]) == ("key", "created", made.record.id, "cli:test")
    assert made.secret[13:45] not in trail.path.read_text()
    ring.rotate([made.record])
    ring.delete([made.record])
    assert [entry["action"] for entry in entries(trail)] == ["created", "rotated", "rotated", "deleted"]
    assert [entry["generation"] for entry in entries(trail)] == [1, 2, 2, 3]
    trail.path.rename(tmp_path / "away")
    trail.path.mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        ring.create({"user": "bob", "service": ["chat"]})
    assert record.find(user="bob") == []


# What a running gate writes


def lines(audit: Auditing) -> list[dict]:
    audit.flush()
    return [{k: v for k, v in entry.items() if k not in ("prev", "hash")} for entry in entries(audit.trail)]


def test_attempts_are_on_record_at_the_next_flush(trail):
    audit = Auditing(trail, now=lambda: AT)
    audit.attempt(attempt())
    audit.attempt(attempt(reason="unknown-key"))
    first, second = lines(audit)
    assert first == {
        "n": 1, "at": "2026-09-21T14:13:20.250Z", "what": "attempt", "request": "d41e0200000001", "address": "203.0.113.7",
        "key": "1a2b3c4d", "user": "alice", "service": "chat", "allowed": True, "reason": "",
    }  # fmt: skip
    assert (second["allowed"], second["reason"], second["key"]) == (False, "unknown-key", "")


def test_after_a_lock_out_one_line_counts_an_address_and_a_minute(trail):
    clock = [AT]
    audit = Auditing(trail, now=lambda: clock[0])
    for number in range(500):
        audit.attempt(attempt(reason="locked-out", at=AT + number / 100))
    assert lines(audit) == []
    clock[0] += 60
    (found,) = lines(audit)
    assert (found["what"], found["address"], found["reason"], found["count"]) == (
        "attempts",
        "203.0.113.7",
        "locked-out",
        500,
    )


def test_strangers_cannot_fill_the_disk(trail):
    audit = Auditing(trail, now=lambda: AT + 60)
    for number in range(20_000):
        audit.attempt(attempt(f"10.{number >> 8 & 255}.{number & 255}.1", "no-key"))
    assert len(lines(audit)) < 1500


def test_names_cannot_break_a_line(trail):
    audit = Auditing(trail, now=lambda: AT)
    audit.attempt(attempt(user='bob"}\n{"n":7', key="\x1b[2J", request="aig_1a2b3c4d_0011"))
    (found,) = lines(audit)
    assert found["user"] == 'bob"}\n{"n":7' and found["request"] == "***" and trail.verify().whole


def test_a_log_that_cannot_be_written_refuses_only_if_the_operator_said_so(tmp_path):
    (tmp_path / "log").write_text("no folder")
    for refuse in (False, True):
        audit = Auditing(AuditTrail(tmp_path), refuse)
        assert not audit.refuses()
        audit.attempt(attempt())
        audit.flush()
        assert audit.problem and audit.refuses() is refuse
    (tmp_path / "log").unlink()
    audit.flush()
    assert not audit.problem and not audit.refuses() and len(entries(audit.trail)) == 1


def test_what_waits_is_bounded_and_the_loss_is_on_record(trail, tmp_path):
    audit = Auditing(trail, refuse_when_full=True, now=lambda: AT)
    for _ in range(HELD + 7):
        audit.attempt(attempt())
    assert audit.lost == 7 and audit.refuses()
    found = lines(audit)
    assert found[-1]["what"] == "lost" and found[-1]["count"] == 7 and len(found) == HELD + 1
    assert not audit.refuses()


def test_the_head_follows_within_seconds_and_at_the_end(trail):
    clock = [AT]
    audit = Auditing(trail, now=lambda: clock[0])
    audit.attempt(attempt())
    audit.flush()
    audit.attempt(attempt())
    audit.flush()
    assert trail.verify().unsigned == 1
    clock[0] += 6
    audit.flush()
    assert trail.verify().unsigned == 0
    audit.attempt(attempt())
    audit.finish()
    assert trail.verify().unsigned == 0 and unseal(trail.path.read_bytes().splitlines()[-1]).link.number == 4
    assert os.path.exists(trail.head_path)


@pytest.fixture
def said():
    """What is told in the log, as text."""
    told: list[str] = []

    def observe(event: LogEvent) -> None:
        told.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield told
    globalLogPublisher.removeObserver(observe)


def test_a_signature_that_fails_is_told_once_and_costs_no_line(trail, said):
    clock = [AT]
    audit = Auditing(trail, refuse_when_full=True, now=lambda: clock[0])
    audit.attempt(attempt(request="first"))
    audit.flush()
    key = (trail.data / KEY).read_bytes()
    (trail.data / KEY).write_bytes(b"")
    audit = Auditing(AuditTrail(trail.data), refuse_when_full=True, now=lambda: clock[0])
    for number in range(20):
        if number < 5:
            audit.attempt(attempt(request=f"r{number}"))
        audit.flush()
        clock[0] += 1
        assert "audit.key: cannot be read: it is no key" in audit.problem and not audit.refuses()
    assert [entry["request"] for entry in entries(trail)] == ["first", *(f"r{number}" for number in range(5))]
    (trail.data / KEY).write_bytes(key)
    clock[0] += 5
    audit.flush()
    assert not audit.problem and trail.verify().whole and trail.verify().unsigned == 0
    assert [text for text in said if "audit" in text] == [
        f"{trail.data / KEY}: cannot be read: it is no key; the audit log goes on without a signature",
        "the audit log can be written again",
    ]


def test_a_head_that_cannot_be_written_costs_no_line(trail):
    audit = Auditing(trail, now=lambda: AT)
    trail.folder.mkdir()
    trail.head_path.mkdir()
    for number in range(3):
        audit.attempt(attempt(request=f"r{number}"))
        audit.flush()
        audit.flush()
    assert "audit.head: cannot be written" in audit.problem
    assert [entry["request"] for entry in entries(trail)] == ["r0", "r1", "r2"]


def test_a_change_of_a_key_that_cannot_be_signed_counts_and_is_told(tmp_path):
    from edge.core.keyrecord import HistoryEntry
    from edge.observe.keychanges import key_changes

    told: list[str] = []
    AuditTrail(tmp_path).record({"what": "key"})
    note = key_changes(tmp_path, MAX, told.append)
    entry = HistoryEntry(at=AT, key="1a2b3c4d", action="created", by="cli:root", detail={}, generation=1)
    note([entry])
    assert told == []
    (tmp_path / KEY).write_bytes(b"")
    key_changes(tmp_path, MAX, told.append)([entry])
    assert told == [
        f"{tmp_path / KEY}: cannot be read: it is no key; the change is on the audit log without a signature"
    ]
    assert len(entries(AuditTrail(tmp_path))) == 3


def test_of_many_lines_those_that_are_on_disk_are_not_written_again_when_the_rest_fails(tmp_path):
    script = f"""
import resource, signal
from pathlib import Path
from edge.observe.audit import AuditTrail
from edge.observe.auditing import Auditing
from tests.observe.made import attempt
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
audit = Auditing(AuditTrail(Path({str(tmp_path)!r})))
for number in range(2500):
    audit.attempt(attempt(request=f"r{{number}}"))
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
for _ in range(3):
    audit.flush()
    assert "cannot be written" in audit.problem
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
audit.flush()
assert not audit.problem
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
    trail = AuditTrail(tmp_path)
    assert [entry["request"] for entry in entries(trail)] == [f"r{number}" for number in range(2500)]
    assert trail.verify().whole

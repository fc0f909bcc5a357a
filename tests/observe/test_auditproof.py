from collections.abc import Iterator
from pathlib import Path

from edge.observe.audit import SMALLEST, AuditTrail
from edge.observe.heads import KEY, Head


def test_a_log_that_is_set_aside_and_let_go_while_it_is_read_is_whole(tmp_path: Path):
    trail = AuditTrail(tmp_path, most=4 * SMALLEST)
    fill = ['"what":"attempt","long":"' + "x" * 1000 + '"'] * 20
    for _ in range(8):
        trail.append(fill)

    def meanwhile() -> Iterator[Head]:
        """The heads are asked for once the lock is free again."""
        for _ in range(20):
            trail.append(fill)
        yield from ()

    before = trail.parts()
    verdict = trail.verify(meanwhile())
    assert verdict.whole, (verdict.problems, verdict.check.faults)
    assert verdict.check.lines == 160 and not set(before[:-1]) & set(trail.parts())


def test_a_log_of_which_everything_is_gone_is_not_whole(tmp_path: Path):
    trail = AuditTrail(tmp_path)
    trail.record({"what": "key"})
    for file in trail.folder.iterdir():
        file.unlink()
    assert trail.verify().problems == ("audit.head is missing: nothing says which line was the last",)


def test_a_key_that_cannot_be_read_leaves_it_open_who_signed(tmp_path: Path):
    trail = AuditTrail(tmp_path)
    trail.record({"what": "key"})
    (tmp_path / KEY).write_bytes(b"")
    (problem,) = trail.verify().problems
    assert "audit.key: cannot be read: it is no key" in problem and trail.verify().check.faults == []

import os
from pathlib import Path

import pytest

from edge.core.chain import START, Link, unseal
from edge.observe import auditparts
from edge.observe.audit import SMALLEST, AuditTrail
from edge.observe.auditparts import end_of, first_of, last_place, lines_after


@pytest.fixture
def trail(tmp_path: Path) -> AuditTrail:
    """A log of several parts, none of which is missing."""
    trail = AuditTrail(tmp_path, most=8 * SMALLEST)
    for number in range(90):
        trail.record({"what": "key", "number": number, "long": "x" * 2000})
    assert len(trail.parts()) > 2
    return trail


@pytest.mark.parametrize("block", [3, 4, 5, 7, 100])
def test_the_last_place_is_found_also_where_it_lies_across_two_blocks(tmp_path: Path, monkeypatch, block: int):
    monkeypatch.setattr(auditparts, "_BLOCK", block)
    (tmp_path / "f").write_bytes(data := b"..abc..abc.......ab")
    handle = os.open(tmp_path / "f", os.O_RDONLY)
    for end in range(len(data) + 1):
        assert last_place(handle, b"abc", end) == data[:end].rfind(b"abc"), end
    os.close(handle)


def test_the_lines_after_any_line_are_found_in_whichever_part_it_stands(trail: AuditTrail):
    all_lines = [line for part in trail.parts() for line in part.read_bytes().splitlines()]
    assert list(lines_after(trail.parts(), START) or ()) == all_lines
    for at in range(len(all_lines)):
        sealed = unseal(all_lines[at])
        assert sealed is not None
        assert list(lines_after(trail.parts(), sealed.link) or ()) == all_lines[at + 1 :]
        assert lines_after(trail.parts(), Link(sealed.link.number + 1, sealed.link.hash)) is None
    assert (first_of(trail.parts()), end_of(trail.parts())) == (1, (sealed.link, True))


def test_a_line_that_only_claims_a_hash_is_not_it(trail: AuditTrail):
    last = unseal(trail.path.read_bytes().splitlines()[-1])
    assert last is not None
    trail.path.write_bytes(trail.path.read_bytes().replace(b'"number":89', b'"number":98'))
    assert lines_after(trail.parts(), last.link) is None


def test_a_part_that_has_no_lines_yet_ends_and_begins_nothing(trail: AuditTrail):
    link, _ = end_of(trail.parts())
    trail.path.rename(trail.folder / auditparts.part_name(first_of([trail.path])))
    trail.path.write_bytes(b"")
    assert end_of(trail.parts()) == (link, True) and list(lines_after(trail.parts(), link) or "none") == []
    trail.path.write_bytes(b"no line\n")
    assert end_of(trail.parts()) == (link, False)

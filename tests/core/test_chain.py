import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.chain import MOST_FAULTS, START, Link, check, seal, unseal


def chain(count: int, after: Link = START) -> list[bytes]:
    lines = []
    for number in range(count):
        line, after = seal(f'"what":"attempt","number":{number}', after)
        lines.append(line.encode().rstrip(b"\n"))
    return lines


def judged(lines: list[bytes], heads=None) -> list[str]:
    return [str(fault) for fault in check(((f"log:{n}", line) for n, line in enumerate(lines, 1)), heads).faults]


def test_a_line_is_json_and_holds_its_hash():
    (line,) = chain(1)
    found = unseal(line)
    assert found is not None and found.honest and found.link.number == 1
    assert json.loads(line)["prev"] == "0" * 64


def test_a_whole_chain_has_no_fault():
    assert judged(chain(100)) == [] and judged([]) == []


@given(st.integers(0, 19), st.integers(1, 8))
def test_every_removed_line_is_named(at, count):
    lines = chain(20)
    gone = lines[at : at + count]
    said = judged(lines[:at] + lines[at + count :], {20: unseal(lines[-1]).link.hash})
    assert said, (at, count)
    last = min(20, at + count)
    if at == 0:
        assert f"begins with line {last + 1}" in said[0] if last < 20 else "removed from the end" in said[0]
    elif last == 20:
        assert f"lines {at + 1} to 20 were removed from the end" in said[0]
    else:
        assert (f"line {at + 1} was removed" if len(gone) == 1 else f"lines {at + 1} to {last} were removed") in said[0]
    assert len(said) == 1


@given(st.integers(0, 18), st.data())
def test_every_edited_byte_is_named(at, data):
    lines = chain(20)
    place = data.draw(st.integers(0, len(lines[at]) - 1))
    lines[at] = lines[at][:place] + bytes([lines[at][place] ^ 1]) + lines[at][place + 1 :]
    said = judged(lines)
    assert said and said[0].startswith(f"log:{at + 1}:") and "edited" in said[0]
    assert len(said) <= 2, said


@given(st.integers(0, 19), st.integers(0, 19))
def test_every_moved_line_is_named(first, second):
    lines = chain(20)
    lines[first], lines[second] = lines[second], lines[first]
    said = judged(lines, {20: unseal(chain(20)[-1]).link.hash})
    assert bool(said) == (first != second)
    if first != second:
        low = min(first, second)
        assert any(
            f"log:{low + 1}" in one or f"line {low + 1} " in one or f"begins with line {max(first, second) + 1}" in one
            for one in said
        ), said


def test_a_line_that_was_edited_and_hashed_anew_breaks_from_the_next():
    lines = chain(5)
    forged, _ = seal('"what":"attempt","number":999', unseal(lines[1]).link)
    lines[2] = forged.encode().rstrip(b"\n")
    assert judged(lines) == ["log:4: line 4 does not follow line 3: one of them was edited and hashed anew"]


def test_a_chain_made_anew_to_the_end_does_not_have_the_signed_hash():
    signed = unseal(chain(10)[7]).link
    lines = chain(3)
    forged, after = seal('"what":"nothing to see"', unseal(lines[2]).link)
    lines += [forged.encode().rstrip(b"\n"), *chain(6, after)]
    assert judged(lines) == []
    (said,) = judged(lines, {signed.number: signed.hash})
    assert said.startswith("log:8: line 8 is not the one that was signed")


def test_a_line_that_was_put_in_is_named():
    lines = chain(4)
    assert judged([*lines[:2], b'{"what":"hello"}', *lines[2:]]) == [
        "log:3: this is no line of the log: it was edited or put in"
    ]
    assert any("once more" in said for said in judged([*lines[:2], lines[1], *lines[2:]]))


def test_what_was_discarded_on_record_is_no_fault_and_one_line_more_is():
    lines = chain(10)
    fifth = unseal(lines[4]).link
    note, after = seal(f'"what":"discarded","through":5,"through_hash":"{fifth.hash}"', unseal(lines[-1]).link)
    lines = [*lines, note.encode().rstrip(b"\n"), *chain(2, after)]
    assert judged(lines[5:]) == []
    assert judged(lines[3:]) == []
    assert "begins with line 7" in judged(lines[6:])[0]
    # Only a head vouches for who said so.
    assert judged(lines[5:], {11: after.hash}) == []
    ninth = unseal(lines[8]).link
    assert "begins with line 6" in judged(lines[5:], {9: ninth.hash})[0]


@pytest.mark.parametrize("through", ["[]", '"7"', "null", "1.5"])
def test_what_was_discarded_up_to_nowhere_vouches_for_nothing(through):
    note, _ = seal(f'"what":"discarded","through":{through}', Link(4, "ab" * 32))
    assert "begins with line 5" in judged([note.encode().rstrip(b"\n")])[0]


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"null", b'{"n":"1","hash":"","prev":""}', b"\xff", b"[" * 100_000, b'{"n":true}']
)
def test_what_is_no_line_is_said_and_never_raises(text):
    assert unseal(text) is None
    assert len(judged([text])) == 1


def test_faults_are_counted_beyond_what_anyone_reads():
    made = check(("log", b"garbage") for _ in range(MOST_FAULTS + 5))
    assert len(made.faults) == MOST_FAULTS and made.further == 5

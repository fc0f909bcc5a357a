import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.observe.linelog import AT_ONCE, LineLog, Rotation, set_aside


def made(tmp_path: Path, now=time.time, **about) -> LineLog:
    return LineLog(tmp_path / "log" / "access.jsonl", Rotation(**about), now)


def test_lines_come_in_order_and_only_when_flushed(tmp_path):
    log = made(tmp_path)
    log.append("one\n")
    assert not log.path.exists()
    log.append("two\n")
    log.flush()
    log.append("three\n")
    log.flush()
    assert log.path.read_text() == "one\ntwo\nthree\n"
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_full_is_set_aside_and_only_so_many_are_kept(tmp_path):
    log = made(tmp_path, size=100, keep=2)
    for number in range(50):
        log.append(f"{number:019d}\n")
        log.flush()
    aside = set_aside(log.path)
    assert len(aside) == 2
    kept = "".join(file.read_text() for file in [*aside, log.path]).split()
    assert [int(line) for line in kept] == list(range(50 - len(kept), 50))
    assert all(file.stat().st_size <= 100 for file in [*aside, log.path])


def test_a_file_is_set_aside_when_its_day_is_over(tmp_path):
    clock = [86_400.0 * 20_000 + 10]
    log = made(tmp_path, now=lambda: clock[0], every=86_400.0)
    log.append("monday\n")
    log.flush()
    os.utime(log.path, (clock[0], clock[0]))
    clock[0] += 86_400
    log.append("tuesday\n")
    log.flush()
    (aside,) = set_aside(log.path)
    assert aside.read_text() == "monday\n" and log.path.read_text() == "tuesday\n"


def test_a_day_that_ended_while_no_gate_ran_is_over_too(tmp_path):
    clock = [86_400.0 * 20_000 + 10]
    first = made(tmp_path, now=lambda: clock[0], every=86_400.0)
    first.append("monday\n")
    first.flush()
    os.utime(first.path, (clock[0], clock[0]))
    first.close()
    clock[0] += 2 * 86_400
    second = made(tmp_path, now=lambda: clock[0], every=86_400.0)
    second.append("wednesday\n")
    second.flush()
    assert second.path.read_text() == "wednesday\n"


def test_a_moved_file_is_left_alone_after_reopen_and_even_without(tmp_path):
    log = made(tmp_path)
    for told in (True, False):
        log.append("before\n")
        log.flush()
        moved = log.path.rename(log.path.with_name("moved"))
        if told:
            log.reopen()
        log.append("after\n")
        log.flush()
        assert moved.read_text() == "before\n" and log.path.read_text() == "after\n"
        log.path.unlink()


def test_what_waits_is_bounded_and_what_is_lost_is_counted(tmp_path):
    log = LineLog(tmp_path / "log" / "a.log", held=1000)
    for _ in range(150):
        log.append("123456789\n")
    assert log.dropped == 50
    log.flush()
    assert len(log.path.read_text().splitlines()) == 100
    log.append("123456789\n")
    assert log.dropped == 50


def test_of_several_lines_those_that_fit_are_taken(tmp_path):
    log = LineLog(tmp_path / "log" / "a.log", held=1000)
    log.extend(f"{number:09d}\n" for number in range(60))
    log.extend(f"{number:09d}\n" for number in range(60, 120))
    assert log.dropped == 20
    log.flush()
    assert [int(line) for line in log.path.read_text().split()] == list(range(100))


def test_lines_before_one_that_cannot_be_made_are_taken(tmp_path):
    log = made(tmp_path)
    with pytest.raises(ZeroDivisionError):
        log.extend(f"{1 / number}\n" for number in (1, 2, 0, 4))
    log.flush()
    assert log.path.read_text() == "1.0\n0.5\n"


def test_many_lines_are_written_in_parts(tmp_path):
    log = made(tmp_path, size=3 * AT_ONCE, keep=None)
    for number in range(80):
        log.extend(f"{number * 100 + line:0999d}\n" for line in range(100))
    log.flush()
    files = [*set_aside(log.path), log.path]
    assert all(file.stat().st_size <= 3 * AT_ONCE for file in files)
    assert [int(line) for file in files for line in file.read_text().split()] == list(range(8000))


def test_a_folder_that_cannot_be_written_raises_nothing_and_loses_nothing(tmp_path):
    blocked = tmp_path / "log"
    blocked.write_text("a file where the folder should be")
    log = made(tmp_path)
    log.append("one\n")
    log.flush()
    assert log.problem
    blocked.unlink()
    log.append("two\n")
    log.flush()
    assert log.path.read_text() == "one\ntwo\n" and not log.problem


def test_a_full_disk_tears_no_line(tmp_path):
    """A limit on the size of files stands for the full disk: the write that meets it is cut short, the next fails."""
    script = f"""
import resource, signal, sys
from pathlib import Path
from edge.observe.linelog import LineLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = LineLog(Path({str(tmp_path / "log" / "a.log")!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (1003, resource.RLIM_INFINITY))
for number in range(60):
    log.append(f"{{number:018d}};\\n")
    log.flush()
assert log.problem, "the limit was not met"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.flush()
assert not log.problem and not log.dropped
"""
    assert resource.RLIMIT_FSIZE is not None and signal.SIGXFSZ
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
    lines = (tmp_path / "log" / "a.log").read_text().splitlines()
    assert lines == [f"{number:018d};" for number in range(60)]


@pytest.mark.parametrize("taken", ["path.rename(path.with_name('old'))", "os.truncate(path, 0)", "path.unlink()"])
def test_a_line_that_was_begun_in_a_file_that_was_taken_away_is_whole_in_the_next(tmp_path, taken):
    script = f"""
import os, resource, signal
from pathlib import Path
from edge.observe.linelog import LineLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path({str(tmp_path / "log" / "a.log")!r})
log = LineLog(path)
log.append("one\\n")
log.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (7, resource.RLIM_INFINITY))
log.append("twotwo\\nthree\\n")
log.flush()
assert log.problem and path.read_text() == "one\\ntwo"
{taken}
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append("four\\n")
log.flush()
assert not log.problem
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
    assert (tmp_path / "log" / "a.log").read_text() == "twotwo\nthree\nfour\n"


def test_a_file_that_was_cut_off_in_its_place_is_still_set_aside_when_it_is_full(tmp_path):
    log = made(tmp_path, size=100, keep=None)
    for _ in range(5):
        log.append(f"{'x' * 19}\n")
        log.flush()
    os.truncate(log.path, 0)
    for number in range(10):
        log.append(f"{number:019d}\n")
        log.flush()
    assert [file.stat().st_size for file in [*set_aside(log.path), log.path]] == [100, 100]


def test_a_link_in_place_of_the_log_is_not_followed(tmp_path):
    log = made(tmp_path)
    log.path.parent.mkdir()
    (tmp_path / "elsewhere").write_text("")
    log.path.symlink_to(tmp_path / "elsewhere")
    log.append("one\n")
    log.flush()
    assert log.problem and (tmp_path / "elsewhere").read_text() == ""


@pytest.mark.parametrize("keep", [0, None])
def test_keeping_none_or_all(tmp_path, keep):
    log = made(tmp_path, size=10, keep=keep)
    for number in range(5):
        log.append(f"{number:09d}\n")
        log.flush()
    assert len(set_aside(log.path)) == (0 if keep == 0 else 4)

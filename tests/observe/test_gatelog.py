import subprocess
import sys
from pathlib import Path

import pytest
from twisted.logger import LogLevel

from edge.observe.gatelog import LogFile, gate_log, housekeeping


def event(text: str, level: str = "info", namespace: str = "aigate") -> dict[str, object]:
    return {
        "log_format": "{text}",
        "text": text,
        "log_level": LogLevel.lookupByName(level),
        "log_namespace": namespace,
        "log_time": 0.0,
    }


@pytest.mark.parametrize(
    ("made", "left_out"),
    [
        (event("Main loop terminated.", namespace="twisted.internet.base"), True),
        (event("(TCP Port 8443 Closed)", namespace="log_legacy"), True),
        (event("_Guarded starting on 8443", namespace="log_legacy"), True),
        (event("what a plugin says", namespace="log_legacy"), False),
        (event("Unhandled Error", "critical", "twisted.internet"), False),
        (event("a request was refused"), False),
    ],
)
def test_twisteds_housekeeping_is_left_out_and_nothing_else(made: dict[str, object], left_out: bool):
    assert housekeeping(made) is left_out


def test_lines_below_the_level_are_left_out_and_off_is_silent():
    said: list[str] = []
    gate_log(said.append, "warn")(event("small"))
    gate_log(said.append, "info", "off")(event("small"))
    assert said == []
    gate_log(said.append, "warn")(event("large", "warn"))
    assert said[0].endswith("warn: large\n")


def test_a_log_stays_within_its_bounds(tmp_path: Path):
    log = LogFile(tmp_path / "gate.log", size=1000, keep=2)
    for number in range(200):
        log.write(f"line {number:03} {'x' * 40}\n")
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["gate.log", "gate.log.1", "gate.log.2"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert "line 199" in (tmp_path / "gate.log").read_text()


def test_a_message_that_fits_only_in_part_is_left_out_and_counted(tmp_path: Path):
    """A limit on the size of files stands for the full disk."""
    script = f"""
import resource, signal
from pathlib import Path
from twisted.logger import LogLevel
from edge.observe.gatelog import LogFile, gate_log
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
observe = gate_log(LogFile(Path({str(tmp_path / "gate.log")!r})).write, "info")

def say(text):
    observe(dict(log_format=text, log_level=LogLevel.info, log_namespace="aigate", log_time=0.0))

say("first")
resource.setrlimit(resource.RLIMIT_FSIZE, (40, resource.RLIM_INFINITY))
for _ in range(3):
    try:
        say("a longer one")
    except OSError:
        continue
    raise SystemExit("it was written")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
say("second")
say("third")
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
    said = [line[20:] for line in (tmp_path / "gate.log").read_text().splitlines()]
    assert said == ["first", "warn: 3 messages before this one could not be written", "second", "third"]


def test_a_log_that_was_moved_or_deleted_is_made_anew(tmp_path: Path):
    path = tmp_path / "gate.log"
    log = LogFile(path)
    log.write("one\n")
    path.rename(tmp_path / "old")
    log.write("two\n")
    path.unlink()
    log.write("three\n")
    assert path.read_text() == "three\n"
    assert (tmp_path / "old").read_text() == "one\n"


def test_a_link_in_the_logs_place_is_not_followed(tmp_path: Path):
    (tmp_path / "gate.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        LogFile(tmp_path / "gate.log").write("x\n")
    assert not (tmp_path / "elsewhere").exists()

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

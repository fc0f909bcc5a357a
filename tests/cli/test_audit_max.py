"""Commands that change keys keep the audit log to the size that was configured, or leave it alone."""

from pathlib import Path

import pytest

from edge.cli import main
from edge.observe.audit import SMALLEST, AuditTrail

MOST = 4 * SMALLEST


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder whose audit log is a few lines short of its limit."""
    trail = AuditTrail(tmp_path / "data", most=MOST)
    for _ in range(60):
        trail.record(*({"what": "attempt", "filling": "x" * 1000} for _ in range(16)))
    return tmp_path / "data"


def create(folder: Path, config: Path) -> None:
    words = ["keys", "create", "--user", "alice", "--service", "chat", "--data", str(folder), "--config", str(config)]
    for _ in range(8):
        assert main([*words, "--description", "d" * 200]) in (0, None)


def bytes_of(folder: Path) -> int:
    return sum(part.stat().st_size for part in AuditTrail(folder).parts())


def test_a_command_keeps_to_the_configured_size(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "aigate.toml"
    config.write_text(f'[log]\naudit_max = "{MOST // 1024} KiB"\n')
    # Nobody told this one how much there may be, so that it goes on in the part that is full.
    AuditTrail(folder).record(*({"what": "attempt", "filling": "x" * 1000} for _ in range(200)))
    assert bytes_of(folder) > MOST
    create(folder, config)
    assert bytes_of(folder) <= MOST
    assert AuditTrail(folder).verify().whole


def test_a_command_that_cannot_read_the_configuration_lets_nothing_go(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "aigate.toml"
    config.write_text('[log]\naudit_max = "a lot"\n')
    before = bytes_of(folder)
    create(folder, config)
    assert bytes_of(folder) > before

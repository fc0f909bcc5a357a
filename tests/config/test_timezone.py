"""The machine's time zone."""

import pytest

from edge.config.timezone import is_timezone, system_timezone


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("TZ", raising=False)


def test_the_variable_comes_first(tmp_path, monkeypatch):
    (tmp_path / "timezone").write_text("Europe/Berlin\n")
    monkeypatch.setenv("TZ", ":Asia/Tokyo")
    assert system_timezone(tmp_path) == "Asia/Tokyo"


def test_then_the_file_then_the_link(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "CET-1CEST")
    (tmp_path / "localtime").symlink_to("/usr/share/zoneinfo/America/Lima")
    assert system_timezone(tmp_path) == "America/Lima"
    (tmp_path / "timezone").write_text("Europe/Berlin\n")
    assert system_timezone(tmp_path) == "Europe/Berlin"


def test_utc_where_nothing_tells(tmp_path):
    assert system_timezone(tmp_path) == "UTC"


def test_only_names_of_zones_are_zones():
    assert is_timezone("Europe/Berlin")
    assert not any(map(is_timezone, ["", "Mars", "../../etc/passwd", "/etc/passwd", "Europe", "a\x00b", "x" * 5000]))

import pytest

from edge.observe.disk import EVERY, Disk


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def problems():
    return {"access": "", "audit": ""}


@pytest.fixture
def disk(tmp_path, clock, problems):
    return Disk(tmp_path, {name: lambda name=name: problems[name] for name in problems}, lambda: clock[0])


def test_it_tells_what_is_left_once_it_has_looked(disk):
    assert disk.status()["free"] is None and disk.status()["free_percent"] is None
    disk.look()
    told = disk.status()
    assert 0 < told["free"] <= told["total"] and 0 < told["free_percent"] <= 100
    assert told["problems"] == {} and told["last_error"] is None


def test_the_last_error_stays_after_it_is_over_with_its_time(disk, clock, problems):
    problems["audit"] = "No space left on device"
    disk.look()
    assert disk.status()["problems"] == {"audit": "No space left on device"}
    problems["audit"] = ""
    clock[0] += 60
    disk.look()
    assert disk.status()["problems"] == {}
    assert disk.status()["last_error"] == {"at": 1000.0, "what": "audit", "why": "No space left on device"}


def test_the_disk_is_asked_from_time_to_time_and_one_that_does_not_answer_is_no_failure(tmp_path, clock):
    disk = Disk(tmp_path / "later", {}, lambda: clock[0])
    disk.look()
    assert disk.status()["free"] is None
    (tmp_path / "later").mkdir()
    disk.look()
    assert disk.status()["free"] is None
    clock[0] += EVERY
    disk.look()
    assert disk.status()["free"]
    clock[0] = 0.0
    disk.look()

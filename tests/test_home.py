"""Where things lie, who may touch them, and the lock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.errors import HomeError
from edge.home import (
    Found,
    Lock,
    find_configuration,
    find_data,
    held,
    open_data,
    refuse_strangers,
    shipped,
)

as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can make another user's file; run the tests as root to see it"
)


@pytest.fixture
def files(tmp_path):
    made = {}
    for name in ("given", "variable", "own/aigate/aigate.toml", "system"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        made[name.partition("/")[0]] = file
    return made


def test_the_first_configuration_that_is_named_or_there_counts(files, tmp_path):
    environ = {"AIGATE_CONFIG": str(files["variable"]), "XDG_CONFIG_HOME": str(tmp_path / "own"), "HOME": "/nowhere"}
    system = files["system"]
    assert find_configuration(files["given"], environ, system) == Found(files["given"])
    assert find_configuration(None, environ, system) == Found(files["variable"])
    del environ["AIGATE_CONFIG"]
    assert find_configuration(None, environ, system) == Found(files["own"], (system,))
    files["own"].unlink()
    assert find_configuration(None, environ, system) == Found(system)
    system.unlink()
    assert find_configuration(None, environ, system) == Found(None)


def test_without_the_variable_the_home_folder_is_asked(tmp_path):
    file = tmp_path / ".config" / "aigate" / "aigate.toml"
    file.parent.mkdir(parents=True)
    file.touch()
    # A relative path in the variable is none, says its specification.
    for environ in ({"HOME": str(tmp_path)}, {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "here"}):
        assert find_configuration(None, environ, tmp_path / "none").file == file


# Looking there fails as for a folder that is closed, and does so for root too.
CLOSED = Path("/") / ("x" * 300) / "aigate.toml"


def test_a_system_wide_configuration_that_is_closed_to_us_hides_nothing(files, tmp_path):
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "own"), "HOME": "/nowhere"}
    assert find_configuration(None, environ, CLOSED) == Found(files["own"])
    files["own"].unlink()
    assert find_configuration(None, environ, CLOSED) == Found(None)


@pytest.mark.parametrize(("given", "environ"), [(CLOSED, {}), (None, {"AIGATE_CONFIG": str(CLOSED)})])
def test_a_named_configuration_that_is_closed_to_us_is_told(given, environ):
    with pytest.raises(
        HomeError, match=r"(--config|AIGATE_CONFIG) names a file that cannot be read: File name too long"
    ):
        find_configuration(given, environ)


@pytest.mark.parametrize(("given", "environ"), [(Path("none"), {}), (None, {"AIGATE_CONFIG": "none"})])
def test_a_named_configuration_that_is_not_there_is_told(tmp_path, monkeypatch, given, environ):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HomeError, match=r"(--config|AIGATE_CONFIG) names a file that is not there; `aigate init`"):
        find_configuration(given, environ)


def test_the_first_data_folder_that_is_named_counts():
    environ = {"AIGATE_DATA_DIR": "/b", "STATE_DIRECTORY": "/d:/d2", "XDG_DATA_HOME": "/e", "HOME": "/f"}
    assert find_data(Path("/a"), environ, Path("/c")) == Path("/a")
    assert find_data(None, environ, Path("/c")) == Path("/b")
    del environ["AIGATE_DATA_DIR"]
    assert find_data(None, environ, Path("/c")) == Path("/c")
    assert find_data(None, environ, None) == Path("/d")
    del environ["STATE_DIRECTORY"]
    assert find_data(None, environ, None) == Path("/e/aigate")
    del environ["XDG_DATA_HOME"]
    assert find_data(None, environ, None) == Path("/f/.local/share/aigate")


@pytest.mark.parametrize("name", ["plugins", "conf", "certs"])
def test_the_shipped_folders_are_found(name):
    assert shipped(name).is_dir()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_may_write_is_refused_with_the_cure(tmp_path, mode):
    file = tmp_path / "aigate.toml"
    file.touch(0o600)
    refuse_strangers(file, "the configuration")
    file.chmod(mode)
    with pytest.raises(HomeError, match=f"the configuration can be changed by others; `chmod go-w {file}`"):
        refuse_strangers(file, "the configuration")


def test_what_others_may_replace_is_refused(tmp_path):
    file = tmp_path / "aigate.toml"
    file.touch(0o600)
    tmp_path.chmod(0o777)
    with pytest.raises(HomeError, match=f"can be replaced by others; `chmod o-w {tmp_path}`"):
        refuse_strangers(file, "the configuration")
    # In a sticky folder such as /tmp, nobody can replace another's file.
    tmp_path.chmod(0o1777)
    refuse_strangers(file, "the configuration")


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(HomeError, match="none: the configuration cannot be read: No such file"):
        refuse_strangers(tmp_path / "none", "the configuration")


def test_a_folder_that_only_another_may_write_is_told(somebody):
    folder = open_data(somebody / "data")
    folder.chmod(0o500)
    with pytest.raises(HomeError, match="cannot be written by this user; run as its owner"):
        open_data(folder)


def test_what_a_link_leads_to_is_judged(tmp_path):
    file = tmp_path / "real"
    file.touch()
    file.chmod(0o666)
    link = tmp_path / "link"
    link.symlink_to(file)
    with pytest.raises(HomeError, match="can be changed by others"):
        refuse_strangers(link, "the configuration")


@as_root
def test_what_belongs_to_another_user_is_refused(tmp_path):
    file = tmp_path / "aigate.toml"
    file.touch(0o600)
    os.chown(file, 12345, 12345)
    with pytest.raises(HomeError, match=r"belongs to another user \(uid 12345\); run as that user"):
        refuse_strangers(file, "the configuration")


@as_root
def test_root_may_work_in_a_persons_data_folder(tmp_path):
    folder = open_data(tmp_path / "data")
    os.chown(folder, 12345, 12345)
    assert open_data(folder) == folder
    lock = Lock.take(folder)
    assert (folder / "gate.lock").stat().st_uid == 12345
    lock.release()


def test_the_data_folder_is_made_for_its_owner_alone(tmp_path):
    folder = open_data(tmp_path / "a" / "data")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_data_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match=r"cannot be made: .*; choose another with --data DIR"):
        open_data(tmp_path / "file" / "data")
    open_data(tmp_path / "open").chmod(0o770)
    with pytest.raises(HomeError, match="the data folder can be changed by others"):
        open_data(tmp_path / "open")


def test_one_gate_to_a_folder(tmp_path):
    assert not held(tmp_path)
    lock = Lock.take(tmp_path)
    assert held(tmp_path)
    with pytest.raises(HomeError, match=rf"{tmp_path}: a gate \(process {os.getpid()}\) already uses this data folder"):
        Lock.take(tmp_path)
    lock.release()
    assert not held(tmp_path)
    Lock.take(tmp_path).release()


def test_a_lock_that_cannot_be_written_is_told_and_given_back(tmp_path):
    script = """
import resource, sys
from pathlib import Path
from edge.errors import HomeError
from edge.home import Lock, held
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
try:
    Lock.take(folder)
except HomeError as error:
    told = str(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(told, held(folder))
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'gate.lock'}: the lock cannot be written: File too large False\n"


def test_the_lock_outlives_the_fork_and_ends_with_the_process(tmp_path):
    # What a daemon does: the parent takes the lock and ends, the child has it and signs it.
    script = """
import os, sys
from pathlib import Path
from edge.home import Lock
lock = Lock.take(Path(sys.argv[1]))
if os.fork():
    os._exit(0)
lock.sign()
print(os.getpid(), flush=True)
sys.stdin.read()
"""
    gate = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child = int(gate.stdout.readline())
    gate.wait(10)
    assert child != gate.pid
    with pytest.raises(HomeError, match=rf"\(process {child}\)"):
        Lock.take(tmp_path)
    gate.stdin.close()
    assert gate.stdout.read() == ""
    Lock.take(tmp_path).release()


def test_asking_never_makes_a_starting_gate_give_up(tmp_path):
    Lock.take(tmp_path).release()
    script = """
import sys
from pathlib import Path
from edge.home import held
print("asking", flush=True)
for _ in range(20000):
    held(Path(sys.argv[1]))
"""
    asking = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    asking.stdout.readline()
    for _ in range(100):
        Lock.take(tmp_path).release()
    asking.kill()
    asking.wait()


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "gate.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HomeError, match="the lock cannot be opened"):
        Lock.take(tmp_path)
    assert not (tmp_path / "elsewhere").exists()

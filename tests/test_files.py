"""Files written whole or not at all."""

import os
import resource
import signal
from pathlib import Path

import pytest

from edge.files import keep_owner, make_folder, write_atomically


def test_a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it(tmp_path):
    file = tmp_path / "a"
    write_atomically(file, b"one")
    write_atomically(file, b"two", 0o640)
    assert file.read_bytes() == b"two"
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_whoever_reads_meanwhile_keeps_the_old_file(tmp_path):
    file = tmp_path / "a"
    write_atomically(file, b"one")
    with file.open("rb") as reader:
        write_atomically(file, b"two")
        assert reader.read() == b"one"


def test_a_link_is_replaced_and_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert target.read_bytes() == b"precious"
    assert not link.is_symlink()


def test_what_cannot_be_written_whole_leaves_the_old_file(tmp_path):
    file = tmp_path / "a"
    write_atomically(file, b"one")
    # A limit on file sizes stands in for a full disk.
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_atomically(file, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]


def test_folders_are_made_with_their_parents_and_left_alone_when_there(tmp_path):
    folder = make_folder(tmp_path / "a" / "b")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o777 == 0o755
    folder.chmod(0o750)
    assert make_folder(folder).stat().st_mode & 0o777 == 0o750


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away; run the tests as root to see it")
def test_what_root_writes_into_a_persons_folder_is_theirs(tmp_path):
    os.chown(tmp_path, 12345, 54321)
    file: Path = tmp_path / "a"
    write_atomically(file, b"x")
    below = make_folder(tmp_path / "b" / "c")
    for made in (file, below, below.parent):
        assert (made.stat().st_uid, made.stat().st_gid) == (12345, 54321)
    # A link is given away itself, never what it leads to.
    link = tmp_path / "link"
    link.symlink_to("/etc/hostname")
    keep_owner(link)
    assert Path("/etc/hostname").stat().st_uid == 0
    assert link.lstat().st_uid == 12345

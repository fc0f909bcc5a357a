"""Files and folders of the data folder: written whole or not at all, owned by whoever owns the folder."""

import fcntl
import os
import time
from pathlib import Path
from tempfile import mkstemp


def keep_owner(path: Path) -> None:
    """Give `path` to the owner of the folder that it lies in; only root can, and only root needs to."""
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)


def make_folder(path: Path, mode: int = 0o700) -> Path:
    """The folder `path`, made with `mode` where it is missing, parents too; each new one keeps its parent's owner."""
    if not path.is_dir():
        if not path.parent.is_dir():
            make_folder(path.parent, 0o755)
        path.mkdir(mode, exist_ok=True)
        path.chmod(mode)
        keep_owner(path)
    return path


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by a file of `data`, so that a reader or a power cut finds the old one or the new one.

    Raises OSError and leaves the old file alone where the folder cannot be written or the disk is full.
    """
    handle, name = mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(data)
            file.flush()
            os.fsync(handle)
        keep_owner(fresh)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock_within(handle: int, seconds: float, pause: float) -> bool:
    """Take the lock of an open file or folder for this process alone; whether it was to be had within `seconds`.

    It is held until the handle is closed. `pause` is in seconds, between two tries.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(pause)
        else:
            return True

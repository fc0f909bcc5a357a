"""Where things lie: the configuration, the data folder and its lock, and the files that are shipped with the code."""

import fcntl
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

from edge.errors import HomeError
from edge.files import keep_owner, make_folder

SYSTEM_CONFIGURATION: Final = Path("/etc/aigate/aigate.toml")
LOCK: Final = "gate.lock"


@frozen
class Found:
    """The configuration file that counts, and those that would have."""

    file: Path | None
    passed_over: tuple[Path, ...] = ()


def _xdg(environ: Mapping[str, str], name: str, fallback: str) -> Path:
    # The XDG specification: a relative path in these variables is to be ignored.
    written = environ.get(name, "")
    if written.startswith("/"):
        return Path(written)
    home = environ.get("HOME", "")
    return Path(home if home.startswith("/") else Path.home()) / fallback


def user_configuration(environ: Mapping[str, str]) -> Path:
    """Where a person's own configuration lies, whether or not it exists."""
    return _xdg(environ, "XDG_CONFIG_HOME", ".config") / "aigate" / "aigate.toml"


def find_configuration(given: Path | None, environ: Mapping[str, str], system: Path = SYSTEM_CONFIGURATION) -> Found:
    """The first of: `given` (--config), AIGATE_CONFIG, the person's own, `system`.

    The first two must exist: HomeError. Of the others, what lies in a folder that is closed to this user is not there.
    `passed_over` names a `system` file that the person's own hides.
    """
    for written, source in ((given, "--config"), (environ.get("AIGATE_CONFIG"), "AIGATE_CONFIG")):
        if written:
            file = Path(written).absolute()
            try:
                there = file.is_file()
            except OSError as error:
                raise HomeError(f"{file}: {source} names a file that cannot be read: {error.strerror}") from error
            if not there:
                raise HomeError(f"{file}: {source} names a file that is not there; `aigate init` writes one")
            return Found(file)
    found = tuple(file for file in (user_configuration(environ), system) if _seen(file))
    return Found(found[0], found[1:]) if found else Found(None)


def _seen(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:
        return False


def find_data(given: Path | None, environ: Mapping[str, str], configured: Path | None) -> Path:
    """The data folder, made or not: --data, AIGATE_DATA_DIR, `data_dir` of the configuration, STATE_DIRECTORY, XDG_DATA_HOME."""
    if given:
        return given.absolute()
    if written := environ.get("AIGATE_DATA_DIR"):
        return Path(written).absolute()
    if configured:
        return configured
    # systemd joins several state directories with colons; the first is the unit's main one.
    if written := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(written)
    return _xdg(environ, "XDG_DATA_HOME", ".local/share") / "aigate"


def shipped(name: str) -> Path:
    """The shipped folder `plugins`, `conf` or `certs`: inside the package when installed, beside it in a checkout."""
    here = Path(__file__).parent
    inside = here / "shipped" / name
    return inside if inside.is_dir() else here.parent / name


def refuse_strangers(path: Path, what: str, *, any_owner: bool = False) -> None:
    """Raise HomeError where somebody but root and this user could change the file or folder `path`, called `what`.

    `any_owner` lets root work in another person's folder.
    """
    try:
        status = path.stat()
        above = path.parent.stat()
    except OSError as error:
        raise HomeError(f"{path}: {what} cannot be read: {error.strerror}") from error
    me = os.geteuid()
    if status.st_uid not in (0, me) and not (any_owner and me == 0):
        raise HomeError(
            f"{path}: {what} belongs to another user (uid {status.st_uid}); run as that user, or `chown {me} {path}`"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise HomeError(f"{path}: {what} can be changed by others; `chmod go-w {path}`")
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        raise HomeError(f"{path}: {what} can be replaced by others; `chmod o-w {path.parent}`")


def refuse_strange_plugins(folder: Path) -> None:
    """Raise HomeError where somebody else could change a plugin folder or a file that would be loaded from it."""
    refuse_strangers(folder, "the plugin folder")
    for file in sorted(folder.glob("*.py")):
        refuse_strangers(file, "the plugin")


def open_data(folder: Path) -> Path:
    """The data folder, made (0700) where it is missing and judged. Raises HomeError."""
    try:
        make_folder(folder)
    except OSError as error:
        raise HomeError(
            f"{folder}: the data folder cannot be made: {error.strerror}; choose another with --data DIR or AIGATE_DATA_DIR"
        ) from error
    refuse_strangers(folder, "the data folder", any_owner=True)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise HomeError(f"{folder}: the data folder cannot be written by this user; run as its owner")
    return folder


def _try_lock(handle: int, tries: int) -> bool:
    # Whoever only asks holds the lock for an instant, so one refusal is no proof of a second gate.
    for left in range(tries, 0, -1):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if left > 1:
                time.sleep(0.02)
        else:
            return True
    return False


def _holder(handle: int) -> int | None:
    written = os.pread(handle, 32, 0).strip()
    return int(written) if written.isdigit() else None


@frozen
class Lock:
    """The data folder's lock, held until `release` or the end of the process and of those forked from it."""

    folder: Path
    _handle: int = field(repr=False)

    @classmethod
    def take(cls, folder: Path) -> "Lock":
        """Take the lock for this process. Raises HomeError, naming the process, where a gate has it."""
        path = folder / LOCK
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            keep_owner(path)
        except OSError as error:
            raise HomeError(f"{path}: the lock cannot be opened: {error.strerror}") from error
        if not _try_lock(handle, 5):
            holder = _holder(handle)
            os.close(handle)
            raise HomeError(
                f"{folder}: a gate{f' (process {holder})' if holder else ''} already uses this data folder; "
                "stop it, or give this one another with --data DIR"
            )
        lock = cls(folder, handle)
        try:
            lock.sign()
        except OSError as error:
            lock.release()
            raise HomeError(f"{path}: the lock cannot be written: {error.strerror}") from error
        return lock

    def sign(self) -> None:
        """Write this process's id into the lock; again after a fork, since the lock goes on to the child."""
        os.pwrite(self._handle, f"{os.getpid():<31}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._handle)


def held(folder: Path) -> bool:
    """Whether a gate holds the lock of the data folder."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HomeError(f"{folder / LOCK}: the lock cannot be read: {error.strerror}") from error
    try:
        return not _try_lock(handle, 1)
    finally:
        os.close(handle)

"""On the path of a gate under test: a wall clock that a file moves, and a name whose look-up hangs."""

import os
import socket
import time
from pathlib import Path

_offset = Path(os.environ.get("WORLD_OFFSET", "/nonexistent"))
_time, _getaddrinfo = time.time, socket.getaddrinfo


def moved() -> float:
    """The wall clock and what the file says, seconds."""
    try:
        return _time() + float(_offset.read_text() or 0)
    except OSError:
        return _time()


def hanging(host: object, *args: object, **kwargs: object) -> object:
    """The system's look-up, but for one name that nobody answers for."""
    if host in ("hangs.example", b"hangs.example"):
        time.sleep(30)
        raise socket.gaierror(socket.EAI_AGAIN, "nobody answered")
    return _getaddrinfo(host, *args, **kwargs)  # type: ignore[arg-type]


if "WORLD_OFFSET" in os.environ:
    time.time = moved
socket.getaddrinfo = hanging  # type: ignore[assignment]

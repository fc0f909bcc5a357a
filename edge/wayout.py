"""What to type when a port is taken."""

import errno
from collections.abc import Mapping

from edge.errors import ListenError

COMMAND = "AIGATE_COMMAND"
"""How the gate was started, where that was not by its own command (`make run`)."""
FURTHER = 1000


def way_out(
    error: ListenError, listener: str, host: str, port: int, environ: Mapping[str, str], command: str
) -> ListenError:
    """The same error, with the command that starts the gate on another port where a taken one is why.

    `command` is what was typed, as far as the environment does not say it.
    """
    if getattr(error.__cause__, "errno", None) != errno.EADDRINUSE or not port:
        return error
    other = port + FURTHER if port + FURTHER < 65536 else port - FURTHER
    shown = f"[{host}]" if ":" in host else host
    value = f"{shown}:{other}" if host else str(other)
    told = f"{error}; on another: AIGATE_LISTEN__{listener.upper()}={value} {environ.get(COMMAND) or command}"
    return ListenError(told)

"""How much of what was written to a connection has not reached its other end."""

import fcntl
import struct
import termios
from typing import Any


def socket_transport(transport: Any) -> Any:
    """The TCP or unix transport under any wrappers (TLS)."""
    while (below := getattr(transport, "transport", None)) is not None and not hasattr(transport, "dataBuffer"):
        transport = below
    return transport


def unsent(transport: Any) -> int:
    """Bytes that wait for the peer: in the transport and in the kernel's send queue (`SIOCOUTQ`, tcp(7))."""
    below = socket_transport(transport)
    queued = len(below.dataBuffer) - below.offset + below._tempDataLen
    try:
        taken = fcntl.ioctl(below.socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except (OSError, ValueError, AttributeError):
        # A socket that is closed has nothing to wait for.
        return 0
    (in_kernel,) = struct.unpack("i", taken)
    return int(queued + in_kernel)

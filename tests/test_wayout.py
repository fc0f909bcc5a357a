import errno

import pytest

from edge.errors import ListenError
from edge.wayout import way_out


def taken(number: int = errno.EADDRINUSE) -> ListenError:
    error = ListenError("cannot listen")
    error.__cause__ = OSError(number, "")
    return error


@pytest.mark.parametrize(
    ("host", "port", "environ", "told"),
    [
        ("", 8443, {}, "AIGATE_LISTEN__HTTPS=9443 aigate run"),
        ("", 8443, {"AIGATE_COMMAND": "make run"}, "AIGATE_LISTEN__HTTPS=9443 make run"),
        ("127.0.0.1", 8443, {}, "AIGATE_LISTEN__HTTPS=127.0.0.1:9443 aigate run"),
        ("::1", 65000, {}, "AIGATE_LISTEN__HTTPS=[::1]:64000 aigate run"),
    ],
)
def test_a_taken_port_comes_with_the_command_that_takes_another(
    host: str, port: int, environ: dict[str, str], told: str
):
    assert str(way_out(taken(), "https", host, port, environ, "aigate run")) == f"cannot listen; on another: {told}"


def test_where_another_port_is_no_cure_none_is_named():
    error = taken(errno.EADDRNOTAVAIL)
    assert way_out(error, "https", "192.0.2.1", 8443, {}, "aigate run") is error
    unix = taken()
    assert way_out(unix, "plain", "", 0, {}, "aigate run") is unix

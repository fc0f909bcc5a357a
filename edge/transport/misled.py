"""A word for who speaks plain HTTP to a port of HTTPS; most often somebody who typed `http://` before its address."""

from typing import Any, Final

from OpenSSL import SSL
from twisted.python.failure import Failure

_WORDS: Final = b"This port speaks HTTPS only: begin its address with https://\n"
ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(_WORDS), _WORDS)
)


def answer_plainly(transport: Any, reason: Failure | None) -> None:
    """Write it to what is below TLS, if `reason`, why a server's handshake failed, is that it got plain HTTP."""
    if reason is not None and isinstance(reason.value, SSL.Error) and _is_http(reason.value):
        transport.write(ANSWER)


def _is_http(error: SSL.Error) -> bool:
    """Whether OpenSSL found a request's first bytes where a record of TLS should begin (its `SSL_R_HTTP_REQUEST`)."""
    queue = error.args[0] if error.args else None
    return isinstance(queue, list) and any("http request" in words for words in queue)

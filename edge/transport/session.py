"""How a connection was secured, asked once when its handshake is done."""

from functools import lru_cache
from typing import Any, Final

from OpenSSL import SSL

from edge.core.exchange import Session
from edge.transport.tls import resumed

SUITES: Final = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
    "ECDHE-RSA-CHACHA20-POLY1305": 0xCCA8,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
}
"""From OpenSSL's names to IANA's numbers (RFC 8446 appendix B.4, RFC 5289, RFC 7905), of all that the gate offers."""


KINDS: Final = 256
"""Sessions that are kept to be shared by all connections that are alike: few are not. A name is at most 255 bytes long."""


def session_of(transport: Any) -> Session | None:
    """The Session of a TLS transport whose handshake is done, None where there is none to ask."""
    find = getattr(transport, "getHandle", None)
    connection = find() if find is not None else None
    if not isinstance(connection, SSL.Connection):
        return None
    return _session(
        connection.get_protocol_version(),
        connection.get_cipher_name() or "",
        resumed(connection),
        transport.negotiatedProtocol or b"",
        connection.get_servername() or b"",
    )


@lru_cache(maxsize=KINDS)
def _session(version: int, suite: str, resumed: bool, protocol: bytes, name: bytes) -> Session:
    return Session(version, SUITES.get(suite, 0), resumed, protocol.decode("ascii", "replace"), name)

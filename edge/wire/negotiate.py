"""Which protocol a new connection speaks."""

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from edge.wire.http1 import Http1
from edge.wire.request import Origin
from edge.wire.server import Server


class HttpFactory(Factory):
    """Makes the protocols of one listener; `listener` is its name (https, http, plain, ops), `secure` whether in TLS."""

    noisy = False

    def __init__(self, server: Server, listener: str, secure: bool) -> None:
        self._server = server
        self._listener = listener
        self._secure = secure

    def buildProtocol(self, addr: IAddress | None) -> Http1:
        assert addr is not None
        peer = "unix" if isinstance(addr, UNIXAddress) else str(getattr(addr, "host", "")).removeprefix("::ffff:")
        return Http1(self._server, Origin(peer, self._secure, self._listener, addr, addr))

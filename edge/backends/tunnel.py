"""Upgrades towards an upstream: raw bytes both ways, but only after a valid 101 (RFC 9110 7.8, RFC 6455 4.1)."""

import base64
import hashlib
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from attrs import frozen
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from edge.core.headers import Fields, Pair
from edge.wire.request import TunnelEnd

if TYPE_CHECKING:
    from edge.backends.connection import UpstreamConnection

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def websocket_key() -> bytes:
    """A Sec-WebSocket-Key, for a client whose protocol has none (RFC 8441 5)."""
    return base64.b64encode(secrets.token_bytes(16))


def websocket_accept(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that proves that the upstream read the key and speaks the protocol."""
    # RFC 6455 fixes SHA-1, and nothing depends on its strength.
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def keyed(protocol: bytes, pairs: Sequence[Pair]) -> tuple[Sequence[Pair], bytes | None]:
    """The fields of an upgrade request, with a key for websocket if there is none, and the accept that must come back.

    Raises ValueError where there is more than one key.
    """
    if protocol != b"websocket":
        return pairs, None
    keys = [value for name, value in pairs if name.lower() == b"sec-websocket-key"]
    if len(keys) > 1:
        raise ValueError("more than one Sec-WebSocket-Key")
    if not keys:
        keys = [websocket_key()]
        pairs = [*pairs, (b"Sec-WebSocket-Key", keys[0])]
    return pairs, websocket_accept(keys[0])


class UpstreamTunnel:
    """The upstream's side of a switched connection (`edge.wire.request.Tunnel`); silent until it is attached."""

    __slots__ = ("_connection", "_end", "_lost", "_registered", "_rest")

    def __init__(self, connection: "UpstreamConnection", rest: bytes) -> None:
        self._connection = connection
        self._rest = rest
        self._end: TunnelEnd | None = None
        self._lost: Failure | None = None
        self._registered = False

    def attach(self, end: TunnelEnd) -> None:
        """Gives the bytes that come to `end`, those that came with the 101 first."""
        self._end = end
        rest, self._rest = self._rest, b""
        if self._lost is None:
            self._connection.resume()
        if rest:
            end.dataReceived(rest)
        if self._lost is not None:
            end.connectionLost(self._lost)

    def feed(self, data: bytes) -> None:
        """From the connection."""
        if self._end is not None:
            self._end.dataReceived(data)
        else:
            # The connection is paused; this is what its transport had read before.
            self._rest += data

    def lost(self, reason: Failure) -> None:
        """From the connection."""
        self._lost = reason
        if self._end is not None:
            self._end.connectionLost(reason)

    def write(self, data: bytes) -> None:
        self._connection.transport.write(data)

    def registerProducer(self, producer: IPushProducer, streaming: bool = True) -> None:
        self._registered = True
        self._connection.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        if self._registered:
            self._registered = False
            self._connection.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self._connection.pause()

    def resumeProducing(self) -> None:
        if self._end is not None:
            self._connection.resume()

    def stopProducing(self) -> None:
        """The other side is gone; its own end says how, and what it sent before still goes out."""

    def loseConnection(self) -> None:
        # A registered producer would hold the close back for as long as it lives.
        self.unregisterProducer()
        self._connection.close()

    def abortConnection(self) -> None:
        self._connection.abort()


@frozen
class Switched:
    """What an upgrade leads to when the upstream agrees; when it does not, there is an ordinary Answer instead."""

    fields: Fields
    """Of the 101."""
    tunnel: UpstreamTunnel
    """To be attached to the other side."""

    @property
    def pairs(self) -> list[Pair]:
        """The 101's fields as received, Connection and Upgrade among them."""
        return self.fields.pairs

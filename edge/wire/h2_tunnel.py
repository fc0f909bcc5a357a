"""The client's side of an HTTP/2 stream that was switched by an extended CONNECT (RFC 8441)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.wire.h2_stream import Stream


class Http2Tunnel:
    """The client's side of a stream that was switched."""

    __slots__ = ("_stream",)

    def __init__(self, stream: "Stream") -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        if data:
            self._stream.send(data)

    def registerProducer(self, producer: Any, streaming: bool = True) -> None:
        self._stream.register(producer)

    def unregisterProducer(self) -> None:
        self._stream.unregister()

    def pauseProducing(self) -> None:
        self._stream.pause_tunnel()

    def resumeProducing(self) -> None:
        self._stream.resume_body()

    def stopProducing(self) -> None:
        """The other side is gone; its own end says how."""

    def loseConnection(self) -> None:
        self._stream.close_tunnel()

    def abortConnection(self) -> None:
        self._stream.abort_tunnel()

"""A server of events and WebSockets on loopback: `python -m bench.events PORT`.

`GET /events?n=100&ms=20` streams n events as chunks, each with the monotonic nanosecond at which it was sent.
An upgrade is answered and every masked frame of 64 bytes is echoed.
"""

import asyncio
import base64
import hashlib
import sys
import time
from urllib.parse import parse_qs, urlsplit

PAD = "x" * 80
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
FRAME = 6 + 64
ECHO = b"\x82\x40" + b"x" * 64


class Events(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.buffer = b""
        self.socket = False
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.loop = asyncio.get_running_loop()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.socket:
            count, rest = divmod(len(self.buffer), FRAME)
            self.buffer = self.buffer[len(self.buffer) - rest :]
            self.transport.write(ECHO * count)
            return
        head, end, rest_bytes = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        self.buffer = rest_bytes
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if "upgrade" in fields.get("connection", "").lower():
            accept = base64.b64encode(
                hashlib.sha1(fields["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            )
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self.socket = True
            return
        query = parse_qs(urlsplit(lines[0].split(" ")[1]).query)
        self.left = int(query["n"][0])
        self.every = int(query["ms"][0]) / 1000
        self.due = self.loop.time()
        self.first = HEAD
        self.event()

    def event(self) -> None:
        """Sends one, and the end after the last; without an interval all of them in one go."""
        while True:
            data = b'data: {"t":%d,"text":"%b"}\n\n' % (time.monotonic_ns(), PAD.encode())
            out = self.first + b"%x\r\n%b\r\n" % (len(data), data)
            self.first = b""
            self.left -= 1
            if not self.left:
                self.transport.write(out + b"0\r\n\r\n")
                self.timer = None
                return
            self.transport.write(out)
            if self.every:
                break
        self.due += self.every
        self.timer = self.loop.call_at(self.due, self.event)


async def main(port: int) -> None:
    """Serves until it is killed."""
    server = await asyncio.get_running_loop().create_server(Events, "127.0.0.1", port, backlog=8192)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
